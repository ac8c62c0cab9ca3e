// Several samples that go through the blocks together: their rows lie one after another in common
// registers.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "mquant/block.h"

namespace mquant {

/// A register of all samples: those of sample i are rows [begin[i], begin[i + 1]).
struct BatchRegister {
  at::Tensor rows;                  // [rows of all, width], contiguous
  std::vector<std::int64_t> begin;  // [samples + 1]
  std::vector<bool> present;        // [samples]: false where the sample has no such register (no picture)

  at::Tensor of(std::size_t sample) const;
};

class Batch {
 public:
  /// Takes the registers of the samples.
  explicit Batch(std::vector<SampleState> samples);

  std::vector<SampleState>& samples() { return samples_; }
  const std::vector<SampleState>& samples() const { return samples_; }
  bool has(const std::string& name) const { return registers_.contains(name); }
  const std::map<std::string, BatchRegister, std::less<>>& registers() const { return registers_; }
  const BatchRegister& get(const std::string& name) const;
  void put(const std::string& name, BatchRegister value) { registers_[name] = std::move(value); }
  void drop(const std::string& name) { registers_.erase(name); }

  enum class Samples { in_turn, in_parallel };
  /// Runs work on the samples, each with views of the registers `names`; what work returns becomes
  /// register `out` (absent where it is undefined).  `takes_part` says for which samples it runs;
  /// may be empty: all.
  /// @param order  one after another, so that all threads can work on one; or a thread each
  void each(const std::vector<std::string>& names, const std::string& out,
            const std::vector<bool>& takes_part, const std::function<at::Tensor(SampleState&)>& work,
            Samples order = Samples::in_turn);
  /// One sample with views of all its registers.
  SampleState state(std::size_t sample) const;

 private:
  std::vector<SampleState> samples_;  // without registers
  std::map<std::string, BatchRegister, std::less<>> registers_;
};

}  // namespace mquant
