// Integer codes in 32-bit words, in the layout that compressed-tensors calls pack-quantized.
#pragma once

#include <cstdint>
#include <span>

namespace mquant {

/// Words that a row of `columns` codes of `bits` takes: the row starts at a word, its tail is zero bits.
std::int64_t packed_words(std::int64_t columns, int bits);

/// Value j of a row is stored as code + 2^(bits - 1), in `bits` bits from bit bits * (j % (32 / bits)) on of word
/// j / (32 / bits).  In memory of a little-endian machine int4 is two codes a byte, low nibble first.
/// @param codes  [rows, columns], each in [-2^(bits-1), 2^(bits-1) - 1]
/// @param words  [rows, packed_words(columns, bits)]
/// @throws Error{internal} for other bits than 4 and 8, sizes that do not fit, or a code out of range
void pack_codes(std::span<const std::int8_t> codes, std::int64_t rows, std::int64_t columns, int bits,
                std::span<std::int32_t> words);

/// The inverse.  @throws Error{input} if the number of words is not that of rows of `columns`, or tail bits are set.
void unpack_codes(std::span<const std::int32_t> words, std::int64_t rows, std::int64_t columns, int bits,
                  std::span<std::int8_t> codes);

}  // namespace mquant
