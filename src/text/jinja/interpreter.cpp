#include "text/jinja/interpreter.h"

#include <algorithm>
#include <array>
#include <utility>

#include "mquant/error.h"
#include "support/strings.h"
#include "text/jinja/access.h"
#include "text/jinja/library.h"
#include "text/jinja/operators.h"

namespace mquant::jinja {

Interpreter::Inner::Inner(Interpreter& interpreter, Scope* parent)
    : interpreter_(interpreter), before_(interpreter.scope_), scope_(std::make_unique<Scope>()) {
  interpreter.budget_.spend();
  scope_->parent = parent;
  interpreter.scope_ = scope_.get();
}

Interpreter::Inner::~Inner() {
  interpreter_.scope_ = before_;
  if (scope_->is_kept) interpreter_.kept_.push_back(std::move(scope_));
}

Interpreter::Interpreter(Variables variables, std::optional<Date> today) : today_(today) {
  globals_.variables = std::move(variables);
}

std::string Interpreter::run(const Body& body) {
  TextBuilder out;
  out_ = &out;
  try {
    const Inner inner(*this, &globals_);
    run_body(body);
  } catch (const Error& error) {
    throw Error(error.kind(), cat(place(at_), ": ", error.what()));
  }
  return out.take();
}

Interpreter::Flow Interpreter::run_body(const Body& body) {
  for (const auto& statement : body)
    if (const Flow flow = run(*statement); flow != Flow::on) return flow;
  return Flow::on;
}

Interpreter::Flow Interpreter::run(const Statement& statement) {
  const Level level(depth_);
  budget_.spend();
  at_ = statement.at;
  switch (statement.kind) {
    case Statement::Kind::data: out_->add(statement.text); break;
    case Statement::Kind::print: print(evaluate(*statement.value)); break;
    case Statement::Kind::choice: return run_choice(statement);
    case Statement::Kind::loop: return run_loop(statement);
    case Statement::Kind::set: assign(statement.target, evaluate(*statement.value)); break;
    case Statement::Kind::set_block: {
      Flow flow = Flow::on;
      const std::optional<Value> text = rendered(statement.body, flow);
      if (text) assign(statement.target, statement.filter ? filtered(*statement.filter, &*text) : *text);
      return flow;
    }
    case Statement::Kind::macro: define_macro(statement); break;
    case Statement::Kind::scope: return run_scope(statement);
    case Statement::Kind::filter: {
      Flow flow = Flow::on;
      if (const std::optional<Value> text = rendered(statement.body, flow))
        print(filtered(*statement.filter, &*text));
      return flow;
    }
    case Statement::Kind::leave: return Flow::leave;
    case Statement::Kind::next: return Flow::next;
  }
  return Flow::on;
}

Interpreter::Flow Interpreter::run_choice(const Statement& statement) {
  for (const Branch& branch : statement.branches)
    if (!branch.condition || is_true(evaluate(*branch.condition))) return run_body(branch.body);
  return Flow::on;
}

Interpreter::Flow Interpreter::run_loop(const Statement& statement) {
  const Value iterable = evaluate(*statement.value);
  budget_.spend(kStepsToKeep + extent_of(iterable).weight);
  Scope* const outer = scope_;
  Loop::Passes passes;
  if (statement.condition)
    passes = [&, outer](const Value& item) {
      const Inner inner(*this, outer);
      assign(statement.target, item);
      return is_true(evaluate(*statement.condition));
    };
  Loop& loop = loops_.emplace_back(iterable, std::move(passes), budget_);
  const Flow flow = run_turns(statement, loop);
  loop.end();
  return flow;
}

Interpreter::Flow Interpreter::run_turns(const Statement& statement, Loop& loop) {
  bool completed = false;  // Jinja: {% else %} runs unless a turn got to its end
  while (loop.advance()) {
    Inner inner(*this, scope_);
    inner.scope().set("loop", Value(Value::Data(&loop)));
    assign(statement.target, loop.current());
    const Flow flow = run_body(statement.body);
    if (flow == Flow::leave) break;
    completed = completed || flow == Flow::on;
  }
  if (completed) return Flow::on;
  const Inner inner(*this, scope_);
  return run_body(statement.otherwise);
}

Interpreter::Flow Interpreter::run_scope(const Statement& statement) {
  std::vector<Value> values;
  for (const auto& [target, value] : statement.assignments) values.push_back(evaluate(*value));
  const Inner inner(*this, scope_);
  for (std::size_t i = 0; i < values.size(); ++i) assign(statement.assignments[i].first, values[i]);
  return run_body(statement.body);
}

void Interpreter::assign(const Target& target, const Value& value) {
  if (!target.parts.empty()) {
    const std::vector<Value> items = items_of(value, budget_);
    if (items.size() != target.parts.size())
      fail(ErrorKind::input, "expected ", target.parts.size(), " values to unpack, found ", items.size());
    for (std::size_t i = 0; i < items.size(); ++i) assign(target.parts[i], items[i]);
  } else if (target.attribute.empty()) {
    scope_->set(target.name, value);
  } else {
    const Value object = look_up(target.name);
    Namespace* const* space = object.get_if<Namespace*>();
    if (!space) fail(ErrorKind::input, "cannot assign attribute on non-namespace object");
    (*space)->attributes.insert_or_assign(target.attribute, value);
  }
}

void Interpreter::print(const Value& value) {
  budget_.spend(extent_of(value).weight);
  out_->add(to_text(value));
}

std::optional<Value> Interpreter::rendered(const Body& body, Flow& flow) {
  std::string text = captured([&] {
    const Inner inner(*this, scope_);
    flow = run_body(body);
  });
  if (flow != Flow::on) return std::nullopt;
  return Value(std::move(text));
}

Value Interpreter::evaluate(const Expression& expression) {
  const Level level(depth_);
  budget_.spend();
  Value value = evaluate_unlocated(expression);
  at_ = expression.at;
  return value;
}

Value Interpreter::evaluate_unlocated(const Expression& expression) {
  using Kind = Expression::Kind;
  const auto operand = [&](std::size_t i) {
    return expression.operands[i] ? evaluate(*expression.operands[i]) : Value();
  };
  const auto here = [&](const Value& value) -> const Value& {  // an error that follows is this expression's
    at_ = expression.at;
    return value;
  };
  switch (expression.kind) {
    case Kind::constant: return expression.value;
    case Kind::name: return look_up(expression.name);
    case Kind::list:
    case Kind::tuple:
    case Kind::dict: return collect(expression);
    case Kind::attribute: {
      const Value object = operand(0);
      return attribute(here(object), expression.name, budget_);
    }
    case Kind::subscript: {
      const Value object = operand(0), key = operand(1);
      return subscript(here(object), key, budget_);
    }
    case Kind::slice: {
      const Value object = operand(0), begin = operand(1), end = operand(2), step = operand(3);
      budget_.spend(extent_of(object).weight);
      return slice(here(object), begin, end, step, budget_);
    }
    case Kind::call: return call(expression);
    case Kind::filter: return filtered(expression, nullptr);
    case Kind::test: {
      const Value subject = operand(0);
      const Arguments given = arguments(expression);
      return apply_test(expression.name, here(subject), given, budget_);
    }
    case Kind::negated: return !is_true(operand(0));
    case Kind::minus: return minus(here(operand(0)));
    case Kind::plus: return plus(here(operand(0)));
    case Kind::both: {
      Value left = operand(0);
      return is_true(left) ? operand(1) : left;
    }
    case Kind::either: {
      Value left = operand(0);
      return is_true(left) ? left : operand(1);
    }
    case Kind::arithmetic: {
      const Value left = operand(0), right = operand(1);
      if (expression.name == "%") budget_.spend(extent_of(right).weight);  // a format may cut it
      Value result = arithmetic(expression.name, here(left), right);
      budget_.spend(extent_of(result).weight);
      return result;
    }
    case Kind::joined: return join(expression);
    case Kind::compare: return compare(expression);
    case Kind::conditional:
      if (is_true(operand(0))) return operand(1);
      if (expression.operands[2]) return operand(2);
      return Value::undefined("the inline if-expression evaluated to false and no else section was defined");
  }
  fail(ErrorKind::internal, "a kind of expression that is not evaluated");
}

Value Interpreter::look_up(const std::string& name) {
  for (Scope* scope = scope_; scope; scope = scope->parent)
    if (const auto found = scope->variables.find(name); found != scope->variables.end()) return found->second;
  static constexpr std::array<std::string_view, 8> kUnknown = {"lipsum", "cycler", "joiner",  "self",
                                                               "super",  "caller", "varargs", "kwargs"};
  if (find_global(name)) return Value::function(name);
  if (std::ranges::find(kUnknown, name) != kUnknown.end())
    fail(ErrorKind::unsupported, "the variable '", name, "' of Jinja is not supported");
  return Value::undefined(cat("'", printable(name, kLongestShown), "' is undefined"));
}

Value Interpreter::collect(const Expression& expression) {
  std::vector<Value> items;
  for (const ExpressionPtr& operand : expression.operands) items.push_back(evaluate(*operand));
  if (expression.kind != Expression::Kind::dict)
    return Value::sequence(std::move(items), expression.kind == Expression::Kind::list
                                                 ? Sequence::Form::list
                                                 : Sequence::Form::tuple);
  Pairs pairs;
  for (std::size_t i = 0; i < items.size(); i += 2)
    pairs.emplace_back(std::move(items[i]), std::move(items[i + 1]));
  budget_.spend(steps_of_dict(pairs.size()));
  return Value::dict(std::move(pairs));
}

Value Interpreter::compare(const Expression& expression) {
  Value left = evaluate(*expression.operands[0]);
  for (std::size_t i = 0; i < expression.signs.size(); ++i) {
    Value right = evaluate(*expression.operands[i + 1]);
    at_ = expression.at;
    budget_.spend(extent_of(left).weight);
    budget_.spend(extent_of(right).weight);
    if (!jinja::compare(expression.signs[i], left, right)) return false;
    left = std::move(right);
  }
  return true;
}

Value Interpreter::join(const Expression& expression) {
  TextBuilder out;
  for (const ExpressionPtr& operand : expression.operands) {
    const Value value = evaluate(*operand);
    budget_.spend(extent_of(value).weight);
    out.add(to_text(value));
  }
  return out.take();
}

Arguments Interpreter::arguments(const Expression& expression) {
  Arguments out;
  for (std::size_t i = 1; i < expression.operands.size(); ++i)
    out.positional.push_back(evaluate(*expression.operands[i]));
  for (const auto& [name, value] : expression.named) out.named.emplace_back(name, evaluate(*value));
  return out;
}

Value Interpreter::filtered(const Expression& filter, const Value* innermost) {
  const Level level(depth_);
  const ExpressionPtr& operand = filter.operands[0];
  const Value subject = !operand ? *innermost
                        : innermost && operand->kind == Expression::Kind::filter
                            ? filtered(*operand, innermost)
                            : evaluate(*operand);
  const Arguments given = arguments(filter);
  at_ = filter.at;
  Value result = apply_filter(filter.name, subject, given, budget_);
  budget_.spend(extent_of(result).weight);
  return result;
}

}  // namespace mquant::jinja
