// Base64, as RFC 4648 has it in section 4: padded, without line breaks.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mquant {

/// The bytes; none for text that is not base64, empty, or longer than 1 GiB.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace mquant
