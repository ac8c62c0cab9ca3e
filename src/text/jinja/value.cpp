#include "text/jinja/value.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "mquant/error.h"
#include "text/jinja/budget.h"
#include "text/jinja/python_text.h"
#include "text/unicode.h"

namespace mquant::jinja {
namespace {

using Form = Sequence::Form;

/// Of a list or dict with these items.
class Measure {
 public:
  void add(const Value& item) {
    const Extent extent = extent_of(item);
    sum_.depth = std::max(sum_.depth, extent.depth);
    sum_.weight += extent.weight;
    if (sum_.depth >= kDeepestValue)
      fail(ErrorKind::input, "a value of more than ", kDeepestValue, " levels, one in another");
    if (sum_.weight > kHeaviestValue)
      fail(ErrorKind::input, "a value of more than ", kHeaviestValue, " items, each ", kBytesAStep,
           " bytes of text counted as one");
  }
  Extent outer() const { return {sum_.depth + 1, sum_.weight}; }

 private:
  Extent sum_;
};

/// Lists compare item by item with those of their form; iterators and views are only the same as themselves.
bool compares_by_items(const Sequence& a, const Sequence& b) {
  return a.form == b.form && (a.form == Form::list || a.form == Form::tuple || a.form == Form::range);
}

const char* view_name(Form form) {
  switch (form) {
    case Form::keys: return "dict_keys";
    case Form::values: return "dict_values";
    case Form::items: return "dict_items";
    default: return "list";
  }
}

class Printer {
 public:
  std::string print(const Value& value) {
    add(value);
    return out_.take();
  }

 private:
  void add(const Value& value) {
    if (const std::string* text = value.text())
      out_.add(value.is_safe() ? cat("Markup(", quoted_text(*text), ")") : quoted_text(*text));
    else if (const Sequence* list = value.list())
      add_list(*list);
    else if (const Dict* dict = value.dict())
      add_dict(*dict);
    else if (value.is_undefined())
      out_.add("Undefined");
    else
      out_.add(to_text(value));
  }

  void add_list(const Sequence& list) {
    switch (list.form) {
      case Form::list: return add_items(list, "[", "]");
      case Form::tuple: return add_items(list, "(", list.items.size() == 1 ? ",)" : ")");
      case Form::range:
        out_.add(cat("range(", list.start, ", ", list.stop));
        out_.add(list.step == 1 ? ")" : cat(", ", list.step, ")"));
        return;
      case Form::iterator:
        fail(ErrorKind::unsupported, "printing an iterator is not supported; make it a list: |list");
      default: out_.add(view_name(list.form)); return add_items(list, "([", "])");
    }
  }

  void add_items(const Sequence& list, std::string_view open, std::string_view close) {
    out_.add(open);
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out_.add(", ");
      add(list.items[i]);
    }
    out_.add(close);
  }

  void add_dict(const Dict& dict) {
    out_.add("{");
    for (std::size_t i = 0; i < dict.items.size(); ++i) {
      if (i > 0) out_.add(", ");
      add(dict.items[i].first);
      out_.add(": ");
      add(dict.items[i].second);
    }
    out_.add("}");
  }

  TextBuilder out_;
};

bool equal_lists(const Sequence& a, const Sequence& b) {
  return compares_by_items(a, b) && std::ranges::equal(a.items, b.items, equal);
}

bool equal_dicts(const Dict& a, const Dict& b) {
  return a.items.size() == b.items.size() && std::ranges::all_of(a.items, [&](const auto& item) {
           const Value* other = b.find(item.first);
           return other && equal(item.second, *other);
         });
}

std::partial_ordering order_of_lists(const Sequence& a, const Sequence& b, std::string_view sign) {
  for (std::size_t i = 0; i < std::min(a.items.size(), b.items.size()); ++i)
    if (!equal(a.items[i], b.items[i])) return order_of(a.items[i], b.items[i], sign);
  return a.items.size() <=> b.items.size();
}

/// Exact: no integer is rounded to a float.
std::partial_ordering order_of_mixed(std::int64_t integer, double real) {
  constexpr double kBeyond = 0x1p63;
  if (std::isnan(real)) return std::partial_ordering::unordered;
  if (real >= kBeyond) return std::partial_ordering::less;
  if (real < -kBeyond) return std::partial_ordering::greater;
  const double whole = std::trunc(real);
  const auto rounded = static_cast<std::int64_t>(whole);
  if (integer != rounded) return integer <=> rounded;
  return whole <=> real;
}

/// None unless both are numbers.
std::optional<std::partial_ordering> order_of_numbers(const Value& a, const Value& b) {
  std::int64_t i = 0, j = 0;
  const bool integer_a = as_integer(a, i), integer_b = as_integer(b, j);
  if (integer_a && integer_b) return i <=> j;
  double x = 0, y = 0;
  if (!as_number(a, x) || !as_number(b, y)) return std::nullopt;
  if (integer_a) return order_of_mixed(i, y);
  if (integer_b) return 0 <=> order_of_mixed(j, x);
  return x <=> y;
}

template <class Items>
auto* find_in(Items& items, const Value& key) {
  const auto found = std::ranges::find_if(items, [&](const auto& item) { return equal(item.first, key); });
  return found == items.end() ? nullptr : &found->second;
}

}  // namespace

Value::Value(std::string text) {
  if (text.size() > kLongestText)
    fail(ErrorKind::input, "a text of more than ", kLongestText, " bytes in a template");
  data_ = std::make_shared<const std::string>(std::move(text));
}

const Dict* Value::dict() const {
  const auto* dict = get_if<std::shared_ptr<const Dict>>();
  return dict ? dict->get() : nullptr;
}

Value Value::undefined(std::string why) {
  return Value(Data(std::make_shared<const Undefined>(Undefined{std::move(why)})));
}

Value Value::safe_text(std::string text) {
  Value value(std::move(text));
  value.is_safe_ = true;
  return value;
}

Value Value::text_like(const Value& origin, std::string text) {
  Value value(std::move(text));
  value.is_safe_ = origin.is_safe();
  return value;
}

Value Value::sequence(std::vector<Value> items, Sequence::Form form) {
  Measure measure;
  for (const Value& item : items) measure.add(item);
  auto sequence = std::make_shared<Sequence>();
  sequence->form = form;
  sequence->items = std::move(items);
  sequence->extent = measure.outer();
  return Value(Data(std::move(sequence)));
}

Value Value::dict(Pairs items) {
  auto dict = std::make_shared<Dict>();
  Measure measure;
  for (auto& [key, value] : items) {
    require_hashable(key);
    measure.add(key);
    measure.add(value);
    if (Value* known = find_in(dict->items, key))
      *known = std::move(value);
    else
      dict->items.emplace_back(std::move(key), std::move(value));
  }
  dict->extent = measure.outer();
  return Value(Data(std::shared_ptr<const Dict>(std::move(dict))));
}

Value Value::function(std::string name, Value self) {
  Measure measure;
  measure.add(self);
  return Value(Data(std::make_shared<const Function>(
      Function{.name = std::move(name), .self = std::move(self), .extent = measure.outer()})));
}

Value Value::from_json(const nlohmann::ordered_json& json) {
  switch (json.type()) {
    case nlohmann::json::value_t::null: return {};
    case nlohmann::json::value_t::boolean: return json.get<bool>();
    case nlohmann::json::value_t::number_integer: return json.get<std::int64_t>();
    case nlohmann::json::value_t::number_unsigned: {
      const auto number = json.get<std::uint64_t>();
      if (number > static_cast<std::uint64_t>(INT64_MAX))
        fail(ErrorKind::unsupported, "the integer ", number, " of more than 63 bits is not supported");
      return static_cast<std::int64_t>(number);
    }
    case nlohmann::json::value_t::number_float: return json.get<double>();
    case nlohmann::json::value_t::string: return json.get<std::string>();
    case nlohmann::json::value_t::array: {
      std::vector<Value> items;
      for (const auto& item : json) items.push_back(from_json(item));
      return sequence(std::move(items));
    }
    case nlohmann::json::value_t::object: {
      auto dict = std::make_shared<Dict>();  // its keys are known to be different
      Measure measure;
      for (const auto& [key, item] : json.items()) {
        dict->items.emplace_back(Value(key), from_json(item));
        measure.add(dict->items.back().first);
        measure.add(dict->items.back().second);
      }
      dict->extent = measure.outer();
      return Value(Data(std::shared_ptr<const Dict>(std::move(dict))));
    }
    default: fail(ErrorKind::internal, "a kind of JSON that no text has");
  }
}

const Value* Dict::find(const Value& key) const { return find_in(items, key); }

Extent extent_of(const Value& value) {
  if (const Sequence* list = value.list()) return list->extent;
  if (const Dict* dict = value.dict()) return dict->extent;
  if (const std::string* text = value.text()) return {0, 1 + text->size() / kBytesAStep};
  if (const auto* function = value.get_if<std::shared_ptr<const Function>>()) return (*function)->extent;
  return {};
}

TextBuilder& TextBuilder::add(std::string_view part) {
  if (part.size() > kLongestText - text_.size())
    fail(ErrorKind::input, "a text of more than ", kLongestText, " bytes in a template");
  text_ += part;
  return *this;
}

std::string type_name(const Value& value) {
  struct Namer {
    std::string operator()(const std::shared_ptr<const Undefined>&) const { return "Undefined"; }
    std::string operator()(Value::None) const { return "NoneType"; }
    std::string operator()(bool) const { return "bool"; }
    std::string operator()(std::int64_t) const { return "int"; }
    std::string operator()(double) const { return "float"; }
    std::string operator()(const Value::Text&) const { return "str"; }
    std::string operator()(const Value::List& list) const {
      if (list->form == Form::tuple) return "tuple";
      if (list->form == Form::range) return "range";
      return list->form == Form::iterator ? "generator" : view_name(list->form);
    }
    std::string operator()(const std::shared_ptr<const Dict>&) const { return "dict"; }
    std::string operator()(Namespace*) const { return "Namespace"; }
    std::string operator()(const Macro*) const { return "Macro"; }
    std::string operator()(Loop*) const { return "LoopContext"; }
    std::string operator()(const std::shared_ptr<const Function>&) const { return "function"; }
  };
  return std::visit(Namer{}, value.data());
}

bool is_true(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (const std::string* text = value.text()) return !text->empty();
  if (const Sequence* list = value.list()) return list->form == Form::iterator || !list->items.empty();
  if (const Dict* dict = value.dict()) return !dict->items.empty();
  double number = 1;
  return !as_number(value, number) || number != 0;
}

std::string to_text(const Value& value) {
  if (value.is_undefined()) return {};
  if (const std::string* text = value.text()) return *text;
  if (value.is_none()) return "None";
  if (const bool* truth = value.get_if<bool>()) return *truth ? "True" : "False";
  if (const std::int64_t* number = value.integer()) return std::to_string(*number);
  if (const double* number = value.get_if<double>()) return float_repr(*number);
  if (value.list() || value.dict()) return Printer().print(value);
  fail(ErrorKind::unsupported, "printing a value of type '", type_name(value), "' is not supported");
}

std::string to_repr(const Value& value) { return Printer().print(value); }

bool equal(const Value& a, const Value& b) {
  if (a.is_undefined() || b.is_undefined()) return a.is_undefined() && b.is_undefined();
  if (a.text() && b.text()) return *a.text() == *b.text();
  if (a.list() && b.list()) return a.list() == b.list() || equal_lists(*a.list(), *b.list());
  if (a.dict() && b.dict()) return a.dict() == b.dict() || equal_dicts(*a.dict(), *b.dict());
  if (const auto order = order_of_numbers(a, b)) return *order == 0;
  return a.is_none() && b.is_none();
}

std::partial_ordering order_of(const Value& a, const Value& b, std::string_view sign) {
  if (a.is_undefined()) fail_undefined(a);
  if (b.is_undefined()) fail_undefined(b);
  if (a.text() && b.text()) return *a.text() <=> *b.text();  // UTF-8 sorts as code points do
  if (const auto order = order_of_numbers(a, b)) return *order;
  if (a.list() && b.list() && compares_by_items(*a.list(), *b.list()) && a.list()->form != Form::range)
    return order_of_lists(*a.list(), *b.list(), sign);
  fail(ErrorKind::input, "'", sign, "' not supported between instances of '", type_name(a), "' and '",
       type_name(b), "'");
}

void require_hashable(const Value& key) {
  const Sequence* list = key.list();
  const bool changes =
      list && (list->form == Form::list || list->form == Form::keys || list->form == Form::items);
  if (changes || key.dict()) fail(ErrorKind::input, "unhashable type: '", type_name(key), "'");
  if (list && list->form == Form::tuple) std::ranges::for_each(list->items, require_hashable);
}

bool as_integer(const Value& value, std::int64_t& number) {
  if (const bool* truth = value.get_if<bool>()) return number = *truth ? 1 : 0, true;
  if (const std::int64_t* integer = value.integer()) return number = *integer, true;
  return false;
}

bool as_number(const Value& value, double& number) {
  std::int64_t integer = 0;
  if (as_integer(value, integer)) return number = static_cast<double>(integer), true;
  if (const double* real = value.get_if<double>()) return number = *real, true;
  return false;
}

std::vector<Value> items_of(const Value& value, Budget& budget) {
  if (value.is_undefined()) return {};
  std::vector<Value> items;
  if (Sequence* list = value.list()) {
    if (list->form != Form::iterator) return list->items;
    items.assign(list->items.begin() + static_cast<std::ptrdiff_t>(list->taken), list->items.end());
    list->taken = list->items.size();
    return items;
  }
  if (const Dict* dict = value.dict()) {
    for (const auto& [key, item] : dict->items) items.push_back(key);
    return items;
  }
  if (const std::string* text = value.text()) {
    const auto count = static_cast<std::size_t>(length(*text));
    if (count > kHeaviestValue)
      fail(ErrorKind::input, "the characters of a text as a list: expected at most ", kHeaviestValue,
           ", found ", count);
    budget.spend(count);
    items.reserve(count);
    for (std::size_t at = 0; at < text->size();) {
      const std::size_t begin = at;
      next_character(*text, at);
      items.emplace_back(text->substr(begin, at - begin));
    }
    return items;
  }
  fail(ErrorKind::input, "'", type_name(value), "' object is not iterable");
}

void fail_undefined(const Value& value) {
  fail(ErrorKind::input, (*value.get_if<std::shared_ptr<const Undefined>>())->why);
}

void refuse_safe(const Value& value, std::string_view operation) {
  if (value.is_safe())
    fail(ErrorKind::unsupported, operation,
         " with a text of the filter 'safe', which escapes HTML, is not supported; leave out the filter");
}

}  // namespace mquant::jinja
