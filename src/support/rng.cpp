#include "support/rng.h"

#include <bit>

namespace mquant {
namespace {

std::uint64_t splitmix64(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

/// FNV-1a, 64 bit.
std::uint64_t hash(std::string_view text) {
  std::uint64_t value = 0xcbf29ce484222325;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return value;
}

/// Two rounds apart, so that (seed, stream) and (seed + 1, another stream) do not meet by a plain xor.
std::uint64_t stream_seed(std::uint64_t seed, std::string_view stream) {
  std::uint64_t state = seed;
  state = splitmix64(state) ^ hash(stream);
  return splitmix64(state);
}

}  // namespace

Rng::Rng(std::uint64_t seed) : state_{} {
  for (std::uint64_t& word : state_) word = splitmix64(seed);
}

Rng::Rng(std::uint64_t seed, std::string_view stream) : Rng(stream_seed(seed, stream)) {}

std::uint64_t Rng::next() {
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const std::uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

double Rng::uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

std::vector<std::int8_t> Rng::signs(std::size_t count) {
  std::vector<std::int8_t> signs(count);
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < count; ++i) {
    bits = i % 64 == 0 ? next() : bits >> 1;
    signs[i] = (bits & 1) != 0 ? -1 : 1;
  }
  return signs;
}

}  // namespace mquant
