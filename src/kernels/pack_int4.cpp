#include "kernels/pack_int4.h"

#include <algorithm>
#include <bit>

#include "mquant/error.h"

namespace mquant {
namespace {

static_assert(std::endian::native == std::endian::little, "unpack_int4_run reads words byte by byte");

/// Largest rows * columns that can be asked for: keeps all index arithmetic far from overflow.
constexpr std::int64_t kMostCodes = std::int64_t{1} << 48;

void check_shape(std::int64_t rows, std::int64_t columns, int bits) {
  require(bits == 4 || bits == 8, "codes of ", bits, " bits: expected 4 or 8");
  require(rows >= 0 && columns >= 0 && (columns == 0 || rows <= kMostCodes / columns), "no matrix has ", rows,
          " x ", columns, " codes");
}

void unpack_int4_run(const std::int32_t* row, std::span<std::int8_t> out) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(row);
  const std::size_t whole = out.size() / 2;
  std::int8_t* codes = out.data();
  for (std::size_t i = 0; i < whole; ++i) {
    codes[2 * i] = static_cast<std::int8_t>((bytes[i] & 15) - 8);
    codes[2 * i + 1] = static_cast<std::int8_t>((bytes[i] >> 4) - 8);
  }
  if (out.size() % 2 != 0) out.back() = static_cast<std::int8_t>((bytes[whole] & 15) - 8);
}

void unpack_int8_run(const std::int32_t* row, std::span<std::int8_t> out) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(row);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::int8_t>(bytes[i] - 128);
}

}  // namespace

std::int64_t packed_words(std::int64_t columns, int bits) {
  const std::int64_t in_word = 32 / bits;
  return (columns + in_word - 1) / in_word;
}

void pack_codes(std::span<const std::int8_t> codes, std::int64_t rows, std::int64_t columns, int bits,
                std::span<std::int32_t> words) {
  check_shape(rows, columns, bits);
  const std::int64_t width = packed_words(columns, bits), in_word = 32 / bits;
  require(std::ssize(codes) == rows * columns && std::ssize(words) == rows * width,
          "pack_codes: ", codes.size(), " codes into ", words.size(), " words for ", rows, " x ", columns);
  const int offset = 1 << (bits - 1);
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int8_t* row = codes.data() + r * columns;
    for (std::int64_t w = 0; w < width; ++w) {
      std::uint32_t word = 0;
      const std::int64_t count = std::min(in_word, columns - w * in_word);
      for (std::int64_t j = 0; j < count; ++j) {
        const int value = row[w * in_word + j] + offset;
        require(value >= 0 && value < 2 * offset, "code ", int{row[w * in_word + j]}, " in row ", r,
                ", column ", w * in_word + j, " is none of ", bits, " bits");
        word |= static_cast<std::uint32_t>(value) << (bits * j);
      }
      words[static_cast<std::size_t>(r * width + w)] = static_cast<std::int32_t>(word);
    }
  }
}

void unpack_codes(std::span<const std::int32_t> words, std::int64_t rows, std::int64_t columns, int bits,
                  std::span<std::int8_t> codes) {
  check_shape(rows, columns, bits);
  const std::int64_t width = packed_words(columns, bits), in_word = 32 / bits;
  require(std::ssize(codes) == rows * columns, "unpack_codes: room for ", codes.size(), " codes of ", rows,
          " x ", columns);
  if (std::ssize(words) != rows * width)
    fail(ErrorKind::input, "packed int", bits, " codes: expected ", rows, " x ", width, " words for ", rows,
         " x ", columns, " codes, got ", words.size());
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int32_t* row = words.data() + r * width;
    const std::span<std::int8_t> out =
        codes.subspan(static_cast<std::size_t>(r * columns), static_cast<std::size_t>(columns));
    if (bits == 4)
      unpack_int4_run(row, out);
    else
      unpack_int8_run(row, out);
    const std::int64_t used = columns % in_word;
    if (used != 0 && static_cast<std::uint32_t>(row[width - 1]) >> (bits * used) != 0)
      fail(ErrorKind::input, "packed int", bits, " codes: row ", r, " has bits set after its ", columns,
           " columns");
  }
}

}  // namespace mquant
