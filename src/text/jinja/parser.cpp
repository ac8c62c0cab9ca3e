// The statements of Jinja 3.1, one function for each tag.
#include "text/jinja/parser.h"

#include <algorithm>
#include <initializer_list>
#include <set>
#include <string>

#include "mquant/error.h"
#include "text/jinja/expression_parser.h"

namespace mquant::jinja {
namespace {

constexpr int kDeepestStatement = 50;

using Words = std::initializer_list<std::string_view>;

class StatementParser : private ExpressionParser {
 public:
  explicit StatementParser(const std::vector<Token>& tokens) : ExpressionParser(tokens) {}

  Body run() {
    Body body = statements({});
    require(now().kind == Token::Kind::end, "a template was not read to its end");
    return body;
  }

 private:
  using Kind = Statement::Kind;

  static std::unique_ptr<Statement> make(Kind kind, const Position& at) {
    auto statement = std::make_unique<Statement>();
    statement->kind = kind;
    statement->at = at;
    return statement;
  }

  /// Up to a tag that begins with one of `ends`, whose word comes next; or to the end of the template, if none is given.
  Body statements(Words ends) {
    Body body;
    const Position begin = now().at;
    if (++depth_ > kDeepestStatement)
      refuse(begin, cat("tags nested more than ", kDeepestStatement, " levels deep are not supported"),
             ErrorKind::unsupported);
    while (now().kind != Token::Kind::end) {
      if (now().kind == Token::Kind::data) {
        auto data = make(Kind::data, now().at);
        data->text = next().text;
        body.push_back(std::move(data));
      } else if (now().kind == Token::Kind::print_begin) {
        body.push_back(print());
      } else {
        expect(Token::Kind::tag_begin, "a tag");
        if (std::ranges::any_of(ends, [&](std::string_view end) { return is_word(end); })) {
          --depth_;
          return body;
        }
        body.push_back(tag());
        expect(Token::Kind::tag_end, "the end of the tag");
      }
    }
    if (ends.size() > 0)
      refuse(begin, cat("expected {% ", *(ends.end() - 1), " %}, found the end of the template"));
    --depth_;
    return body;
  }

  /// What follows a tag that opens a body, up to the word of the tag that ends it.
  Body block(Words ends) {
    skip_sign(":");  // as in Python
    expect(Token::Kind::tag_end, "the end of the tag");
    return statements(ends);
  }
  Body whole_block(std::string_view end) {
    Body body = block({end});
    next();
    return body;
  }

  std::unique_ptr<Statement> print() {
    auto statement = make(Kind::print, next().at);
    statement->value = tuple(true);
    expect(Token::Kind::print_end, "'}}'");
    return statement;
  }

  std::unique_ptr<Statement> tag() {
    if (now().kind != Token::Kind::name) refuse_now("the name of a tag");
    const Token& word = next();
    if (word.text == "if") return choice(word.at);
    if (word.text == "for") return loop(word.at);
    if (word.text == "set") return set(word.at);
    if (word.text == "macro") return macro(word.at);
    if (word.text == "with") return with(word.at);
    if (word.text == "filter") return filter_block(word.at);
    if (word.text == "break" || word.text == "continue") {
      if (loops_ == 0) refuse(word.at, cat("{% ", word.text, " %} outside of a loop"));
      return make(word.text == "break" ? Kind::leave : Kind::next, word.at);
    }
    if (word.text == "generation") {
      auto statement = make(Kind::scope, word.at);
      statement->body = outside_of_loops([&] { return whole_block("endgeneration"); });
      return statement;
    }
    static constexpr std::string_view kEnds[] = {"elif",          "else",     "endif",   "endfor",
                                                 "endset",        "endmacro", "endwith", "endfilter",
                                                 "endgeneration", "endraw"};
    if (std::ranges::find(kEnds, word.text) != std::end(kEnds))
      refuse(word.at, cat("{% ", word.text, " %} without its beginning"));
    refuse(word.at, cat("the tag '", word.text, "' is not supported"), ErrorKind::unsupported);
  }

  std::unique_ptr<Statement> choice(const Position& at) {
    auto statement = make(Kind::choice, at);
    for (bool more = true; more;) {
      Branch branch{tuple(false), block({"elif", "else", "endif"})};
      statement->branches.push_back(std::move(branch));
      more = next().text == "elif";
    }
    if (last_word() == "else") statement->branches.push_back({nullptr, whole_block("endif")});
    return statement;
  }

  std::unique_ptr<Statement> loop(const Position& at) {
    auto statement = make(Kind::loop, at);
    statement->target = target(/*attributes=*/false);
    if (!skip_word("in")) refuse_now("'in'");
    statement->value = tuple(false);
    if (skip_word("if")) statement->condition = expression();
    if (is_word("recursive")) refuse(now().at, "recursive loops are not supported", ErrorKind::unsupported);
    ++loops_;
    statement->body = block({"else", "endfor"});
    --loops_;
    if (next().text == "else") statement->otherwise = whole_block("endfor");
    return statement;
  }

  std::unique_ptr<Statement> set(const Position& at) {
    auto statement = make(Kind::set, at);
    statement->target = target(/*attributes=*/true);
    if (skip_sign("=")) {
      statement->value = tuple(true);
      return statement;
    }
    statement->kind = Kind::set_block;
    if (is_sign("|")) statement->filter = filters(nullptr);
    statement->body = whole_block("endset");
    return statement;
  }

  std::unique_ptr<Statement> macro(const Position& at) {
    auto statement = make(Kind::macro, at);
    statement->text = identifier();
    if (!skip_sign("(")) refuse_now("'('");
    while (!skip_sign(")")) {
      if (!statement->parameters.empty() && !skip_sign(",")) refuse_now("',' or ')'");
      if (skip_sign(")")) break;
      Parameter parameter{identifier(), nullptr};
      if (skip_sign("="))
        parameter.otherwise = expression();
      else if (!statement->parameters.empty() && statement->parameters.back().otherwise)
        refuse(now().at, "a parameter without a default after one that has one");
      statement->parameters.push_back(std::move(parameter));
    }
    statement->body = body_of_macro(statement->parameters);
    return statement;
  }

  /// A macro that reads one of these names takes the arguments that no parameter takes, or is
  /// called by {% call %}.
  Body body_of_macro(const std::vector<Parameter>& parameters) {
    std::set<std::string> names = {"caller", "kwargs", "varargs"};
    for (const Parameter& parameter : parameters)
      if (parameter.name != "caller") names.erase(parameter.name);
    std::swap(names, names_of_call_);
    Body body = outside_of_loops([&] { return whole_block("endmacro"); });
    std::swap(names, names_of_call_);
    return body;
  }

  std::unique_ptr<Statement> with(const Position& at) {
    auto statement = make(Kind::scope, at);
    while (now().kind == Token::Kind::name) {
      Target name = target(/*attributes=*/false, /*one=*/true);
      if (!skip_sign("=")) refuse_now("'='");
      statement->assignments.emplace_back(std::move(name), expression());
      if (!skip_sign(",")) break;
    }
    statement->body = whole_block("endwith");
    return statement;
  }

  std::unique_ptr<Statement> filter_block(const Position& at) {
    auto statement = make(Kind::filter, at);
    statement->filter = filters(nullptr, /*inline_start=*/true);
    statement->body = whole_block("endfilter");
    return statement;
  }

  /// break and continue do not leave a macro.
  template <class Parse>
  Body outside_of_loops(Parse&& parse) {
    const int loops = std::exchange(loops_, 0);
    Body body = parse();
    loops_ = loops;
    return body;
  }

  Target target(bool attributes, bool one = false) {
    Target all{.at = now().at, .name = {}, .attribute = {}, .parts = {}};
    bool is_tuple = false;
    do {
      if (!all.parts.empty() && now().kind != Token::Kind::name && !is_sign("("))
        break;  // a comma at the end
      all.parts.push_back(one_target(attributes));
      is_tuple = is_tuple || is_sign(",");
    } while (!one && skip_sign(","));
    if (is_tuple && !one) return all;
    Target first = std::move(all.parts.front());
    return first;
  }

  Target one_target(bool attributes) {
    const Position at = now().at;
    if (skip_sign("(")) {
      if (++depth_ > kDeepestStatement)
        refuse(at, cat("names in more than ", kDeepestStatement, " pairs of brackets are not supported"),
               ErrorKind::unsupported);
      Target inner = target(attributes);
      --depth_;
      if (!skip_sign(")")) refuse_now("')'");
      return inner;
    }
    Target target{.at = at, .name = identifier(), .attribute = {}, .parts = {}};
    static constexpr std::string_view kConstants[] = {"true", "false", "none", "True", "False", "None"};
    if (std::ranges::find(kConstants, target.name) != std::end(kConstants))
      refuse(at, cat("cannot assign to '", target.name, "'"));
    if (attributes && skip_sign("."))
      target.attribute = identifier();
    else
      names_of_call_.erase(target.name);  // a variable of its own
    return target;
  }

  int depth_ = 0, loops_ = 0;
};

}  // namespace

Body parse(const std::vector<Token>& tokens) { return StatementParser(tokens).run(); }

}  // namespace mquant::jinja
