// What a template may spend: templates are untrusted, so that every one ends, in bounded time and memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mquant/error.h"

namespace mquant::jinja {

inline constexpr std::int64_t kMostSteps = 2'000'000;
inline constexpr int kDeepestEvaluation =
    400;  ///< nested statements, expressions and calls of macros together

inline constexpr std::size_t kStepsToKeep =
    10;  ///< what a macro, namespace or loop costs: they live as long as the run
inline constexpr std::size_t kComparisonsAStep = 32;  ///< of a key with those of a dict

/// Counts down while a template runs.
class Budget {
 public:
  void spend(std::size_t steps = 1) {
    left_ -= static_cast<std::int64_t>(steps);
    if (left_ < 0)
      fail(ErrorKind::input, "the template takes more than ", kMostSteps,
           " steps; does it loop without end?");
  }

 private:
  std::int64_t left_ = kMostSteps;
};

/// One level of recursion, for as long as it lives.
class Level {
 public:
  explicit Level(int& depth) : depth_(depth) {
    if (++depth_ > kDeepestEvaluation) {
      --depth_;
      fail(ErrorKind::input, "the template nests statements, expressions and calls of macros more than ",
           kDeepestEvaluation, " levels deep");
    }
  }
  ~Level() { --depth_; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;

 private:
  int& depth_;
};

}  // namespace mquant::jinja
