// All samples between two steps of the model: in memory while they fit, beyond that in a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "pipeline/pixels.h"
#include "pipeline/spill_file.h"
#include "runtime/batch.h"

namespace mquant {

struct StateBudget {
  std::int64_t memory_bytes = 0;    ///< for registers that wait; what is beyond lies in the file
  std::int64_t batch_bytes = 0;     ///< of the widest register of a batch, about
  std::filesystem::path directory;  ///< where the file lies
};

/// Samples in batches, in their order; a batch goes through steps together.  Which samples are in
/// one changes no result.
class StateStore {
 public:
  /// No sample has a register yet.
  /// @param widest  widest registers of the model, by which batches are cut: of a token, of a
  ///                vision row
  StateStore(const std::vector<Features>& samples, std::int64_t widest_token, std::int64_t widest_patch,
             const StateBudget& budget);

  /// Puts every sample before the first block, with its pixels.
  void start(const PixelSource& pixels);

  std::size_t samples() const { return places_.size(); }
  std::size_t batches() const { return batches_.size(); }
  /// Indices of a batch's samples: [begin, end).
  std::size_t begin(std::size_t batch) const { return batches_[batch].begin; }
  std::size_t end(std::size_t batch) const { return begin(batch) + batches_[batch].samples.size(); }

  /// Does a block have anything to do for a sample of the batch?
  bool takes_part(std::size_t batch, const BlockSpec& spec) const;
  bool has(std::size_t batch, const std::string& name) const;
  /// A batch with those of the registers `names` that it has.
  Batch load(std::size_t batch, const std::set<std::string>& names) const;
  /// Replaces a register, or adds it.
  void put(std::size_t batch, const std::string& name, const BatchRegister& value);
  void drop(std::size_t batch, const std::string& name) { batches_[batch].registers.erase(name); }
  /// What a batch's samples know of their order, without registers.
  void set_samples(std::size_t batch, const std::vector<SampleState>& samples);
  std::set<std::string> names(std::size_t batch) const;

  /// A sample with copies of its registers.
  SampleState sample(std::size_t index) const;
  /// The same with registers that have shapes and no memory.
  SampleState outline(std::size_t index) const;
  /// Every sample, one after another; what `change` leaves in it is kept.
  void each_sample(const std::function<void(SampleState&)>& change);

  /// Remembers all registers as they are now, for `restore`; replaces what was remembered before.
  void remember();
  /// Back to what was remembered.
  void restore();

  std::int64_t spilled_bytes() const { return file_.size(); }

 private:
  struct Held;
  using Registers = std::map<std::string, std::shared_ptr<const Held>, std::less<>>;
  struct HeldBatch {
    std::size_t begin = 0;
    std::vector<SampleState> samples;  // without registers
    Registers registers;
  };

  std::shared_ptr<const Held> hold(const BatchRegister& value);
  BatchRegister value_of(const Held& held) const;

  StateBudget budget_;
  mutable SpillFile file_;
  std::shared_ptr<std::int64_t> resident_;  // bytes of registers in memory
  std::vector<HeldBatch> batches_, remembered_;
  std::vector<std::size_t> places_;  // by sample: its batch
};

}  // namespace mquant
