// Expressions of Jinja: its levels of precedence.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mquant/error.h"
#include "text/jinja/syntax.h"

namespace mquant::jinja {

/// Reads tokens from front to back.  Throws as parse() does.
class ExpressionParser {
 public:
  explicit ExpressionParser(const std::vector<Token>& tokens) : tokens_(tokens) {}

 protected:
  [[noreturn]] static void refuse(const Position& at, const std::string& what,
                                  ErrorKind kind = ErrorKind::input);
  /// "expected ..., found" the token that comes next
  [[noreturn]] void refuse_now(std::string_view expected) const;

  const Token& now() const { return tokens_[at_]; }
  const Token& next() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  /// The token that next() gave last.
  std::string_view last_word() const { return tokens_[at_ - 1].text; }
  bool is_word(std::string_view word) const { return is(now(), Token::Kind::name, word); }
  bool is_sign(std::string_view sign) const { return is(now(), Token::Kind::sign, sign); }
  bool skip_word(std::string_view word);
  bool skip_sign(std::string_view sign);
  void expect(Token::Kind kind, const char* what);
  std::string identifier();

  ExpressionPtr expression() { return conditional(); }
  /// One expression, or several with commas between them.
  ExpressionPtr tuple(bool with_conditional, bool in_parentheses = false);
  /// "| name(...)", several times, on `value`; `inline_start`: the first has no "|" in front.
  ExpressionPtr filters(ExpressionPtr value, bool inline_start = false);

  /// Inside a macro: the variables that a call sets beside the parameters; none may be read.
  std::set<std::string> names_of_call_;

 private:
  using Kind = Expression::Kind;
  using Node = std::unique_ptr<Expression>;

  static bool is(const Token& token, Token::Kind kind, std::string_view text) {
    return token.kind == kind && token.text == text;
  }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  static Node make(Kind kind, const Position& at) {
    auto node = std::make_unique<Expression>();
    node->kind = kind;
    node->at = at;
    return node;
  }
  static void add(Expression& node, ExpressionPtr operand);
  /// Throws Error{unsupported} where expressions are nested beyond kDeepestExpression.
  void require_shallow() const;
  /// operand sign operand sign ...: each sign joins what is left of it with the next operand.
  ExpressionPtr left_associative(Kind kind, std::initializer_list<std::string_view> signs,
                                 ExpressionPtr (ExpressionParser::*operand)());
  static Node binary(Kind kind, const Position& at, ExpressionPtr left, ExpressionPtr right,
                     std::string name = {});

  ExpressionPtr conditional();
  ExpressionPtr either();
  ExpressionPtr both();
  ExpressionPtr negated();
  ExpressionPtr compare();
  ExpressionPtr sum();
  ExpressionPtr joined();
  ExpressionPtr product();
  ExpressionPtr power();
  ExpressionPtr factor() { return unary(/*with_filter=*/true); }
  ExpressionPtr unary(bool with_filter);
  ExpressionPtr primary();
  ExpressionPtr list();
  ExpressionPtr dict();
  ExpressionPtr postfix(ExpressionPtr value);
  ExpressionPtr postfix_filters(ExpressionPtr value);
  ExpressionPtr subscript(ExpressionPtr value);
  ExpressionPtr call(ExpressionPtr value);
  ExpressionPtr test(ExpressionPtr value);
  void arguments(Expression& node);
  bool at_argument_of_test() const;

  const std::vector<Token>& tokens_;
  std::size_t at_ = 0;
  int level_ = 0;
};

}  // namespace mquant::jinja
