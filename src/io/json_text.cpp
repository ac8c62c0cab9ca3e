#include "io/json_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "io/file_kind.h"
#include "mquant/error.h"
#include "support/mapped_file.h"
#include "support/strings.h"

namespace mquant {
namespace {

/// "parse error at line 3, column 7: ..." without the library's "[json.exception.parse_error.101] ".
std::string reason(const Json::exception& error) {
  const std::string_view what = error.what();
  const auto end = what.find("] ");
  return printable(end == std::string_view::npos ? what : what.substr(end + 2));
}

constexpr std::size_t kLongestNumber = 40;  // that a message repeats

/// Makes a value of the parser's events.  The library's own filter, parse() with a callback, walks over all members of
/// the parent at the end of each object: quadratic.
template <class Value>
class Builder final : public nlohmann::json_sax<Value> {
 public:
  using typename nlohmann::json_sax<Value>::number_integer_t;
  using typename nlohmann::json_sax<Value>::number_unsigned_t;
  using typename nlohmann::json_sax<Value>::number_float_t;
  using typename nlohmann::json_sax<Value>::string_t;
  using typename nlohmann::json_sax<Value>::binary_t;

  Builder(const std::string& origin, Integers integers) : origin_(origin), integers_(integers) {}

  Value take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t& text) override {
    // The library rounds an integer that does not fit to a float, which a prompt would print.
    if (integers_ == Integers::kept && text.find_first_of(".eE") == text.npos)
      fail(ErrorKind::unsupported, origin_, ": ", printable(text, kLongestNumber),
           ": an integer of more than 64 bits is not supported");
    return add(value);
  }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& /*value*/) override { return false; }  // JSON text has none

  bool start_object(std::size_t /*count*/) override {
    open(Value::object());
    if constexpr (kOrdered) keys_.emplace_back();
    return true;
  }
  bool end_object() override {
    if constexpr (kOrdered) keys_.pop_back();
    return close();
  }
  bool start_array(std::size_t /*count*/) override { return open(Value::array()); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    auto& members = open_.back()->template get_ref<typename Value::object_t&>();
    if constexpr (kOrdered) {  // a vector: its own emplace would compare with all members
      if (!keys_.back().insert(name).second) is_there_twice(name);
      next_ = &members.emplace_back(name, nullptr).second;
    } else {
      const auto [member, is_new] = members.emplace(name, nullptr);
      if (!is_new) is_there_twice(name);
      next_ = &member->second;
    }
    return true;
  }

  bool parse_error(std::size_t /*at*/, const std::string& /*token*/, const Json::exception& error) override {
    fail(ErrorKind::input, origin_, ": ", reason(error));
  }

 private:
  static constexpr bool kOrdered = std::is_same_v<Value, OrderedJson>;

  /// The place for the next value: the whole, the member whose key came last, or the end of a list.
  template <class Element>
  Value& place(Element&& element) {
    if (open_.empty()) return root_ = std::forward<Element>(element);
    if (!open_.back()->is_array()) return *next_ = std::forward<Element>(element);
    return open_.back()->template get_ref<typename Value::array_t&>().emplace_back(
        std::forward<Element>(element));
  }

  template <class Element>
  bool add(Element&& element) {
    place(std::forward<Element>(element));
    return true;
  }

  bool open(Value container) {
    if (open_.size() >= kDeepestJson)
      fail(ErrorKind::input, origin_, ": nested more than ", kDeepestJson, " levels deep");
    open_.push_back(&place(std::move(container)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  [[noreturn]] void is_there_twice(const string_t& name) const {
    fail(ErrorKind::input, origin_, ": key '", printable(name), "' is there twice in one object; remove one");
  }

  const std::string& origin_;
  Integers integers_;
  Value root_;
  std::vector<Value*> open_;  // a list grows only while none of its elements is open
  Value* next_ = nullptr;
  std::vector<std::unordered_set<std::string>> keys_;  // of the objects that are open
};

template <class Value>
Value parse(std::string_view text, const std::string& origin, Integers integers = Integers::rounded) {
  // The parser takes a zero byte for the end of the text.
  if (const std::size_t zero = text.find('\0'); zero != text.npos)
    fail(ErrorKind::input, origin, ": byte ", zero, " is zero; JSON is text, the file may be damaged");
  Builder<Value> builder(origin, integers);
  Value::sax_parse(text, &builder);
  return builder.take();
}

template <class Value>
Value read(const std::filesystem::path& file) {
  const MappedFile mapped(file);
  refuse_lfs_pointer(mapped.bytes(), file.string());  // tokenizer.json is often one
  if (mapped.bytes().size() > kLargestJsonFile) {
    fail(ErrorKind::input, file.string(), ": expected at most ", human_bytes(kLargestJsonFile),
         " of JSON, found ", human_bytes(mapped.bytes().size()));
  }
  return parse<Value>({reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size()},
                      file.string());
}

}  // namespace

Json parse_json(std::string_view text, const std::string& origin) { return parse<Json>(text, origin); }
OrderedJson parse_ordered_json(std::string_view text, const std::string& origin, Integers integers) {
  return parse<OrderedJson>(text, origin, integers);
}

Json read_json(const std::filesystem::path& file) { return read<Json>(file); }
Json read_json_object(const std::filesystem::path& file) {
  Json json = read_json(file);
  if (!json.is_object())
    fail(ErrorKind::input, file.string(), ": expected an object, found ", describe(json));
  return json;
}
OrderedJson read_ordered_json(const std::filesystem::path& file) { return read<OrderedJson>(file); }

std::string describe(const Json& value) {
  if (value.is_object()) return "an object";
  const auto is_short = [](const Json& list) {
    return list.size() <= 4 &&
           std::all_of(list.begin(), list.end(), [](const Json& item) { return item.is_primitive(); });
  };
  if (value.is_array() && !is_short(value)) return cat("a list of ", value.size());
  return printable(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace mquant
