// Runs all samples through one block, stopping where a group of linears wants to see its inputs.
#include "pipeline/sweep.h"

#include <algorithm>
#include <optional>

#include "mquant/error.h"
#include "mquant/log.h"
#include "nn/attention.h"
#include "nn/for_all.h"
#include "pipeline/collectors.h"
#include "runtime/prepared_block.h"

namespace mquant {
namespace {

/// Registers that steps read or write, and those that they write.
struct Mentioned {
  std::set<std::string> all, written;
};

Mentioned mentioned(const BlockSpec& spec, StepRange steps) {
  Mentioned names;
  for (std::size_t i = steps.begin; i < steps.end; ++i) {
    const Step& step = spec.steps[i];
    names.all.insert(step.in.begin(), step.in.end());
    names.all.insert(step.out);
    names.written.insert(step.out);
  }
  return names;
}

ByClass rows_by_class(const Collected& collected) {
  ByClass rows{};
  if (!collected.histogram) return rows;
  for (const TokenClass c : kAllTokenClasses)
    rows[static_cast<std::size_t>(c)] = static_cast<double>(collected.histogram->inputs.of(c).rows);
  return rows;
}

}  // namespace

Sweep::Sweep(Block& block, StateStore& states, Executor executor)
    : block_(block), states_(states), executor_(executor), runs_(block.spec().steps.size()) {
  for (std::size_t b = 0; b < states.batches(); ++b)
    if (states.takes_part(b, block.spec())) batches_.push_back(b);
}

void Sweep::look(const LinearGroup& group, const Request& request, Collected& collected) {
  const BlockSpec& spec = block_.spec();
  collected.width = spec.linear(group.linears[0]).in;
  const auto collectors = make_collectors(request, collected.width, rows_by_class(collected));
  advance(group.step,
          [&](const Batch& batch) {
            const InputRows rows = rows_of(group, batch);
            if (rows.x.size(0) == 0) return;
            for (const std::unique_ptr<Collector>& collector : collectors) collector->add(rows);
          },
          {group.input});
  for (const std::unique_ptr<Collector>& collector : collectors) collector->finish(collected);
}

CollectedCache Sweep::look_at_cache(const CacheRequest& request) {
  const BlockSpec& spec = block_.spec();
  const std::size_t at = spec.attention_step();
  const Step& attention = spec.steps[at];
  CacheCollector collector(request, spec.attention.kv_heads * spec.attention.head_dim);
  advance(at,
          [&](const Batch& batch) {
            for_all(batch.samples().size(), [&](std::size_t i) {
              SampleState state = batch.state(i);
              const auto keys = state.registers.find(attention.in[1]);
              if (keys == state.registers.end()) return;
              collector.add(rotated_keys(block_, state, keys->second), state.registers.at(attention.in[2]));
            });
          },
          {attention.in[1], attention.in[2]});
  return collector.take();
}

void Sweep::scale_inputs(const LinearGroup& group, const at::Tensor& factors) {
  require(step_ == group.step, "samples do not stand before the group that is smoothed");
  for (const std::size_t b : batches_) {
    const Batch batch = states_.load(b, {group.input});
    BatchRegister scaled = batch.get(group.input);
    scaled.rows = scaled.rows * factors;
    states_.put(b, group.input, scaled);
  }
}

void Sweep::finish() {
  advance(block_.spec().steps.size(), [](const Batch&) {}, {});
}

void Sweep::advance(std::size_t step, const std::function<void(const Batch&)>& look,
                    const std::set<std::string>& looked_at) {
  const StepRange steps{step_, step};
  const BlockSpec& spec = block_.spec();
  std::optional<PreparedSteps> prepared;
  if (executor_ == Executor::fast && steps.begin < steps.end) prepared.emplace(block_, steps);
  const Mentioned names = mentioned(spec, steps);
  std::set<std::string> wanted = names.all;
  wanted.insert(looked_at.begin(), looked_at.end());
  const std::vector<std::string> unused = unused_registers(spec, step);
  for (const std::size_t b : batches_) {
    check_interrupt();
    Batch batch = states_.load(b, wanted);
    if (prepared)
      prepared->run(batch, {.samples_apart = true});
    else if (steps.begin < steps.end)
      batch = run_plain(batch, steps);
    look(batch);
    if (steps.begin == steps.end) continue;
    for (const std::string& name : names.written)
      if (batch.has(name)) states_.put(b, name, batch.get(name));
    for (const std::string& name : unused) states_.drop(b, name);
    states_.set_samples(b, batch.samples());
  }
  for (std::size_t i = steps.begin; i < steps.end; ++i) ++runs_[i];
  step_ = step;
}

Batch Sweep::run_plain(const Batch& batch, StepRange steps) const {
  std::vector<SampleState> states(batch.samples().size());
  for_all(states.size(), [&](std::size_t i) {
    states[i] = batch.state(i);
    if (takes_part(block_.spec(), *states[i].features)) run_steps(block_, states[i], steps.begin, steps.end);
  });
  return Batch(std::move(states));
}

InputRows Sweep::rows_of(const LinearGroup& group, const Batch& batch) const {
  const BlockSpec& spec = block_.spec();
  const BatchRegister& input = batch.get(group.input);
  InputRows rows{input.rows, {}, &block_.linear(group.linears[0]).rotation};
  for (std::size_t i = 0; i < batch.samples().size(); ++i) {
    const std::int64_t count = input.begin[i + 1] - input.begin[i];
    if (!input.present[i] || count == 0) continue;
    const std::vector<TokenClass> classes =
        row_classes(spec, spec.linear(group.linears[0]).rows, batch.samples()[i], count);
    rows.classes.insert(rows.classes.end(), classes.begin(), classes.end());
  }
  return rows;
}

}  // namespace mquant
