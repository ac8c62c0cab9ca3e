#include "mquant/scheme.h"

#include <array>
#include <vector>

#include "mquant/error.h"
#include "support/strings.h"

namespace mquant {
namespace {

constexpr std::array kSchemes = {QuantScheme{4, 8},  QuantScheme{8, 8},  QuantScheme{4, 16},
                                 QuantScheme{8, 16}, QuantScheme{16, 8}, QuantScheme{16, 16}};

}  // namespace

std::string QuantScheme::name() const {
  return is_float() ? "float" : cat("w", weight_bits, "a", activation_bits);
}

QuantScheme parse_scheme(const std::string& text) {
  std::vector<std::string> names;
  for (const QuantScheme& scheme : kSchemes) {
    if (scheme.name() == text) return scheme;
    names.push_back(scheme.name());
  }
  fail(ErrorKind::usage, "no scheme '", text, "'", did_you_mean(text, names), " (known: ", join(names, ", "),
       ")");
}

std::string_view token_class_name(TokenClass token_class) {
  switch (token_class) {
    case TokenClass::text: return "text";
    case TokenClass::visual: return "visual";
    case TokenClass::sink: return "sink";
  }
  return "text";
}

}  // namespace mquant
