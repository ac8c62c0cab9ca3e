#include "bound_options.h"

#include <array>
#include <charconv>

#include "mquant/error.h"
#include "support/strings.h"

namespace mquant::cli {
namespace {

double number(const std::string& option, const std::string& text) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end)
    fail(ErrorKind::usage, option, ": expected a number, found '", text, "'");
  return value;
}

TokenClass class_named(const std::string& name) {
  std::vector<std::string> names;
  for (const TokenClass token_class : kAllTokenClasses) {
    names.emplace_back(token_class_name(token_class));
    if (name == names.back()) return token_class;
  }
  fail(ErrorKind::usage, "--max-kl: no token class '", name, "'", did_you_mean(name, names),
       " (known: ", join(names, ", "), ")");
}

}  // namespace

void BoundOptions::add_options(CLI::App& command) {
  command.add_option("--min-exact", min_exact_, "Exit with 6 if fewer of the answers, in %, are exact")
      ->type_name("PCT");
  command.add_option("--max-perplexity", max_perplexity_, "Exit with 6 if that of the answers is larger")
      ->type_name("X");
  command
      .add_option("--max-kl", max_kl_,
                  "Exit with 6 if KL against --reference, in nats, is larger for any class but sink, or for "
                  "CLASS; may "
                  "be repeated")
      ->type_name("X|CLASS=X")
      ->allow_extra_args(false);
}

EvalBounds BoundOptions::bounds() const {
  EvalBounds bounds;
  if (min_exact_) bounds.min_exact = number("--min-exact", *min_exact_);
  if (max_perplexity_) bounds.max_perplexity = number("--max-perplexity", *max_perplexity_);
  for (const std::string& text : max_kl_) {
    const std::size_t equals = text.find('=');
    bool is_new = true;
    if (equals == std::string::npos) {
      is_new = !bounds.max_kl;
      bounds.max_kl = number("--max-kl", text);
    } else {
      const TokenClass token_class = class_named(text.substr(0, equals));
      is_new = bounds.max_kl_of.emplace(token_class, number("--max-kl", text.substr(equals + 1))).second;
    }
    if (!is_new) fail(ErrorKind::usage, "--max-kl ", text, ": given twice for the same tokens");
  }
  return bounds;
}

}  // namespace mquant::cli
