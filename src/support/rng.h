// The random numbers of everything here: the same on every machine and with every standard library.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace mquant {

/// xoshiro256**, its state filled by splitmix64 (Blackman and Vigna, https://prng.di.unimi.it).
class Rng {
 public:
  explicit Rng(std::uint64_t seed);
  /// The stream of one block or tensor: what is drawn in another stream, and how much, does not change it.
  Rng(std::uint64_t seed, std::string_view stream);

  std::uint64_t next();
  /// Uniform in [0, 1), a multiple of 2^-53.
  double uniform();
  /// `count` fair coins of +1 and -1, 64 to a draw.
  std::vector<std::int8_t> signs(std::size_t count);

 private:
  std::array<std::uint64_t, 4> state_;
};

}  // namespace mquant
