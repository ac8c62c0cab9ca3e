#include "text/jinja/template.h"

#include <nlohmann/json.hpp>

#include "mquant/error.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/parser.h"
#include "text/unicode.h"

namespace mquant::jinja {
namespace {

constexpr std::size_t kLongestTemplate = std::size_t{1} << 20;

}  // namespace

void check_source(std::string_view text) {
  if (text.size() > kLongestTemplate)
    fail(ErrorKind::input, "expected at most ", kLongestTemplate, " bytes, found ", text.size());
  if (const std::size_t bad = first_invalid_utf8(text); bad != std::string::npos)
    fail(ErrorKind::input, "not UTF-8 at byte ", bad);
}

struct Template::Tree {
  Body body;
};

Template::Template(std::string name, std::unique_ptr<const Tree> tree, std::set<std::string> words)
    : name_(std::move(name)), tree_(std::move(tree)), words_(std::move(words)) {}
Template::~Template() = default;
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;

Template Template::parse(std::string_view text, std::string name) {
  return in_context(name, [&] {
    check_source(text);
    const std::vector<Token> tokens = tokenize(text);
    std::set<std::string> words;
    for (const Token& token : tokens)
      if (token.kind == Token::Kind::name || token.kind == Token::Kind::text) words.insert(token.text);
    auto tree = std::make_unique<Tree>();
    tree->body = jinja::parse(tokens);
    return Template(name, std::move(tree), std::move(words));
  });
}

std::string Template::render(const nlohmann::ordered_json& variables,
                             const std::optional<Date>& today) const {
  return in_context(name_, [&] {
    Variables values;
    for (const auto& [key, value] : variables.items()) values.insert_or_assign(key, Value::from_json(value));
    return Interpreter(std::move(values), today).run(tree_->body);
  });
}

}  // namespace mquant::jinja
