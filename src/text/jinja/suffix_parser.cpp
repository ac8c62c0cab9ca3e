// What follows a value: attributes, subscripts, calls, filters, tests.
#include <array>

#include "mquant/error.h"
#include "text/jinja/expression_parser.h"
#include "text/jinja/library.h"

namespace mquant::jinja {

ExpressionPtr ExpressionParser::postfix(ExpressionPtr value) {
  while (true) {
    if (is_sign(".") || is_sign("["))
      value = subscript(std::move(value));
    else if (is_sign("("))
      value = call(std::move(value));
    else
      return value;
  }
}

ExpressionPtr ExpressionParser::postfix_filters(ExpressionPtr value) {
  while (true) {
    if (is_sign("|"))
      value = filters(std::move(value));
    else if (is_word("is"))
      value = test(std::move(value));
    else if (is_sign("("))
      value = call(std::move(value));
    else
      return value;
  }
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr value) {
  const Token& token = next();
  if (token.text == ".") {
    Node node = make(now().kind == Token::Kind::name ? Kind::attribute : Kind::subscript, token.at);
    add(*node, std::move(value));
    if (now().kind == Token::Kind::name) {
      node->name = next().text;
      return node;
    }
    if (now().kind != Token::Kind::number || !now().number.integer())
      refuse(now().at, "expected a name or a number after '.'");
    Node index = make(Kind::constant, now().at);
    index->value = next().number;
    add(*node, std::move(index));
    return node;
  }
  std::array<ExpressionPtr, 3> parts;
  std::size_t part = 0;
  for (; !is_sign("]");) {
    if (skip_sign(":")) {
      if (++part == parts.size()) refuse(now().at, "a slice of more than three parts");
    } else if (is_sign(",")) {
      refuse(now().at, "several subscripts in one pair of brackets are not supported",
             ErrorKind::unsupported);
    } else if (!parts[part]) {
      parts[part] = expression();
    } else {
      refuse_now("']'");
    }
  }
  next();
  Node node = make(part == 0 ? Kind::subscript : Kind::slice, token.at);
  add(*node, std::move(value));
  if (part == 0 && !parts[0]) refuse(token.at, "an empty subscript");
  for (std::size_t i = 0; i < (part == 0 ? 1 : parts.size()); ++i) add(*node, std::move(parts[i]));
  return node;
}

void ExpressionParser::arguments(Expression& node) {
  next();
  for (bool first = true; !skip_sign(")"); first = false) {
    if (!first && !skip_sign(",")) refuse_now("',' or ')'");
    if (skip_sign(")")) return;
    if (is_sign("*") || is_sign("**"))
      refuse(now().at, "arguments from a list or dict (* and **) are not supported", ErrorKind::unsupported);
    if (now().kind == Token::Kind::name && is(ahead(), Token::Kind::sign, "=")) {
      std::string name = next().text;
      next();
      for (const auto& [known, value] : node.named)
        if (known == name) refuse(now().at, cat("the argument '", name, "' is there twice"));
      Node holder = make(Kind::list, now().at);  // its depth is checked as for others
      add(*holder, expression());
      node.depth = std::max(node.depth, holder->depth);
      node.named.emplace_back(std::move(name), std::move(holder->operands.front()));
    } else {
      if (!node.named.empty()) refuse(now().at, "an argument without a name after one that has one");
      add(node, expression());
    }
  }
}

ExpressionPtr ExpressionParser::call(ExpressionPtr value) {
  Node node = make(Kind::call, now().at);
  add(*node, std::move(value));
  arguments(*node);
  return node;
}

ExpressionPtr ExpressionParser::filters(ExpressionPtr value, bool inline_start) {
  while (inline_start || skip_sign("|")) {
    inline_start = false;
    Node node = make(Kind::filter, now().at);
    node->name = identifier();
    if (!is_filter(node->name))
      refuse(node->at, cat("the filter '", node->name, "' is not supported"), ErrorKind::unsupported);
    add(*node, std::move(value));
    if (is_sign("(")) arguments(*node);
    value = std::move(node);
  }
  return value;
}

/// A test takes one argument without brackets.
bool ExpressionParser::at_argument_of_test() const {
  if (now().kind == Token::Kind::text || now().kind == Token::Kind::number || is_sign("[") || is_sign("{"))
    return true;
  return now().kind == Token::Kind::name && !is_word("else") && !is_word("or") && !is_word("and");
}

ExpressionPtr ExpressionParser::test(ExpressionPtr value) {
  const Position at = next().at;
  const bool is_not = skip_word("not");
  Node node = make(Kind::test, now().at);
  node->name = identifier();
  if (!is_test(node->name))
    refuse(node->at, cat("the test '", node->name, "' is not supported"), ErrorKind::unsupported);
  add(*node, std::move(value));
  if (is_sign("(")) {
    arguments(*node);
  } else if (at_argument_of_test()) {
    if (is_word("is")) refuse(now().at, "tests cannot be chained with 'is'");
    add(*node, postfix(primary()));
  }
  if (!is_not) return node;
  Node negation = make(Kind::negated, at);
  add(*negation, std::move(node));
  return negation;
}

}  // namespace mquant::jinja
