// Values of a template, with the semantics of Python: what they print as, what is true, equal, less.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace mquant::jinja {

inline constexpr std::size_t kLongestText = std::size_t{16} << 20;  ///< of one string, in bytes
inline constexpr int kDeepestValue = 100;  ///< levels of lists in lists; printing and comparing recurse
inline constexpr std::size_t kHeaviestValue = 1'000'000;
inline constexpr std::size_t kBytesAStep = 64;
inline constexpr std::size_t kLongestShown = 60;  ///< bytes of a name or key that a message repeats

class Value;
struct Macro;
struct Namespace;
class Loop;
using Pairs = std::vector<std::pair<Value, Value>>;

/// What a name or a subscript stands for that is not there: prints as nothing, refuses nearly all else.
struct Undefined {
  std::string why;  ///< "'x' is undefined"
};

/// How large a value is when it is written out: lists may share their items, so a small template makes values of
/// exponential size unless this is bounded.
struct Extent {
  int depth = 0;           ///< levels of lists and dicts
  std::size_t weight = 1;  ///< values in it, and kBytesAStep bytes of text
};

/// Lists, and what Python has beside them that can be iterated.
struct Sequence {
  enum class Form { list, tuple, range, keys, values, items, iterator } form = Form::list;
  std::vector<Value> items;
  std::size_t taken = 0;  ///< of an iterator, which gives each item once
  Extent extent;
  std::int64_t start = 0, stop = 0, step = 1;  ///< of a range
};

/// In the order of insertion; keys are hashable in Python.
struct Dict {
  Pairs items;
  Extent extent;
  const Value* find(const Value& key) const;
};

/// A function that templates find among the globals, or a method and what it is bound to.
struct Function;

class Value {
 public:
  struct None {};
  using Text = std::shared_ptr<const std::string>;
  using List = std::shared_ptr<Sequence>;
  using Data = std::variant<std::shared_ptr<const Undefined>, None, bool, std::int64_t, double, Text, List,
                            std::shared_ptr<const Dict>, Namespace*, const Macro*, Loop*,
                            std::shared_ptr<const Function>>;

  Value() : data_(None{}) {}
  // NOLINTBEGIN(google-explicit-constructor): what functions of templates return
  Value(bool value) : data_(value) {}
  Value(std::int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  /// Throws Error{input} beyond kLongestText bytes.
  Value(std::string text);
  Value(const char* text) : Value(std::string(text)) {}
  // NOLINTEND(google-explicit-constructor)
  explicit Value(Data data) : data_(std::move(data)) {}

  static Value undefined(std::string why);
  /// A text that the filter `safe` marks, Python's Markup.  It behaves as a text, except in operations
  /// that escape HTML in their other operands, which refuse it.
  static Value safe_text(std::string text);
  /// A text, marked if `origin` is: what the operations of Markup give that keep the mark.
  static Value text_like(const Value& origin, std::string text);
  /// These throw Error{input} beyond kDeepestValue levels or kHeaviestValue items.
  static Value sequence(std::vector<Value> items, Sequence::Form form = Sequence::Form::list);
  /// Later pairs replace earlier ones of the same key.  Throws Error{input} for a key that Python cannot hash.
  static Value dict(Pairs items);
  /// A method that is bound to `self`, or a global function.
  static Value function(std::string name, Value self = {});
  static Value from_json(const nlohmann::ordered_json& json);

  const Data& data() const { return data_; }
  template <class T>
  const T* get_if() const {
    return std::get_if<T>(&data_);
  }
  bool is_undefined() const { return get_if<std::shared_ptr<const Undefined>>() != nullptr; }
  bool is_none() const { return get_if<None>() != nullptr; }
  bool is_text() const { return get_if<Text>() != nullptr; }
  bool is_safe() const { return is_safe_; }
  const std::string* text() const { return is_text() ? get_if<Text>()->get() : nullptr; }
  Sequence* list() const { return get_if<List>() ? get_if<List>()->get() : nullptr; }
  const Dict* dict() const;
  /// An integer or a boolean.
  const std::int64_t* integer() const { return get_if<std::int64_t>(); }

 private:
  Data data_;
  bool is_safe_ = false;  ///< of a text
};

struct Function {
  std::string name;
  Value self;  ///< none: it is global
  Extent extent;
};

using Variables = std::map<std::string, Value, std::less<>>;

/// Owned by the run that made it, as macros and loops are: templates can store one in itself.
struct Namespace {
  Variables attributes;
};

/// Text that stops growing at kLongestText, with Error{input}.
class TextBuilder {
 public:
  TextBuilder& add(std::string_view part);
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

Extent extent_of(const Value& value);
/// "int", "str", "list", ...: as Python names types.
std::string type_name(const Value& value);
bool is_true(const Value& value);
/// As print() writes it.  Throws Error{unsupported} for what prints as an address.
std::string to_text(const Value& value);
/// As repr() writes it, inside lists.
std::string to_repr(const Value& value);

/// Costs as much as the smaller one weighs.
bool equal(const Value& a, const Value& b);
/// Throws Error{input} for types that Python does not order; its message names them around `sign`.
std::partial_ordering order_of(const Value& a, const Value& b, std::string_view sign);
inline bool less(const Value& a, const Value& b) { return order_of(a, b, "<") < 0; }
/// Throws Error{input} for a list or dict, which is no key of a dict.
void require_hashable(const Value& key);
/// The number that a boolean, an integer or a float is.
bool as_number(const Value& value, double& number);
/// An integer or a boolean, as arithmetic sees it.
bool as_integer(const Value& value, std::int64_t& number);

class Budget;
/// The items in order; characters of a text, keys of a dict, nothing for an undefined value.  An iterator is used up.
/// Each character costs a step.  Throws Error{input} for what Python does not iterate, and for a text of more than kHeaviestValue characters.
std::vector<Value> items_of(const Value& value, Budget& budget);
/// The undefined value's own complaint.  Throws Error{input} always.
[[noreturn]] void fail_undefined(const Value& value);
/// Throws Error{unsupported} for a text that is marked safe, where `operation` would escape HTML.
void refuse_safe(const Value& value, std::string_view operation);

}  // namespace mquant::jinja
