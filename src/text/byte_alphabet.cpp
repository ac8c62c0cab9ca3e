#include "text/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "text/unicode.h"

namespace mquant {
namespace {

/// Printable Latin-1 bytes stand for themselves, the other 68 get U+0100, U+0101, ... in order.
struct Alphabet {
  std::array<std::int16_t, 0x144> byte{};  // by character, -1: none

  Alphabet() {
    byte.fill(-1);
    std::size_t next = 0x100;
    for (std::size_t b = 0; b < 256; ++b) {
      const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      byte[printable ? b : next++] = static_cast<std::int16_t>(b);
    }
  }
};

}  // namespace

std::optional<std::string> from_byte_alphabet(std::string_view token) {
  static const Alphabet table;
  std::string bytes;
  for (std::size_t at = 0; at < token.size();) {
    const char32_t c = next_character(token, at);
    if (c >= table.byte.size() || table.byte[c] < 0) return std::nullopt;
    bytes += static_cast<char>(table.byte[c]);
  }
  return bytes;
}

}  // namespace mquant
