// JSON that people write by hand: what the library would let pass in silence is an error here.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace mquant {

using Json = nlohmann::json;

/// @throws Error{input} naming `origin`, with line and column, for a syntax error, an object that has a key
/// twice, or more than 32 levels.
Json parse_strict(std::string_view text, const std::string& origin);

/// The text of a small file.  @throws Error{input} if it cannot be read or is larger than 1 MiB.
std::string read_small_file(const std::filesystem::path& path);

}  // namespace mquant
