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

void ExpressionParser::add(Expression& node, ExpressionPtr operand) {
  if (operand) node.depth = std::max(node.depth, operand->depth + 1);
  if (node.depth > kDeepestExpression)
    refuse(node.at, cat("an expression of more than ", kDeepestExpression, " levels is not supported"),
           ErrorKind::unsupported);
  if (operand && operand->kind == Kind::filter && operand->name == "safe" && node.kind != Kind::joined)
    refuse(operand->at, "the filter 'safe' is supported only as the last one of what is printed",
           ErrorKind::unsupported);
  node.operands.push_back(node.kind == Kind::joined ? without_safe(std::move(operand)) : std::move(operand));
}

ExpressionParser::Node ExpressionParser::binary(Kind kind, const Position& at, ExpressionPtr left,
                                                ExpressionPtr right, std::string name) {
  Node node = make(kind, at);
  node->name = std::move(name);
  add(*node, std::move(left));
  add(*node, std::move(right));
  return node;
}

ExpressionPtr ExpressionParser::without_safe(ExpressionPtr value) {
  if (!value || value->kind != Kind::filter || value->name != "safe") return value;
  return std::move(value->operands.front());
}

ExpressionPtr ExpressionParser::conditional() {
  const Nesting nesting(level_);
  if (level_ > kDeepestExpression)
    refuse(now().at, "expressions nested too deep are not supported", ErrorKind::unsupported);
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

ExpressionPtr ExpressionParser::either() {
  ExpressionPtr left = both();
  while (is_word("or")) {
    const Position at = next().at;
    left = binary(Kind::either, at, std::move(left), both());
  }
  return left;
}

ExpressionPtr ExpressionParser::both() {
  ExpressionPtr left = negated();
  while (is_word("and")) {
    const Position at = next().at;
    left = binary(Kind::both, at, std::move(left), negated());
  }
  return left;
}

ExpressionPtr ExpressionParser::negated() {
  if (!is_word("not")) return compare();
  const Nesting nesting(level_);
  if (level_ > kDeepestExpression) refuse(now().at, "nested too deep", ErrorKind::unsupported);
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
  ExpressionPtr left = joined();
  while (is_sign("+") || is_sign("-")) {
    const Token& sign = next();
    left = binary(Kind::arithmetic, sign.at, std::move(left), joined(), sign.text);
  }
  return left;
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
  ExpressionPtr left = power();
  while (is_sign("*") || is_sign("/") || is_sign("//") || is_sign("%")) {
    const Token& sign = next();
    left = binary(Kind::arithmetic, sign.at, std::move(left), power(), sign.text);
  }
  return left;
}

ExpressionPtr ExpressionParser::power() {
  ExpressionPtr left = unary(true);
  while (is_sign("**")) {
    const Token& sign = next();
    left = binary(Kind::arithmetic, sign.at, std::move(left), unary(true), sign.text);
  }
  return left;
}

ExpressionPtr ExpressionParser::unary(bool with_filter) {
  ExpressionPtr value;
  if (is_sign("-") || is_sign("+")) {
    const Nesting nesting(level_);
    if (level_ > kDeepestExpression) refuse(now().at, "nested too deep", ErrorKind::unsupported);
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
