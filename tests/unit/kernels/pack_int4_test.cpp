#include "kernels/pack_int4.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "mquant/error.h"
#include "support/rng.h"

namespace mquant {
namespace {

std::vector<std::int8_t> random_codes(std::int64_t n, int bits, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<std::int8_t> codes(static_cast<std::size_t>(n));
  for (std::int8_t& code : codes) {
    const int range = 1 << bits;
    code = static_cast<std::int8_t>(static_cast<int>(rng.next() % static_cast<std::uint64_t>(range)) -
                                    range / 2);
  }
  return codes;
}

TEST(Pack, LayoutIsThatOfCompressedTensors) {
  const std::vector<std::int8_t> codes = {-8, -7, 0, 7, 1, 2, 3, 4, -1};
  std::vector<std::int32_t> words(2);
  pack_codes(codes, 1, 9, 4, words);
  EXPECT_EQ(static_cast<std::uint32_t>(words[0]), 0xcba9f810U);  // low nibble first, 8 added
  EXPECT_EQ(words[1], 7);                                        // and zero bits after the row's end
  std::vector<std::int32_t> bytes(1);
  pack_codes(std::vector<std::int8_t>{-128, 127, 0}, 1, 3, 8, bytes);
  EXPECT_EQ(static_cast<std::uint32_t>(bytes[0]), 0x0080ff00U);
}

TEST(Pack, UnpackingGivesTheCodesBack) {
  for (const int bits : {4, 8})
    for (const std::int64_t columns : {1, 3, 4, 7, 8, 9, 31, 64, 65}) {
      const std::vector<std::int8_t> codes = random_codes(5 * columns, bits, 7);
      std::vector<std::int32_t> words(static_cast<std::size_t>(5 * packed_words(columns, bits)));
      pack_codes(codes, 5, columns, bits, words);
      std::vector<std::int8_t> back(codes.size());
      unpack_codes(words, 5, columns, bits, back);
      EXPECT_EQ(back, codes) << bits << " bits, " << columns << " columns";
    }
}

TEST(Pack, CodeOutOfRangeIsRefused) {
  std::vector<std::int32_t> words(1);
  EXPECT_THROW(pack_codes(std::vector<std::int8_t>{8}, 1, 1, 4, words), Error);
  EXPECT_THROW(pack_codes(std::vector<std::int8_t>{-9}, 1, 1, 4, words), Error);
  EXPECT_THROW(pack_codes(std::vector<std::int8_t>{1}, 1, 1, 5, words), Error);
}

ErrorKind kind_of_unpacking(const std::vector<std::int32_t>& words, std::int64_t columns) {
  std::vector<std::int8_t> codes(static_cast<std::size_t>(columns));
  try {
    unpack_codes(words, 1, columns, 4, codes);
  } catch (const Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << "accepted";
  return ErrorKind::internal;
}

TEST(Pack, WordsThatDoNotFitAreBadInput) {
  EXPECT_EQ(kind_of_unpacking({0, 0}, 8), ErrorKind::input);  // a word too many
  EXPECT_EQ(kind_of_unpacking({}, 8), ErrorKind::input);      // one too few
  EXPECT_EQ(kind_of_unpacking({-1}, 7), ErrorKind::input);    // bits after the end
}

}  // namespace
}  // namespace mquant
