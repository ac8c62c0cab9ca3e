#include "kernels/packed_weight.h"

#include <gtest/gtest.h>

#include <vector>

#include "mquant/error.h"
#include "support/rng.h"

namespace mquant {
namespace {

TEST(PackedWeight, HoldsEveryCodeInHalfAByteABit) {
  for (const int bits : {4, 8})
    for (const auto& [out, in] : {std::pair{1, 1}, {32, 32}, {33, 31}, {70, 100}, {5, 259}}) {
      Rng rng(3);
      std::vector<std::int8_t> codes(static_cast<std::size_t>(out * in));
      for (std::int8_t& code : codes)
        code = static_cast<std::int8_t>(bits == 4 ? static_cast<int>(rng.next() % 16) - 8
                                                  : static_cast<int>(rng.next() % 255) - 127);
      const PackedWeight weight(codes, out, in, bits);
      for (int o = 0; o < out; ++o)
        for (int i = 0; i < in; ++i)
          ASSERT_EQ(weight.code(o, i), codes[static_cast<std::size_t>(o * in + i)]) << bits << ": " << o << ", " << i;
      EXPECT_EQ(weight.bytes(), (out + 31) / 32 * 32 * padded_inputs(in) * bits / 8);
    }
}

TEST(PackedWeight, RefusesWhatItCannotHold) {
  EXPECT_THROW(PackedWeight(std::vector<std::int8_t>{8}, 1, 1, 4), Error);
  EXPECT_THROW(PackedWeight(std::vector<std::int8_t>{-128}, 1, 1, 8), Error);
  EXPECT_THROW(PackedWeight(std::vector<std::int8_t>{1}, 1, 1, 3), Error);
  EXPECT_THROW(PackedWeight(std::vector<std::int8_t>{1, 2}, 1, 1, 4), Error);
  EXPECT_THROW(PackedWeight(std::vector<std::int8_t>(140000), 1, 140000, 4), Error);
}

}  // namespace
}  // namespace mquant
