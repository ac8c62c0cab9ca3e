// json.dumps of Python, as transformers' filter `tojson` calls it.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "mquant/error.h"
#include "text/jinja/library.h"
#include "text/jinja/python_text.h"
#include "text/unicode.h"

namespace mquant::jinja {
namespace {

constexpr std::int64_t kWidestIndent = 1000;

std::string json_float(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return float_repr(value);
}

class Writer {
 public:
  Writer(const Bound& bound, Budget& budget)
      : ascii_(bound.truth_or(0, false)), sorted_(bound.truth_or(3, false)) {
    const Value* indent = bound.find(1);
    if (indent) refuse_safe(*indent, "tojson: 'indent'");
    if (indent && indent->text()) indent_ = bound.text(1);
    if (indent && !indent->is_none() && !indent->text()) {
      const std::int64_t width = bound.integer_or(1, 0);
      if (width > kWidestIndent)
        fail(ErrorKind::unsupported, "tojson: an indent of ", width, ": expected at most ", kWidestIndent);
      indent_ = std::string(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' ');
    }
    if (indent_) between_ = ",";
    const Value* separators = bound.find(2);
    if (!separators || separators->is_none()) return;
    const std::vector<Value> both = items_of(*separators, budget);
    if (both.size() != 2) fail(ErrorKind::input, "tojson: 'separators': expected two texts");
    for (const Value& text : both) refuse_safe(text, "tojson: 'separators'");
    between_ = text_of(both[0], "tojson");
    after_key_ = text_of(both[1], "tojson");
  }

  std::string write(const Value& value) {
    add(value, 0);
    return out_.take();
  }

 private:
  void add(const Value& value, int level) {
    if (value.is_none())
      out_.add("null");
    else if (const bool* truth = value.get_if<bool>())
      out_.add(*truth ? "true" : "false");
    else if (const std::int64_t* number = value.integer())
      out_.add(std::to_string(*number));
    else if (const double* real = value.get_if<double>())
      out_.add(json_float(*real));
    else if (const std::string* text = value.text())
      add_text(*text);
    else if (value.list() &&
             (value.list()->form == Sequence::Form::list || value.list()->form == Sequence::Form::tuple))
      add_list(*value.list(), level);
    else if (value.dict())
      add_dict(*value.dict(), level);
    else
      fail(ErrorKind::input, "Object of type ", type_name(value), " is not JSON serializable");
  }

  void break_line(int level) {
    if (!indent_) return;
    out_.add("\n");
    for (int i = 0; i < level; ++i) out_.add(*indent_);
  }

  void add_list(const Sequence& list, int level) {
    if (list.items.empty()) {
      out_.add("[]");
      return;
    }
    out_.add("[");
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out_.add(between_);
      break_line(level + 1);
      add(list.items[i], level + 1);
    }
    break_line(level);
    out_.add("]");
  }

  void add_dict(const Dict& dict, int level) {
    if (dict.items.empty()) {
      out_.add("{}");
      return;
    }
    Pairs items = dict.items;
    if (sorted_)
      std::stable_sort(items.begin(), items.end(),
                       [](const auto& a, const auto& b) { return less(a.first, b.first); });
    out_.add("{");
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_.add(between_);
      break_line(level + 1);
      add_key(items[i].first);
      out_.add(after_key_);
      add(items[i].second, level + 1);
    }
    break_line(level);
    out_.add("}");
  }

  void add_key(const Value& key) {
    if (const std::string* text = key.text()) return add_text(*text);
    if (key.list()) fail(ErrorKind::input, "tojson: keys must be str, int, float, bool or None, not tuple");
    out_.add("\"");
    add(key, 0);
    out_.add("\"");
  }

  void add_text(const std::string& text) {
    constexpr std::string_view kShort = "\"\\\n\r\t\f\b", kLetter = "\"\\nrtfb";
    out_.add("\"");
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t begin = at;
      const char32_t c = next_character(text, at);
      if (const std::size_t known = c < 0x80 ? kShort.find(static_cast<char>(c)) : kShort.npos;
          known != kShort.npos)
        out_.add(std::string{'\\', kLetter[known]});
      else if (c < 0x20 || (ascii_ && c > 0x7E))
        add_escaped(c);
      else
        out_.add(std::string_view(text).substr(begin, at - begin));
    }
    out_.add("\"");
  }

  void add_escaped(char32_t c) {
    std::array<char, 16> text{};
    if (c < 0x10000)
      std::snprintf(text.data(), text.size(), "\\u%04x", static_cast<unsigned>(c));
    else
      std::snprintf(text.data(), text.size(), "\\u%04x\\u%04x",
                    0xD800U + ((static_cast<unsigned>(c) - 0x10000U) >> 10U),
                    0xDC00U + ((static_cast<unsigned>(c) - 0x10000U) & 0x3FFU));
    out_.add(text.data());
  }

  bool ascii_, sorted_;
  std::optional<std::string> indent_;
  std::string between_ = ", ", after_key_ = ": ";
  TextBuilder out_;
};

}  // namespace

std::string to_json(const FilterCall& call) {
  return Writer(call.bind({"ensure_ascii", "indent", "separators", "sort_keys"}), call.budget)
      .write(call.subject);
}

}  // namespace mquant::jinja
