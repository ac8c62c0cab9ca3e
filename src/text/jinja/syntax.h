// The tree of a template.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/lexer.h"
#include "text/jinja/value.h"

namespace mquant::jinja {

struct Expression;
struct Statement;
using ExpressionPtr = std::unique_ptr<Expression>;
using Body = std::vector<std::unique_ptr<const Statement>>;

struct Expression {
  enum class Kind {
    constant,    ///< value
    name,        ///< name
    list,        ///< operands
    tuple,       ///< operands
    dict,        ///< operands: key, value, key, value
    attribute,   ///< operands[0].name
    subscript,   ///< operands[0][operands[1]]
    slice,       ///< operands[0][operands[1]:operands[2]:operands[3]]; null where absent
    call,        ///< operands[0](the others, named)
    filter,      ///< operands[0] | name(the others, named)
    test,        ///< operands[0] is name(the others, named)
    negated,     ///< not operands[0]
    minus,       ///< -operands[0]
    plus,        ///< +operands[0]
    both,        ///< operands[0] and operands[1]
    either,      ///< operands[0] or operands[1]
    arithmetic,  ///< operands[0] name operands[1], of + - * / // % **
    joined,      ///< operands[0] ~ operands[1] ~ ...
    compare,     ///< operands[0] signs[0] operands[1] signs[1] ..., in and not in among them
    conditional  ///< operands[1] if operands[0] else operands[2], which may be null
  };
  Kind kind = Kind::constant;
  Position at;
  std::string name;
  Value value;
  std::vector<ExpressionPtr> operands;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  std::vector<std::string> signs;
  int depth = 1;  ///< levels of this tree: evaluating and destroying it recurse
};

/// What a value is assigned to: a name, an attribute of a namespace, or several of them.
struct Target {
  Position at;
  std::string name, attribute;
  std::vector<Target> parts;  ///< if it is a tuple
};

struct Parameter {
  std::string name;
  ExpressionPtr otherwise;  ///< null: undefined
};

struct Branch {
  ExpressionPtr condition;  ///< null: else
  Body body;
};

struct Statement {
  enum class Kind {
    data,       ///< text
    print,      ///< value
    choice,     ///< branches
    loop,       ///< for target in value if condition: body, else otherwise
    set,        ///< target = value
    set_block,  ///< target = what body renders, through `filter`
    macro,      ///< text(parameters): body
    scope,      ///< {% with %}: assignments, body; {% generation %}
    filter,     ///< what body renders, through `filter`
    leave,      ///< {% break %}
    next        ///< {% continue %}
  };
  Kind kind = Kind::data;
  Position at;
  std::string text;
  Target target;
  ExpressionPtr value, condition;
  ExpressionPtr filter;  ///< whose innermost operand is null: the text comes there
  Body body, otherwise;
  std::vector<Branch> branches;
  std::vector<Parameter> parameters;
  std::vector<std::pair<Target, ExpressionPtr>> assignments;
};

struct Macro {
  std::string name;
  const Statement* definition = nullptr;
  struct Scope* scope = nullptr;  ///< where it was defined
};

}  // namespace mquant::jinja
