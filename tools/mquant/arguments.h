// The command line before and after CLI11: spellings that users try, and messages that say what they meant.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace mquant::cli {

using Arguments = std::vector<std::string>;

/// What CLI11 reads: `_` becomes `-` in the names of options that exist, "--json FILE.json" becomes
/// "--json=FILE.json" (its value is optional, so a word after it may as well be the next argument).
Arguments normalized(const CLI::App& app, Arguments arguments);

/// One line for a parse error: which argument, what was expected, what was found, and the nearest that
/// exists.
std::string explanation(const CLI::App& app, const CLI::ParseError& error);

/// Accepts one of `names`; the error has all of them and the nearest.
CLI::Validator one_of(std::vector<std::string> names);

/// Accepts an integer from `least` to `most`.
CLI::Validator integer_from(std::int64_t least, std::int64_t most);
CLI::Validator at_least(std::int64_t least);  ///< `most` is what 63 bits hold

/// @throws Error{usage} for an argument, or the current directory, that is not UTF-8: paths go into JSON, which has no
/// other bytes
void expect_utf8(const Arguments& arguments);

/// No option of a directory or a file, of `app` and its subcommands, takes an empty text, which would name the working
/// directory.
void refuse_empty_paths(CLI::App& app);

}  // namespace mquant::cli
