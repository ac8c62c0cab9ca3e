// Runs a template's tree.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/arguments.h"
#include "text/jinja/budget.h"
#include "text/jinja/date.h"
#include "text/jinja/globals.h"
#include "text/jinja/loop.h"
#include "text/jinja/syntax.h"

namespace mquant::jinja {

/// Variables of one level: the template, a turn of a loop, a call of a macro, a block that is set.
struct Scope {
  Scope* parent = nullptr;
  Variables variables;
  bool is_kept = false;  ///< a macro was defined in it

  void set(const std::string& name, Value value) { variables.insert_or_assign(name, std::move(value)); }
};

/// One run.
class Interpreter {
 public:
  /// @param today  what strftime_now prints; none: Error{unsupported} where a template asks
  Interpreter(Variables variables, std::optional<Date> today);

  /// @throws Error as values and operators do, beginning with line and column
  std::string run(const Body& body);

 private:
  enum class Flow { on, leave, next };
  using Global = Value (Interpreter::*)(const Arguments& given);

  /// A scope for as long as it lives.  Where a macro was defined, the scope outlives its block: the macro may have been
  /// stored.
  class Inner {
   public:
    Inner(Interpreter& interpreter, Scope* parent);
    ~Inner();
    Inner(const Inner&) = delete;
    Inner& operator=(const Inner&) = delete;
    Scope& scope() { return *scope_; }

   private:
    Interpreter& interpreter_;
    Scope* before_;
    std::unique_ptr<Scope> scope_;
  };

  Flow run_body(const Body& body);
  Flow run(const Statement& statement);
  Flow run_choice(const Statement& statement);
  Flow run_loop(const Statement& statement);
  Flow run_turns(const Statement& statement, Loop& loop);
  Flow run_scope(const Statement& statement);
  void define_macro(const Statement& statement);
  void assign(const Target& target, const Value& value);
  void print(const Value& value);
  /// What `write` prints.
  template <class Write>
  std::string captured(Write&& write) {
    TextBuilder out;
    TextBuilder* const before = std::exchange(out_, &out);
    write();
    out_ = before;
    return out.take();
  }
  /// What `body` prints, in a scope of its own; none where {% break %} or {% continue %} leaves it, which `flow` tells.
  std::optional<Value> rendered(const Body& body, Flow& flow);

  Value evaluate(const Expression& expression);
  Value evaluate_unlocated(const Expression& expression);
  Value look_up(const std::string& name);
  Value collect(const Expression& expression);
  Value compare(const Expression& expression);
  Value join(const Expression& expression);
  Value call(const Expression& expression);
  Value call_macro(const Macro& macro, const Arguments& arguments);
  /// Null if no global function has this name.
  static Global find_global(std::string_view name);
  Value make_namespace(const Arguments& arguments);
  Value raise(const Arguments& arguments);
  Value date(const Arguments& arguments);
  Value dict(const Arguments& arguments);
  Value range(const Arguments& arguments);
  Value filtered(const Expression& filter, const Value* innermost);
  Arguments arguments(const Expression& expression);

  Budget budget_;
  int depth_ = 0;
  Position at_;  ///< of the expression that is being evaluated
  std::optional<Date> today_;
  Scope globals_;
  Scope* scope_ = &globals_;
  TextBuilder* out_ = nullptr;
  std::vector<std::unique_ptr<Scope>> kept_;
  std::deque<Namespace> namespaces_;
  std::deque<Loop> loops_;
  std::deque<Macro> macros_;
};

}  // namespace mquant::jinja
