// JSON from untrusted files: bounded size and depth, no key twice, and messages that fit on one line.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "support/strings.h"  // printable, for what describe does not show

namespace mquant {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

inline constexpr std::size_t kLargestJsonFile = std::size_t{64} << 20;
/// Destroying and printing a value recurse, so hostile nesting must end somewhere; official files use less than ten.
inline constexpr int kDeepestJson = 64;

/// @throws Error{input} beginning with `origin`, with line and column, for a syntax error, an object that has a key
/// twice, more than kDeepestJson levels, a zero byte.  Cost: linear in the text, but for a logarithm of the keys.
Json parse_json(std::string_view text, const std::string& origin);
/// Of more than 64 bits: rounded to a float, or kept as they are, and refused.
enum class Integers { rounded, kept };
/// The same with the keys in the order of the text.
/// @throws Error{unsupported} for an integer that cannot be kept
OrderedJson parse_ordered_json(std::string_view text, const std::string& origin,
                               Integers integers = Integers::rounded);

/// @throws Error{input} as parse_json does, or if the file cannot be read or is larger than kLargestJsonFile.
Json read_json(const std::filesystem::path& file);
/// The same of a file that must hold an object.
Json read_json_object(const std::filesystem::path& file);
OrderedJson read_ordered_json(const std::filesystem::path& file);

/// A value as a message may show it: "32", "\"auto\"", "[1, -2]", "a list of 300", "an object".
std::string describe(const Json& value);

}  // namespace mquant
