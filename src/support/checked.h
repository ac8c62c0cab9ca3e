// Sizes computed from numbers of a file: what leaves 63 bits is an error of that file, not a wrapped number.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>

#include "mquant/error.h"

namespace mquant {

/// Product of sizes; 1 of none.  Throws Error{input} where it leaves 63 bits.
inline std::int64_t checked_product(std::span<const std::int64_t> sizes) {
  std::int64_t product = 1;
  for (const std::int64_t size : sizes)
    if (__builtin_mul_overflow(product, size, &product)) {
      std::string factors;
      for (const std::int64_t factor : sizes) factors += cat(factors.empty() ? "" : " x ", factor);
      fail(ErrorKind::input, "a size of ", factors, " by config.json: too large for any memory");
    }
  return product;
}
inline std::int64_t checked_product(std::initializer_list<std::int64_t> sizes) {
  return checked_product(std::span(sizes.begin(), sizes.size()));
}

/// Sum of sizes, likewise.
inline std::int64_t checked_sum(std::span<const std::int64_t> sizes) {
  std::int64_t sum = 0;
  for (const std::int64_t size : sizes)
    if (__builtin_add_overflow(sum, size, &sum))
      fail(ErrorKind::input, "sizes by config.json sum to more than any memory holds");
  return sum;
}
inline std::int64_t checked_sum(std::initializer_list<std::int64_t> sizes) {
  return checked_sum(std::span(sizes.begin(), sizes.size()));
}

}  // namespace mquant
