// The printable characters that stand for bytes in byte-level vocabularies: "Ġ" for a blank, "Ċ" for a newline.
// Source: bytes_to_unicode() of GPT-2's encoder.py.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mquant {

/// The bytes that a vocabulary entry stands for; none if it holds a character that stands for no byte.
std::optional<std::string> from_byte_alphabet(std::string_view token);

}  // namespace mquant
