#include "text/jinja/access.h"

#include <algorithm>
#include <array>

#include "mquant/error.h"
#include "support/strings.h"
#include "text/jinja/loop.h"
#include "text/jinja/python_text.h"

namespace mquant::jinja {
namespace {

using Form = Sequence::Form;
using Names = std::initializer_list<std::string_view>;

bool among(Names names, std::string_view name) { return std::ranges::find(names, name) != names.end(); }

enum class Member { none, method, unsafe, unknown };

Member text_member(std::string_view name) {
  if (is_text_method(name)) return Member::method;
  return among({"casefold",   "center",   "encode",    "expandtabs",   "format_map", "isalnum",
                "isalpha",    "isascii",  "isdecimal", "isidentifier", "isnumeric",  "isprintable",
                "istitle",    "ljust",    "maketrans", "partition",    "rindex",     "rjust",
                "rpartition", "swapcase", "translate", "zfill"},
               name)
             ? Member::unknown
             : Member::none;
}

Member list_member(std::string_view name, Form form) {
  const bool is_list = form == Form::list;
  if ((is_list || form == Form::tuple) && among({"index", "count"}, name)) return Member::method;
  if (is_list && among({"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"}, name))
    return Member::unsafe;
  if (is_list && name == "copy") return Member::unknown;
  const bool is_view = form == Form::keys || form == Form::items;
  if (is_view && among({"isdisjoint", "mapping"}, name)) return Member::unknown;
  if (form == Form::range && among({"index", "count", "start", "stop", "step"}, name)) return Member::unknown;
  return form == Form::iterator && among({"send", "throw", "close"}, name) ? Member::unknown : Member::none;
}

Member dict_member(std::string_view name) {
  if (among({"get", "items", "keys", "values"}, name)) return Member::method;
  if (among({"clear", "pop", "popitem", "setdefault", "update"}, name)) return Member::unsafe;
  return among({"copy", "fromkeys"}, name) ? Member::unknown : Member::none;
}

Member member(const Value& object, std::string_view name) {
  if (name.starts_with("__")) return Member::unknown;
  if (object.is_safe() && among({"escape", "striptags", "unescape"}, name)) return Member::unknown;
  if (object.text()) return text_member(name);
  if (object.list()) return list_member(name, object.list()->form);
  if (object.dict()) return dict_member(name);
  double number = 0;
  if (as_number(object, number))
    return among({"real", "imag", "conjugate", "numerator", "denominator", "bit_length", "bit_count",
                  "to_bytes", "from_bytes", "as_integer_ratio", "is_integer", "hex", "fromhex"},
                 name)
               ? Member::unknown
               : Member::none;
  if (object.get_if<const Macro*>() || object.get_if<std::shared_ptr<const Function>>())
    return Member::unknown;
  return Member::none;
}

std::string object_name(const Value& object) {
  return object.is_none() ? "None" : cat("'", type_name(object), " object'");
}

Value missing(const Value& object, const Value& key) {
  return Value::undefined(
      key.text() ? cat(object_name(object), " has no attribute '", printable(*key.text(), kLongestShown), "'")
                 : cat(object_name(object), " has no element ", printable(to_repr(key), kLongestShown)));
}

/// The attribute of Python's object, if it has one of that name.
const Value* find_attribute(const Value& object, const std::string& name, Value& holder) {
  if (Loop* const* loop = object.get_if<Loop*>()) {
    if (std::optional<Value> found = (*loop)->attribute(name)) return holder = *found, &holder;
    return nullptr;
  }
  if (const auto* space = object.get_if<Namespace*>()) {
    const auto& attributes = (*space)->attributes;
    const auto found = attributes.find(name);
    return found == attributes.end() ? nullptr : &found->second;
  }
  switch (member(object, name)) {
    case Member::none: return nullptr;
    case Member::method: holder = Value::function(name, object); return &holder;
    case Member::unsafe:
      holder = Value::undefined(cat("access to attribute '", name, "' of '", type_name(object),
                                    "' object is unsafe: a template changes no list or dict"));
      return &holder;
    case Member::unknown:
      fail(ErrorKind::unsupported, "the attribute '", printable(name, kLongestShown), "' of '",
           type_name(object), "' is not supported");
  }
  return nullptr;
}

/// The place of an index that may count from the end; none if there is no such item.
std::optional<std::size_t> place_of(const Value& key, std::size_t size) {
  std::int64_t index = 0;
  if (!as_integer(key, index)) return std::nullopt;
  if (index < 0) index += static_cast<std::int64_t>(size);
  if (index < 0 || index >= static_cast<std::int64_t>(size)) return std::nullopt;
  return static_cast<std::size_t>(index);
}

bool is_view(Form form) {
  return form == Form::keys || form == Form::values || form == Form::items || form == Form::iterator;
}

std::optional<Value> find_item(const Value& object, const Value& key) {
  if (const Dict* dict = object.dict()) {
    const Value* found = dict->find(key);
    return found ? std::optional<Value>(*found) : std::nullopt;
  }
  if (const Sequence* list = object.list(); list && !is_view(list->form)) {
    const auto at = place_of(key, list->items.size());
    return at ? std::optional<Value>(list->items[*at]) : std::nullopt;
  }
  if (const std::string* text = object.text()) {
    const auto at = place_of(key, static_cast<std::size_t>(length(*text)));
    if (!at) return std::nullopt;
    const auto index = static_cast<std::int64_t>(*at);
    return Value::text_like(object, std::string(substring(*text, index, index + 1)));
  }
  return std::nullopt;
}

/// One bound of a slice, clamped as Python does.
std::int64_t bound(const Value& value, std::int64_t size, std::int64_t step, std::int64_t otherwise) {
  if (value.is_none()) return otherwise;
  std::int64_t index = 0;
  if (!as_integer(value, index)) fail(ErrorKind::input, "a slice by '", type_name(value), "'");
  if (index < 0) index = std::max(index, -size - 1) + size;
  return step > 0 ? std::clamp<std::int64_t>(index, 0, size) : std::clamp<std::int64_t>(index, -1, size - 1);
}

/// Finding an item reads the key, and a text up to its place or the keys of a dict.
void spend_search(const Value& object, const Value& key, Budget& budget) {
  const std::size_t weight = extent_of(key).weight;
  budget.spend(weight);
  if (const Dict* dict = object.dict()) budget.spend(weight * (dict->items.size() / kComparisonsAStep));
  if (object.text() && !key.text()) budget.spend(extent_of(object).weight);
}

}  // namespace

Value attribute(const Value& object, const std::string& name, Budget& budget) {
  if (object.is_undefined()) fail_undefined(object);
  Value holder;
  if (const Value* found = find_attribute(object, name, holder)) return *found;
  const Value key(name);
  spend_search(object, key, budget);
  if (std::optional<Value> item = find_item(object, key)) return *item;
  return missing(object, key);
}

Value subscript(const Value& object, const Value& key, Budget& budget) {
  if (object.is_undefined()) fail_undefined(object);
  spend_search(object, key, budget);
  if (std::optional<Value> item = find_item(object, key)) return *item;
  Value holder;
  if (const std::string* name = key.text())
    if (const Value* found = find_attribute(object, *name, holder)) return *found;
  return missing(object, key);
}

Value slice(const Value& object, const Value& begin, const Value& end, const Value& step, Budget& budget) {
  if (object.is_undefined()) fail_undefined(object);
  const Sequence* list = object.list();
  if (!object.text() && (!list || is_view(list->form)))
    fail(ErrorKind::unsupported, "a slice of ", object_name(object), " is not supported");
  if (list && list->form == Form::range) fail(ErrorKind::unsupported, "a slice of a range is not supported");
  std::int64_t stride = 1;
  if (!step.is_none() && (!as_integer(step, stride) || stride == 0))
    fail(ErrorKind::input, "the step of a slice must be an integer other than 0");
  if (!list && stride == 1) {
    const std::int64_t size = length(*object.text());
    const std::int64_t first = bound(begin, size, 1, 0);
    return Value::text_like(
        object, std::string(substring(*object.text(), first, std::max(first, bound(end, size, 1, size)))));
  }
  const std::vector<Value> characters = list ? std::vector<Value>() : items_of(object, budget);
  const std::vector<Value>& items = list ? list->items : characters;
  const auto size = static_cast<std::int64_t>(items.size());
  const std::int64_t last = bound(end, size, stride, stride > 0 ? size : -1);
  std::vector<Value> out;
  for (std::int64_t i = bound(begin, size, stride, stride > 0 ? 0 : size - 1);
       stride > 0 ? i < last : i > last;) {
    out.push_back(items[static_cast<std::size_t>(i)]);
    if (__builtin_add_overflow(i, stride, &i)) break;
  }
  if (list) return Value::sequence(std::move(out), list->form);
  std::string text;
  for (const Value& character : out) text += *character.text();
  return Value::text_like(object, std::move(text));
}

Value by_path(const Value& object, const Value& path, Budget& budget) {
  budget.spend(extent_of(path).weight);
  if (path.is_none()) return object;
  if (!path.text()) return subscript(object, path, budget);
  Value value = object;
  std::string_view rest = *path.text();
  for (bool more = true; more;) {
    const std::size_t dot = rest.find('.');
    const std::string part(rest.substr(0, dot));
    more = dot != rest.npos;
    if (more) rest.remove_prefix(dot + 1);
    const bool is_index = !part.empty() && part.size() < 10 &&
                          std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; });
    value =
        subscript(value, is_index ? Value(static_cast<std::int64_t>(std::stoll(part))) : Value(part), budget);
  }
  return value;
}

}  // namespace mquant::jinja
