#include "text/jinja/expression_parser.h"

#include <algorithm>
#include <array>

#include "io/json_text.h"

namespace mquant::jinja {
namespace {

constexpr int kDeepestExpression = 100;

std::string describe(const Token& token) {
  switch (token.kind) {
    case Token::Kind::data: return "text";
    case Token::Kind::print_begin: return "'{{'";
    case Token::Kind::print_end: return "'}}'";
    case Token::Kind::tag_begin: return "'{%'";
    case Token::Kind::tag_end: return "'%}'";
    case Token::Kind::end: return "the end of the template";
    default: return cat("'", printable(token.text), "'");
  }
}

[[noreturn]] void refuse_deep(const Position& at) {
  fail(ErrorKind::unsupported, place(at), ": an expression of more than ", kDeepestExpression,
       " levels is not supported");
}

class Nesting {
 public:
  explicit Nesting(int& depth) : depth_(++depth) {}
  ~Nesting() { --depth_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  int& depth_;
};

}  // namespace

void ExpressionParser::refuse(const Position& at, const std::string& what, ErrorKind kind) {
  fail(kind, place(at), ": ", what);
}

void ExpressionParser::refuse_now(std::string_view expected) const {
  refuse(now().at, cat("expected ", expected, ", found ", describe(now())));
}

bool ExpressionParser::skip_word(std::string_view word) {
  if (!is_word(word)) return false;
  next();
  return true;
}

bool ExpressionParser::skip_sign(std::string_view sign) {
  if (!is_sign(sign)) return false;
  next();
  return true;
}

void ExpressionParser::expect(Token::Kind kind, const char* what) {
  if (now().kind != kind) refuse_now(what);
  next();
}

std::string ExpressionParser::identifier() {
  if (now().kind != Token::Kind::name) refuse_now("a name");
  return next().text;
}

void ExpressionParser::require_shallow() const {
  if (level_ > kDeepestExpression) refuse_deep(now().at);
}

void ExpressionParser::add(Expression& node, ExpressionPtr operand) {
  if (operand) node.depth = std::max(node.depth, operand->depth + 1);
  if (node.depth > kDeepestExpression) refuse_deep(node.at);
  node.operands.push_back(std::move(operand));
}

ExpressionParser::Node ExpressionParser::binary(Kind kind, const Position& at, ExpressionPtr left,
                                                ExpressionPtr right, std::string name) {
  Node node = make(kind, at);
  node->name = std::move(name);
  add(*node, std::move(left));
  add(*node, std::move(right));
  return node;
}

ExpressionPtr ExpressionParser::conditional() {
  const Nesting nesting(level_);
  require_shallow();
  ExpressionPtr value = either();
  while (is_word("if")) {
    Node node = make(Kind::conditional, next().at);
    add(*node, either());
    add(*node, std::move(value));
    add(*node, skip_word("else") ? conditional() : nullptr);
    value = std::move(node);
  }
  return value;
}

ExpressionPtr ExpressionParser::left_associative(Kind kind, std::initializer_list<std::string_view> signs,
                                                 ExpressionPtr (ExpressionParser::*operand)()) {
  ExpressionPtr left = (this->*operand)();
  while ((now().kind == Token::Kind::sign || now().kind == Token::Kind::name) &&
         std::ranges::find(signs, now().text) != signs.end()) {
    const Token& sign = next();
    ExpressionPtr right = (this->*operand)();
    left = binary(kind, sign.at, std::move(left), std::move(right), sign.text);
  }
  return left;
}

ExpressionPtr ExpressionParser::either() {
  return left_associative(Kind::either, {"or"}, &ExpressionParser::both);
}

ExpressionPtr ExpressionParser::both() {
  return left_associative(Kind::both, {"and"}, &ExpressionParser::negated);
}

ExpressionPtr ExpressionParser::negated() {
  if (!is_word("not")) return compare();
  const Nesting nesting(level_);
  require_shallow();
  Node node = make(Kind::negated, next().at);
  add(*node, negated());
  return node;
}

ExpressionPtr ExpressionParser::compare() {
  static constexpr std::array<std::string_view, 6> kSigns = {"==", "!=", "<", "<=", ">", ">="};
  ExpressionPtr first = sum();
  Node node;
  while (true) {
    const Position at = now().at;
    std::string sign;
    if (now().kind == Token::Kind::sign && std::ranges::find(kSigns, now().text) != kSigns.end())
      sign = next().text;
    else if (skip_word("in"))
      sign = "in";
    else if (is_word("not") && is(ahead(), Token::Kind::name, "in"))
      next(), next(), sign = "not in";
    if (sign.empty()) break;
    if (!node) {
      node = make(Kind::compare, at);
      add(*node, std::move(first));
    }
    node->signs.push_back(std::move(sign));
    add(*node, sum());
  }
  return node ? std::move(node) : std::move(first);
}

ExpressionPtr ExpressionParser::sum() {
  return left_associative(Kind::arithmetic, {"+", "-"}, &ExpressionParser::joined);
}

ExpressionPtr ExpressionParser::joined() {
  ExpressionPtr first = product();
  if (!is_sign("~")) return first;
  Node node = make(Kind::joined, now().at);
  add(*node, std::move(first));
  while (skip_sign("~")) add(*node, product());
  return node;
}

ExpressionPtr ExpressionParser::product() {
  return left_associative(Kind::arithmetic, {"*", "/", "//", "%"}, &ExpressionParser::power);
}

ExpressionPtr ExpressionParser::power() {
  return left_associative(Kind::arithmetic, {"**"}, &ExpressionParser::factor);
}

ExpressionPtr ExpressionParser::unary(bool with_filter) {
  ExpressionPtr value;
  if (is_sign("-") || is_sign("+")) {
    const Nesting nesting(level_);
    require_shallow();
    const Token& sign = next();
    Node node = make(sign.text == "-" ? Kind::minus : Kind::plus, sign.at);
    add(*node, unary(false));
    value = std::move(node);
  } else {
    value = primary();
  }
  value = postfix(std::move(value));
  return with_filter ? postfix_filters(std::move(value)) : std::move(value);
}

ExpressionPtr ExpressionParser::primary() {
  const Token& token = now();
  if (is_sign("(")) {
    next();
    ExpressionPtr inner = tuple(true, true);
    if (!skip_sign(")")) refuse_now("')'");
    return inner;
  }
  if (is_sign("[")) return list();
  if (is_sign("{")) return dict();
  Node node = make(Kind::constant, token.at);
  if (token.kind == Token::Kind::text) {
    std::string text;
    while (now().kind == Token::Kind::text) text += next().text;
    node->value = Value(std::move(text));
  } else if (token.kind == Token::Kind::number) {
    node->value = next().number;
  } else if (token.kind == Token::Kind::name) {
    const std::string& name = next().text;
    if (names_of_call_.contains(name))
      refuse(token.at, cat("'", name, "' in a macro is not supported"), ErrorKind::unsupported);
    if (name == "true" || name == "True" || name == "false" || name == "False") {
      node->value = Value(name == "true" || name == "True");
    } else if (name != "none" && name != "None") {
      node->kind = Kind::name;
      node->name = name;
    }
  } else {
    refuse(token.at, cat("expected a value, found ", describe(token)));
  }
  return node;
}

ExpressionPtr ExpressionParser::tuple(bool with_conditional, bool in_parentheses) {
  const Position at = now().at;
  const auto ends = [&] {
    return now().kind == Token::Kind::print_end || now().kind == Token::Kind::tag_end || is_sign(")");
  };
  std::vector<ExpressionPtr> items;
  bool is_tuple = false;
  while (!ends()) {
    items.push_back(with_conditional ? expression() : either());
    if (!skip_sign(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && items.size() == 1) return std::move(items.front());
  if (items.empty() && !in_parentheses) refuse_now("an expression");
  Node node = make(Kind::tuple, at);
  for (ExpressionPtr& item : items) add(*node, std::move(item));
  return node;
}

ExpressionPtr ExpressionParser::list() {
  Node node = make(Kind::list, next().at);
  while (!skip_sign("]")) {
    if (!node->operands.empty() && !skip_sign(",")) refuse_now("',' or ']'");
    if (skip_sign("]")) break;
    add(*node, expression());
  }
  return node;
}

ExpressionPtr ExpressionParser::dict() {
  Node node = make(Kind::dict, next().at);
  while (!skip_sign("}")) {
    if (!node->operands.empty() && !skip_sign(",")) refuse_now("',' or '}'");
    if (skip_sign("}")) break;
    add(*node, expression());
    if (!skip_sign(":")) refuse_now("':'");
    add(*node, expression());
  }
  return node;
}

}  // namespace mquant::jinja
