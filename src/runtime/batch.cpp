#include "runtime/batch.h"

#include <ATen/ops/cat.h>

#include <algorithm>
#include <set>

#include "mquant/error.h"
#include "nn/for_all.h"

namespace mquant {
namespace {

/// One register of the samples' own; undefined ones are absent.
BatchRegister joined(const std::vector<at::Tensor>& parts) {
  BatchRegister all;
  std::vector<at::Tensor> present;
  all.begin.push_back(0);
  for (const at::Tensor& part : parts) {
    all.present.push_back(part.defined());
    all.begin.push_back(all.begin.back() + (part.defined() ? part.size(0) : 0));
    if (part.defined()) present.push_back(part);
  }
  all.rows = present.size() == 1 ? present.front().contiguous() : at::cat(present).contiguous();
  return all;
}

}  // namespace

at::Tensor BatchRegister::of(std::size_t sample) const {
  if (!present[sample]) return {};
  return rows.narrow(0, begin[sample], begin[sample + 1] - begin[sample]);
}

Batch::Batch(std::vector<SampleState> samples) : samples_(std::move(samples)) {
  std::set<std::string> names;
  for (const SampleState& sample : samples_)
    for (const auto& [name, value] : sample.registers) names.insert(name);
  for (const std::string& name : names) {
    std::vector<at::Tensor> parts;
    for (SampleState& sample : samples_) {
      const auto it = sample.registers.find(name);
      parts.push_back(it == sample.registers.end() ? at::Tensor() : it->second);
    }
    put(name, joined(parts));
  }
  for (SampleState& sample : samples_) sample.registers.clear();
}

const BatchRegister& Batch::get(const std::string& name) const {
  const auto it = registers_.find(name);
  require(it != registers_.end(), "no register '", name, "' in the batch");
  return it->second;
}

void Batch::each(const std::vector<std::string>& names, const std::string& out,
                 const std::vector<bool>& takes_part, const std::function<at::Tensor(SampleState&)>& work,
                 Samples order) {
  std::vector<at::Tensor> parts(samples_.size());
  const auto run = [&](std::size_t i) {
    if (!takes_part.empty() && !takes_part[i]) return;
    SampleState& sample = samples_[i];
    for (const std::string& name : names)
      if (const auto it = registers_.find(name); it != registers_.end() && it->second.present[i])
        sample.registers[name] = it->second.of(i);
    parts[i] = work(sample);
    sample.registers.clear();
  };
  if (order == Samples::in_parallel)
    for_all(parts.size(), run);
  else
    for (std::size_t i = 0; i < parts.size(); ++i) run(i);
  if (std::ranges::any_of(parts, [](const at::Tensor& part) { return part.defined(); }))
    put(out, joined(parts));
}

SampleState Batch::state(std::size_t sample) const {
  SampleState state = samples_[sample];
  for (const auto& [name, value] : registers_)
    if (value.present[sample]) state.registers[name] = value.of(sample);
  return state;
}

}  // namespace mquant
