// The tests of Jinja: {{ x is defined }}.
#include <map>

#include "mquant/error.h"
#include "text/jinja/library.h"
#include "text/jinja/operators.h"
#include "text/jinja/python_text.h"

namespace mquant::jinja {
namespace {

using Test = bool (*)(const FilterCall&);

template <class T>
bool has_type(const FilterCall& call) {
  call.bind({});
  return call.subject.get_if<T>() != nullptr;
}

template <bool wanted>
bool is_boolean(const FilterCall& call) {
  call.bind({});
  const bool* truth = call.subject.get_if<bool>();
  return truth && *truth == wanted;
}

bool is_sequence(const FilterCall& call) {
  call.bind({});
  if (const Sequence* list = call.subject.list())
    return list->form == Sequence::Form::list || list->form == Sequence::Form::tuple ||
           list->form == Sequence::Form::range;
  return call.subject.text() || call.subject.dict() || call.subject.is_undefined();
}

bool is_iterable(const FilterCall& call) {
  call.bind({});
  return call.subject.text() || call.subject.dict() || call.subject.list() || call.subject.is_undefined();
}

bool is_number(const FilterCall& call) {
  call.bind({});
  double number = 0;
  return as_number(call.subject, number);
}

bool is_callable(const FilterCall& call) {
  call.bind({});
  return call.subject.is_undefined() || call.subject.get_if<const Macro*>() ||
         call.subject.get_if<std::shared_ptr<const Function>>();
}

template <int rest>
bool is_odd_or_even(const FilterCall& call) {
  call.bind({});
  return equal(arithmetic("%", call.subject, Value(std::int64_t{2})), Value(std::int64_t{rest}));
}

bool is_divisible(const FilterCall& call) {
  return equal(arithmetic("%", call.subject, call.bind({"num"}).at(0)), Value(std::int64_t{0}));
}

bool compares(const FilterCall& call) {
  static const std::map<std::string_view, std::string_view> signs = {
      {"eq", "=="}, {"equalto", "=="}, {"ne", "!="},      {"lt", "<"},          {"le", "<="},
      {"gt", ">"},  {"ge", ">="},      {"lessthan", "<"}, {"greaterthan", ">"}, {"in", "in"}};
  const Bound bound = call.bind({"other"});
  const auto sign = signs.find(call.name);  // select('==', x) spells it as a sign
  return compare(sign == signs.end() ? std::string_view(call.name) : sign->second, call.subject, bound.at(0));
}

/// Only where identity is no question of how a value was made.
bool is_same(const FilterCall& call) {
  const Bound bound = call.bind({"other"});
  const Value& other = bound.at(0);
  const auto is_constant = [](const Value& value) { return value.is_none() || value.get_if<bool>(); };
  if (!is_constant(other) && !is_constant(call.subject))
    fail(ErrorKind::unsupported, "the test 'sameas' is supported for true, false and none");
  return call.subject.data().index() == other.data().index() && equal(call.subject, other);
}

template <bool (*has)(std::string_view)>
bool has_case(const FilterCall& call) {
  call.bind({});
  return has(to_text(call.subject));
}

bool is_filter_name(const FilterCall& call) { return is_filter(text_of(call.subject, "filter")); }
bool is_test_name(const FilterCall& call) { return is_test(text_of(call.subject, "test")); }

bool is_undefined(const FilterCall& call) {
  call.bind({});
  return call.subject.is_undefined();
}

const std::map<std::string_view, Test>& tests() {
  static const std::map<std::string_view, Test> table = {
      {"undefined", is_undefined},
      {"defined", [](const FilterCall& call) { return !is_undefined(call); }},
      {"none", has_type<Value::None>},
      {"string", has_type<Value::Text>},
      {"mapping", has_type<std::shared_ptr<const Dict>>},
      {"boolean", has_type<bool>},
      {"integer", has_type<std::int64_t>},
      {"float", has_type<double>},
      {"true", is_boolean<true>},
      {"false", is_boolean<false>},
      {"number", is_number},
      {"sequence", is_sequence},
      {"iterable", is_iterable},
      {"callable", is_callable},
      {"odd", is_odd_or_even<1>},
      {"even", is_odd_or_even<0>},
      {"divisibleby", is_divisible},
      {"sameas", is_same},
      {"lower", has_case<is_lower>},
      {"upper", has_case<is_upper>},
      {"filter", is_filter_name},
      {"test", is_test_name},
      {"in", compares},
      {"eq", compares},
      {"equalto", compares},
      {"==", compares},
      {"ne", compares},
      {"!=", compares},
      {"lt", compares},
      {"lessthan", compares},
      {"<", compares},
      {"le", compares},
      {"<=", compares},
      {"gt", compares},
      {"greaterthan", compares},
      {">", compares},
      {"ge", compares},
      {">=", compares}};
  return table;
}

}  // namespace

bool is_test(const std::string& name) { return tests().contains(name); }

bool apply_test(const std::string& name, const Value& subject, const Arguments& arguments, Budget& budget) {
  const auto test = tests().find(name);
  if (test == tests().end()) fail(ErrorKind::unsupported, "the test '", name, "' is not supported");
  budget.spend(extent_of(subject).weight);
  budget.spend(weight_of(arguments));
  return test->second({name, subject, arguments, budget});
}

}  // namespace mquant::jinja
