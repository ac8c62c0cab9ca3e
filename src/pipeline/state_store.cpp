#include "pipeline/state_store.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "mquant/error.h"
#include "nn/for_all.h"

namespace mquant {

/// A register that waits: its rows, or where they lie in the file.
struct StateStore::Held {
  BatchRegister layout;  // rows undefined once they are in the file
  std::int64_t rows = 0, width = 0;
  std::shared_ptr<const SpillFile::Extent> spilled;
  std::shared_ptr<std::int64_t> resident;  // counts rows in memory

  Held() = default;
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() {
    if (layout.rows.defined()) *resident -= static_cast<std::int64_t>(layout.rows.nbytes());
  }
};

StateStore::StateStore(const std::vector<Features>& samples, std::int64_t widest_token,
                       std::int64_t widest_patch, const StateBudget& budget)
    : budget_(budget), file_(budget.directory), resident_(std::make_shared<std::int64_t>(0)) {
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const Features& features = samples[i];
    const std::int64_t of_sample = 4 * std::max(std::ssize(features.input_ids) * widest_token,
                                                std::ssize(features.patches) * widest_patch);
    if (batches_.empty() || bytes + of_sample > budget.batch_bytes) {
      batches_.push_back({.begin = i, .samples = {}, .registers = {}});
      bytes = 0;
    }
    bytes += of_sample;
    batches_.back().samples.push_back({});
    batches_.back().samples.back().features = &features;
    places_.push_back(batches_.size() - 1);
  }
}

void StateStore::start(const PixelSource& pixels) {
  for (std::size_t b = 0; b < batches(); ++b) {
    std::vector<SampleState> states = batches_[b].samples;
    for_all(states.size(),
            [&](std::size_t i) { states[i] = start_sample(*states[i].features, begin(b) + i, pixels); });
    const Batch started(std::move(states));
    for (const auto& [name, value] : started.registers()) put(b, name, value);
    set_samples(b, started.samples());
  }
}

std::shared_ptr<const StateStore::Held> StateStore::hold(const BatchRegister& value) {
  auto held = std::make_shared<Held>();
  held->rows = value.rows.size(0);
  held->width = value.rows.size(1);
  held->resident = resident_;
  held->layout.begin = value.begin;
  held->layout.present = value.present;
  const at::Tensor rows = value.rows.contiguous();
  const auto bytes = static_cast<std::int64_t>(rows.nbytes());
  if (*resident_ + bytes <= budget_.memory_bytes) {
    held->layout.rows = rows;
    *resident_ += bytes;
  } else {
    require(rows.scalar_type() == at::kFloat, "a register that is not float32");
    held->spilled = file_.write({static_cast<const std::byte*>(rows.const_data_ptr()), rows.nbytes()});
  }
  return held;
}

BatchRegister StateStore::value_of(const Held& held) const {
  BatchRegister value = held.layout;
  if (held.spilled == nullptr) return value;
  value.rows = at::empty({held.rows, held.width}, at::kFloat);
  held.spilled->read({static_cast<std::byte*>(value.rows.data_ptr()), value.rows.nbytes()});
  return value;
}

bool StateStore::takes_part(std::size_t batch, const BlockSpec& spec) const {
  return std::ranges::any_of(batches_[batch].samples, [&](const SampleState& sample) {
    return mquant::takes_part(spec, *sample.features);
  });
}

bool StateStore::has(std::size_t batch, const std::string& name) const {
  return batches_[batch].registers.contains(name);
}

Batch StateStore::load(std::size_t batch, const std::set<std::string>& names) const {
  const HeldBatch& held = batches_[batch];
  Batch state(held.samples);
  for (const auto& [name, value] : held.registers)
    if (names.contains(name)) state.put(name, value_of(*value));
  return state;
}

void StateStore::put(std::size_t batch, const std::string& name, const BatchRegister& value) {
  Registers& registers = batches_[batch].registers;
  registers.erase(name);  // gives its memory back before more is taken
  registers[name] = hold(value);
}

void StateStore::set_samples(std::size_t batch, const std::vector<SampleState>& samples) {
  batches_[batch].samples = samples;
}

std::set<std::string> StateStore::names(std::size_t batch) const {
  std::set<std::string> names;
  for (const auto& [name, held] : batches_[batch].registers) names.insert(name);
  return names;
}

SampleState StateStore::sample(std::size_t index) const {
  const HeldBatch& held = batches_[places_[index]];
  const std::size_t at = index - held.begin;
  SampleState state = held.samples[at];
  for (const auto& [name, value] : held.registers)
    if (value->layout.present[at]) state.registers[name] = value_of(*value).of(at).clone();
  return state;
}

SampleState StateStore::outline(std::size_t index) const {
  const HeldBatch& held = batches_[places_[index]];
  const std::size_t at = index - held.begin;
  SampleState state = held.samples[at];
  for (const auto& [name, value] : held.registers)
    if (value->layout.present[at])
      state.registers[name] =
          at::empty({1, 1}, at::kFloat)
              .expand({value->layout.begin[at + 1] - value->layout.begin[at], value->width});
  return state;
}

void StateStore::each_sample(const std::function<void(SampleState&)>& change) {
  for (std::size_t b = 0; b < batches(); ++b) {
    const Batch batch = load(b, names(b));
    std::vector<SampleState> states;
    for (std::size_t i = 0; i < batch.samples().size(); ++i) {
      states.push_back(batch.state(i));
      change(states.back());
    }
    const Batch changed(std::move(states));
    batches_[b].registers.clear();
    for (const auto& [name, value] : changed.registers()) put(b, name, value);
    set_samples(b, changed.samples());
  }
}

void StateStore::remember() { remembered_ = batches_; }

void StateStore::restore() { batches_ = std::move(remembered_); }

}  // namespace mquant
