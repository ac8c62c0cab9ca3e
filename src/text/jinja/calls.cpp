// Macros, namespaces and functions in a run of a template.
#include <algorithm>
#include <map>

#include "mquant/error.h"
#include "support/strings.h"
#include "text/jinja/access.h"
#include "text/jinja/interpreter.h"

namespace mquant::jinja {

void Interpreter::define_macro(const Statement& statement) {
  budget_.spend(kStepsToKeep);
  macros_.push_back({statement.text, &statement, scope_});
  for (Scope* scope = scope_; scope; scope = scope->parent) scope->is_kept = true;
  scope_->set(statement.text, Value(Value::Data(static_cast<const Macro*>(&macros_.back()))));
}

Value Interpreter::call(const Expression& expression) {
  const Value function = evaluate(*expression.operands[0]);
  const Arguments given = arguments(expression);
  at_ = expression.at;
  budget_.spend(weight_of(given));
  if (function.is_undefined()) fail_undefined(function);
  if (const auto* macro = function.get_if<const Macro*>()) return call_macro(**macro, given);
  const auto* known = function.get_if<std::shared_ptr<const Function>>();
  if (!known) fail(ErrorKind::input, "'", type_name(function), "' object is not callable");
  const Function& callee = **known;
  Value result;
  if (const Global global = find_global(callee.name); callee.self.is_none() && global)
    result = (this->*global)(given);
  else if (Loop* const* loop = callee.self.get_if<Loop*>())
    result = (*loop)->call(callee.name, given);
  else
    result = call_method(callee, given, budget_);
  budget_.spend(extent_of(result).weight);
  return result;
}

Value Interpreter::call_macro(const Macro& macro, const Arguments& given) {
  const Level level(depth_);
  const auto& parameters = macro.definition->parameters;
  if (given.positional.size() > parameters.size())
    fail(ErrorKind::input, "macro '", macro.name, "' takes not more than ", parameters.size(), " arguments");
  for (const auto& [name, value] : given.named) {
    const auto at = std::ranges::find(parameters, name, &Parameter::name) - parameters.begin();
    if (at == std::ssize(parameters))
      fail(ErrorKind::input, "macro '", macro.name, "' takes no keyword argument '", name, "'");
    if (at < std::ssize(given.positional))
      fail(ErrorKind::input, "macro '", macro.name, "' got '", name, "' twice");
  }
  return captured([&] {
    Inner inner(*this, macro.scope);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const Value* named = find_named(given, parameters[i].name);
      Value value;
      if (i < given.positional.size())
        value = given.positional[i];
      else if (named)
        value = *named;
      else if (parameters[i].otherwise)
        value = evaluate(*parameters[i].otherwise);
      else
        value = Value::undefined(
            cat("parameter '", printable(parameters[i].name, kLongestShown), "' was not provided"));
      inner.scope().set(parameters[i].name, std::move(value));
    }
    run_body(macro.definition->body);
  });
}

Value Interpreter::make_namespace(const Arguments& given) {
  budget_.spend(kStepsToKeep);
  namespaces_.emplace_back();
  auto& attributes = namespaces_.back().attributes;
  if (given.positional.size() > 1) fail(ErrorKind::input, "namespace() takes one dict");
  for (const Value& argument : given.positional) {
    if (!argument.dict()) fail(ErrorKind::unsupported, "namespace() of anything but a dict is not supported");
    for (const auto& [key, value] : argument.dict()->items)
      attributes.insert_or_assign(text_of(key, "namespace()"), value);
  }
  for (const auto& [name, value] : given.named) attributes.insert_or_assign(name, value);
  budget_.spend(kStepsToKeep * attributes.size());
  return Value(Value::Data(&namespaces_.back()));
}

Value Interpreter::raise(const Arguments& given) {
  fail(ErrorKind::input,
       "the template refuses: ", to_text(Bound("raise_exception", given, {"message"}).at(0)));
}

Value Interpreter::date(const Arguments& given) {
  return date_text(Bound("strftime_now", given, {"format"}).text(0), today_);
}

Value Interpreter::dict(const Arguments& given) { return make_dict(given, budget_); }

Value Interpreter::range(const Arguments& given) { return make_range(given); }

Interpreter::Global Interpreter::find_global(std::string_view name) {
  static const std::map<std::string_view, Global> table = {{"range", &Interpreter::range},
                                                           {"namespace", &Interpreter::make_namespace},
                                                           {"dict", &Interpreter::dict},
                                                           {"raise_exception", &Interpreter::raise},
                                                           {"strftime_now", &Interpreter::date}};
  const auto found = table.find(name);
  return found == table.end() ? nullptr : found->second;
}

}  // namespace mquant::jinja
