// Options of passes and of calibration: defaults, types, choices, and their text on the command line.
#pragma once

#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/json_text.h"
#include "mquant/pass_table.h"
#include "mquant/recipe.h"
#include "mquant/sample.h"

namespace mquant {

/// Every option of the table, from `given` or its default; values are converted to the type of the default.
/// @param where  begins messages: "w4a8.json: pass 'round'"
/// @throws Error{usage} for an unknown key (with the nearest), a wrong type, a number out of range, a text that is no
/// choice.
Json completed(const Json& given, std::span<const PassOption> options, const std::string& where);

/// The JSON schema of the value of an option, and of an object that `completed` takes.
OrderedJson option_schema(const PassOption& option);
OrderedJson options_schema(std::span<const PassOption> options);

/// `text` as the value of an option, by the type of its default: true|false, a number, or the text as it is.
Json value_of_text(const PassOption& option, const std::string& text, const std::string& where);

/// "a, b, c" for messages, and the end of one: "; did you mean 'b'?" or " (known: a, b, c)".
std::string suggestion(std::string_view word, std::span<const std::string> known);

/// The entry of a pass in the table.
/// @throws Error{usage} beginning with `origin` for a name that it lacks, with the nearest
const PassInfo& pass_info(const std::string& name, const std::string& origin);

/// Token classes in a text: "all", or names with commas between them.
/// @throws Error{usage} for an unknown name (with the nearest), and for a list without text: decoded tokens are text.
std::set<TokenClass> token_classes(const std::string& text, const std::string& where);
/// The one spelling of a set of token classes: "all", or their names in the order of the classes.
std::string text_of(const std::set<TokenClass>& classes);

/// parse_recipe of a parsed document.
Recipe recipe_of_document(const Json& document, const std::string& origin,
                          const std::vector<std::string>& overrides);

}  // namespace mquant
