// Well-formed UTF-8, as Unicode's table 3-7 has it: no surrogates, no overlong forms.
#pragma once

#include <cstddef>
#include <string_view>

namespace mquant {

struct Utf8Sequence {
  std::size_t length;  // of the character, or of the maximal ill-formed subpart
  bool valid;
};

/// What begins at text[at]; `at` < text.size().
Utf8Sequence utf8_sequence(std::string_view text, std::size_t at);

/// Offset of the first byte that is not part of well-formed UTF-8, or npos.
std::size_t first_invalid_utf8(std::string_view text);

}  // namespace mquant
