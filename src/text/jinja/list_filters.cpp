// Filters of lists and dicts.
#include <algorithm>
#include <map>

#include "mquant/error.h"
#include "text/jinja/access.h"
#include "text/jinja/library.h"
#include "text/jinja/operators.h"
#include "text/jinja/python_text.h"

namespace mquant::jinja {
namespace {

using Form = Sequence::Form;

Value iterator(std::vector<Value> items) { return Value::sequence(std::move(items), Form::iterator); }

/// Texts compare without regard to case unless asked.
Value key_of(const Value& item, const Value* path, bool case_sensitive, Budget& budget) {
  Value key = path ? by_path(item, *path, budget) : item;
  return !case_sensitive && key.text() ? Value(lower(*key.text())) : key;
}

Value default_value(const FilterCall& call) {
  const Bound bound = call.bind({"default_value", "boolean"});
  const bool replaces = call.subject.is_undefined() || (bound.truth_or(1, false) && !is_true(call.subject));
  if (!replaces) return call.subject;
  return bound.find(0) ? *bound.find(0) : Value("");
}

Value length_of(const FilterCall& call) {
  call.bind({});
  if (call.subject.is_undefined()) return std::int64_t{0};
  if (const std::string* text = call.subject.text()) return length(*text);
  if (const Dict* dict = call.subject.dict()) return std::int64_t{std::ssize(dict->items)};
  const Sequence* list = call.subject.list();
  if (!list || list->form == Form::iterator)
    fail(ErrorKind::input, "object of type '", type_name(call.subject), "' has no len()");
  return std::int64_t{std::ssize(list->items)};
}

Value join(const FilterCall& call) {
  const Bound bound = call.bind({"d", "attribute"});
  const std::string between = bound.find(0) ? to_text(*bound.find(0)) : "";
  TextBuilder out;
  bool first = true;
  for (const Value& item : items_of(call.subject, call.budget)) {
    if (!std::exchange(first, false)) out.add(between);
    call.budget.spend(1 + extent_of(item).weight);
    out.add(to_text(bound.find(1) ? by_path(item, *bound.find(1), call.budget) : item));
  }
  return out.take();
}

Value list_of(const FilterCall& call) {
  call.bind({});
  return Value::sequence(items_of(call.subject, call.budget));
}

std::vector<Value> pairs_of(const Dict& dict) {
  std::vector<Value> pairs;
  for (const auto& [key, value] : dict.items) pairs.push_back(Value::sequence({key, value}, Form::tuple));
  return pairs;
}

Value items(const FilterCall& call) {
  call.bind({});
  if (call.subject.is_undefined()) return iterator({});
  if (!call.subject.dict()) fail(ErrorKind::input, "can only get item pairs from a mapping");
  return iterator(pairs_of(*call.subject.dict()));
}

/// Stable, as Python's: `reverse` keeps the order of equals too.
template <class Less>
void sort_items(std::vector<std::pair<std::vector<Value>, Value>>& keyed, bool reverse, Less&& is_less) {
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? is_less(b.first, a.first) : is_less(a.first, b.first);
  });
}

Value sorted(std::vector<std::pair<std::vector<Value>, Value>> keyed, bool reverse, Budget& budget) {
  sort_items(keyed, reverse, [&](const std::vector<Value>& a, const std::vector<Value>& b) {
    for (std::size_t i = 0; i < a.size(); ++i) {
      budget.spend(1 + std::min(extent_of(a[i]).weight, extent_of(b[i]).weight));
      if (!equal(a[i], b[i])) return less(a[i], b[i]);
    }
    return false;
  });
  std::vector<Value> out;
  for (auto& [key, item] : keyed) out.push_back(std::move(item));
  return Value::sequence(std::move(out));
}

Value dictsort(const FilterCall& call) {
  const Bound bound = call.bind({"case_sensitive", "by", "reverse"});
  const std::string by = bound.text_or(1, "key");
  if (by != "key" && by != "value") fail(ErrorKind::input, "dictsort sorts by \"key\" or \"value\"");
  if (call.subject.is_undefined()) fail_undefined(call.subject);
  if (!call.subject.dict()) fail(ErrorKind::input, "dictsort of '", type_name(call.subject), "'");
  const Value at(std::int64_t{by == "key" ? 0 : 1});
  std::vector<std::pair<std::vector<Value>, Value>> keyed;
  for (Value& pair : pairs_of(*call.subject.dict()))
    keyed.emplace_back(std::vector<Value>{key_of(pair, &at, bound.truth_or(0, false), call.budget)},
                       std::move(pair));
  return sorted(std::move(keyed), bound.truth_or(2, false), call.budget);
}

Value sort(const FilterCall& call) {
  const Bound bound = call.bind({"reverse", "case_sensitive", "attribute"});
  std::vector<Value> paths = {Value()};
  if (const Value* path = bound.find(2)) {
    paths = {*path};
    if (path->text()) {
      paths.clear();
      for (const std::string& part : split(*path->text(), ",", -1, false)) paths.emplace_back(part);
    }
  }
  std::vector<std::pair<std::vector<Value>, Value>> keyed;
  for (Value& item : items_of(call.subject, call.budget)) {
    std::vector<Value> keys;
    for (const Value& path : paths)
      keys.push_back(key_of(item, &path, bound.truth_or(1, false), call.budget));
    keyed.emplace_back(std::move(keys), std::move(item));
  }
  return sorted(std::move(keyed), bound.truth_or(0, false), call.budget);
}

Value unique(const FilterCall& call) {
  const Bound bound = call.bind({"case_sensitive", "attribute"});
  std::vector<Value> seen, out;
  for (Value& item : items_of(call.subject, call.budget)) {
    Value key = key_of(item, bound.find(1), bound.truth_or(0, false), call.budget);
    require_hashable(key);
    call.budget.spend(1 + seen.size() * extent_of(key).weight);
    if (std::ranges::any_of(seen, [&](const Value& known) { return equal(known, key); })) continue;
    seen.push_back(std::move(key));
    out.push_back(std::move(item));
  }
  return iterator(std::move(out));
}

template <bool wants_most>
Value extreme(const FilterCall& call) {
  const Bound bound = call.bind({"case_sensitive", "attribute"});
  std::vector<Value> all = items_of(call.subject, call.budget);
  if (all.empty()) return Value::undefined("No aggregated item, sequence was empty.");
  std::size_t best = 0;
  Value best_key = key_of(all[0], bound.find(1), bound.truth_or(0, false), call.budget);
  for (std::size_t i = 1; i < all.size(); ++i) {
    Value key = key_of(all[i], bound.find(1), bound.truth_or(0, false), call.budget);
    call.budget.spend(1 + std::min(extent_of(key).weight, extent_of(best_key).weight));
    if (!(wants_most ? less(best_key, key) : less(key, best_key))) continue;
    best = i;
    best_key = std::move(key);
  }
  return all[best];
}

Value sum(const FilterCall& call) {
  const Bound bound = call.bind({"attribute", "start"});
  Value total = bound.find(1) ? *bound.find(1) : Value(std::int64_t{0});
  if (total.text()) fail(ErrorKind::input, "sum() can't sum strings [use ''.join(seq) instead]");
  for (const Value& item : items_of(call.subject, call.budget)) {
    call.budget.spend(1 + extent_of(total).weight);
    total = arithmetic("+", total, bound.find(0) ? by_path(item, *bound.find(0), call.budget) : item);
  }
  return total;
}

Value first(const FilterCall& call) {
  call.bind({});
  if (Sequence* list = call.subject.list();
      list && list->form == Form::iterator && list->taken < list->items.size())
    return list->items[list->taken++];
  std::vector<Value> all = items_of(call.subject, call.budget);
  return all.empty() ? Value::undefined("No first item, sequence was empty.") : all.front();
}

bool is_reversible(const Value& value) {
  return value.is_undefined() || value.text() || value.dict() ||
         (value.list() && value.list()->form != Form::iterator);
}

Value last(const FilterCall& call) {
  call.bind({});
  if (!is_reversible(call.subject))
    fail(ErrorKind::input, "'", type_name(call.subject), "' object is not reversible");
  std::vector<Value> all = items_of(call.subject, call.budget);
  if (all.empty()) return Value::undefined("No last item, sequence was empty.");
  // Python takes it by its index, which keeps the mark of `safe`; `first` iterates and loses it.
  return call.subject.text() ? Value::text_like(call.subject, *all.back().text()) : all.back();
}

Value reverse(const FilterCall& call) {
  call.bind({});
  if (call.subject.text()) return slice(call.subject, Value(), Value(), Value(std::int64_t{-1}), call.budget);
  std::vector<Value> all = items_of(call.subject, call.budget);
  std::ranges::reverse(all);
  return is_reversible(call.subject) ? iterator(std::move(all)) : Value::sequence(std::move(all));
}

Value map(const FilterCall& call) {
  if (!is_true(call.subject)) return iterator({});
  std::vector<Value> out;
  if (call.arguments.positional.empty()) {
    const Bound bound = call.bind({"attribute", "default"});
    for (const Value& item : items_of(call.subject, call.budget)) {
      call.budget.spend();
      Value found = by_path(item, bound.at(0), call.budget);
      const bool replaced = found.is_undefined() && bound.find(1) && !bound.find(1)->is_none();
      out.push_back(replaced ? *bound.find(1) : std::move(found));
    }
    return iterator(std::move(out));
  }
  const std::string& name = text_of(call.arguments.positional.front(), "map()");
  const Arguments rest{{call.arguments.positional.begin() + 1, call.arguments.positional.end()},
                       call.arguments.named};
  for (const Value& item : items_of(call.subject, call.budget)) {
    call.budget.spend();
    out.push_back(apply_filter(name, item, rest, call.budget));
  }
  return iterator(std::move(out));
}

/// select, reject, selectattr, rejectattr: the items, or their attribute, that a test holds for.
template <bool wanted, bool by_attribute>
Value select(const FilterCall& call) {
  if (!is_true(call.subject)) return iterator({});
  const std::vector<Value>& given = call.arguments.positional;
  constexpr std::size_t kName = by_attribute ? 1 : 0;
  if (given.size() < kName) fail(ErrorKind::input, "missing parameter for attribute name");
  Arguments rest{{}, call.arguments.named};
  if (given.size() > kName) rest.positional.assign(given.begin() + kName + 1, given.end());
  std::vector<Value> out;
  for (Value& item : items_of(call.subject, call.budget)) {
    call.budget.spend();
    const Value tested = by_attribute ? by_path(item, given.front(), call.budget) : item;
    const bool holds = given.size() > kName
                           ? apply_test(text_of(given[kName], call.name), tested, rest, call.budget)
                           : is_true(tested);
    if (holds == wanted) out.push_back(std::move(item));
  }
  return iterator(std::move(out));
}

}  // namespace

Filter find_list_filter(std::string_view name) {
  static const std::map<std::string_view, Filter> table = {{"default", default_value},
                                                           {"d", default_value},
                                                           {"length", length_of},
                                                           {"count", length_of},
                                                           {"join", join},
                                                           {"list", list_of},
                                                           {"items", items},
                                                           {"dictsort", dictsort},
                                                           {"sort", sort},
                                                           {"unique", unique},
                                                           {"min", extreme<false>},
                                                           {"max", extreme<true>},
                                                           {"sum", sum},
                                                           {"first", first},
                                                           {"last", last},
                                                           {"reverse", reverse},
                                                           {"map", map},
                                                           {"select", select<true, false>},
                                                           {"reject", select<false, false>},
                                                           {"selectattr", select<true, true>},
                                                           {"rejectattr", select<false, true>}};
  const auto found = table.find(name);
  return found == table.end() ? nullptr : found->second;
}

namespace {

Filter find_filter(std::string_view name) {
  const Filter filter = find_text_filter(name);
  return filter ? filter : find_list_filter(name);
}

}  // namespace

bool is_filter(const std::string& name) { return find_filter(name) != nullptr; }

Value apply_filter(const std::string& name, const Value& subject, const Arguments& arguments,
                   Budget& budget) {
  const Filter filter = find_filter(name);
  if (!filter) fail(ErrorKind::unsupported, "the filter '", name, "' is not supported here");
  budget.spend(extent_of(subject).weight);
  budget.spend(weight_of(arguments));
  return filter({name, subject, arguments, budget});
}

}  // namespace mquant::jinja
