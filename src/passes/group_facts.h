// What passes decide about one group of linears, for the passes after them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "mquant/error.h"
#include "mquant/pass.h"
#include "mquant/scheme.h"

namespace mquant {

/// Input channels apart from the integer matrices; at least one.
struct SplitChannels {
  static constexpr Fact kFact = Fact::split_columns;
  std::vector<std::int64_t> channels;           ///< ascending, of the rotated input
  std::map<std::string, SplitColumns> columns;  ///< by linear, input scales not yet filled in
};

/// The norm before the group has taken over factors of the input channels.
struct SmoothedInputs {
  static constexpr Fact kFact = Fact::smoothed_inputs;
  at::Tensor factors;  ///< [in]: inputs of before are multiplied by them
};

struct InputScales {
  static constexpr Fact kFact = Fact::input_scales;
  ClassScales scales;                 ///< of all channels that are not split
  std::vector<ClassScales> of_split;  ///< of each split channel
};

/// Each fact is written once, by the pass that provides it.
class GroupFacts {
 public:
  /// @throws Error{internal} unless the contract of the running pass provides the fact
  template <class T>
  void provide(const PassContext& ctx, T value) {
    require(ctx.running != nullptr && ctx.running->owns(T::kFact), "a pass decides on ", fact_name(T::kFact),
            ", which its contract does not provide");
    std::optional<T>& fact = std::get<std::optional<T>>(facts_);
    require(!fact, fact_name(T::kFact), " are decided twice");
    fact = std::move(value);
  }
  /// nullptr: no pass has decided on it.
  template <class T>
  const T* find() const {
    const std::optional<T>& fact = std::get<std::optional<T>>(facts_);
    return fact ? &*fact : nullptr;
  }
  /// @throws Error{internal} if no pass has decided on it
  template <class T>
  const T& get() const {
    const T* fact = find<T>();
    require(fact != nullptr, "no pass has decided on ", fact_name(T::kFact));
    return *fact;
  }
  /// None unless a pass has split some.
  std::vector<std::int64_t> split_channels() const {
    const auto* split = find<SplitChannels>();
    return split != nullptr ? split->channels : std::vector<std::int64_t>();
  }

 private:
  std::tuple<std::optional<SmoothedInputs>, std::optional<SplitChannels>, std::optional<InputScales>> facts_;
};

}  // namespace mquant
