// Macros, namespaces and functions in a run of a template.
#include <algorithm>

#include "mquant/error.h"
#include "text/jinja/access.h"
#include "text/jinja/interpreter.h"

namespace mquant::jinja {
namespace {

constexpr std::size_t kStepsToKeep = 10;  // what a macro or namespace costs, which live as long as the run

}  // namespace

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
  if (function.is_undefined()) fail_undefined(function);
  if (const auto* macro = function.get_if<const Macro*>()) return call_macro(**macro, given);
  const auto* known = function.get_if<std::shared_ptr<const Function>>();
  if (!known) fail(ErrorKind::input, "'", type_name(function), "' object is not callable");
  const Function& callee = **known;
  if (!callee.is_method) return call_global(callee.name, given);
  Value result;
  if (const auto* loop = callee.self.get_if<std::shared_ptr<Loop>>())
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
  TextBuilder out;
  TextBuilder* const before = std::exchange(out_, &out);
  {
    Inner inner(*this, macro.scope);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const auto named =
          std::ranges::find(given.named, parameters[i].name, &std::pair<std::string, Value>::first);
      Value value;
      if (i < given.positional.size())
        value = given.positional[i];
      else if (named != given.named.end())
        value = named->second;
      else if (parameters[i].otherwise)
        value = evaluate(*parameters[i].otherwise);
      else
        value = Value::undefined(cat("parameter '", parameters[i].name, "' was not provided"));
      inner.scope().set(parameters[i].name, std::move(value));
    }
    run_body(macro.definition->body);
  }
  out_ = before;
  return out.take();
}

Value Interpreter::make_namespace(const Arguments& given) {
  budget_.spend(kStepsToKeep);
  namespaces_.emplace_back();
  auto& attributes = namespaces_.back().attributes;
  if (given.positional.size() > 1) fail(ErrorKind::input, "namespace() takes one dict");
  for (const Value& argument : given.positional) {
    if (!argument.dict()) fail(ErrorKind::unsupported, "namespace() of anything but a dict is not supported");
    for (const auto& [key, value] : argument.dict()->items)
      attributes.emplace_back(text_of(key, "namespace()"), value);
  }
  for (const auto& [name, value] : given.named) {
    std::erase_if(attributes, [&](const auto& known) { return known.first == name; });
    attributes.emplace_back(name, value);
  }
  return Value(Value::Data(&namespaces_.back()));
}

Value Interpreter::call_global(const std::string& name, const Arguments& given) {
  if (name == "namespace") return make_namespace(given);
  if (name == "raise_exception")
    fail(ErrorKind::input, "the template refuses: ", to_text(Bound(name, given, {"message"}).at(0)));
  if (name == "strftime_now") return date_text(Bound(name, given, {"format"}).text(0), today_);
  return name == "dict" ? make_dict(given, budget_) : make_range(given);
}

}  // namespace mquant::jinja
