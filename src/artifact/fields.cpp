#include "artifact/fields.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "mquant/error.h"

namespace mquant {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::optional<double> number_in(const Json& value) {
  if (value.is_number()) return value.get<double>();
  if (value == "inf") return kInfinity;
  if (value == "-inf") return -kInfinity;
  if (value == "nan") return std::numeric_limits<double>::quiet_NaN();
  return std::nullopt;
}

}  // namespace

Fields::Fields(const Json& value, std::string where) : value_(&value), where_(std::move(where)) {
  if (!value.is_object()) fail(ErrorKind::input, where_, ": expected an object, found ", describe(value));
}

void Fields::expected(const std::string& key, std::string_view what) const {
  const auto it = value_->find(key);
  if (it == value_->end()) fail(ErrorKind::input, where_, ": no key '", key, "'; expected ", what);
  fail(ErrorKind::input, where_, ": '", key, "': expected ", what, ", found ", describe(*it));
}

bool Fields::has(const std::string& key) const {
  const auto it = value_->find(key);
  return it != value_->end() && !it->is_null();
}

const Json& Fields::at(const std::string& key) const {
  if (!value_->contains(key)) fail(ErrorKind::input, where_, ": no key '", key, "'");
  return *value_->find(key);
}

Fields Fields::object(const std::string& key) const { return Fields(at(key), cat(where_, ": '", key, "'")); }

std::string Fields::text(const std::string& key) const {
  if (!has(key) || !at(key).is_string()) expected(key, "a text");
  return at(key).get<std::string>();
}

std::int64_t Fields::integer(const std::string& key, std::int64_t least, std::int64_t most) const {
  const bool fits = has(key) && at(key).is_number_integer() &&
                    (!at(key).is_number_unsigned() ||
                     at(key).get<std::uint64_t>() <= std::uint64_t{std::numeric_limits<std::int64_t>::max()});
  if (!fits || at(key).get<std::int64_t>() < least || at(key).get<std::int64_t>() > most)
    expected(key, cat("an integer from ", least, " to ", most));
  return at(key).get<std::int64_t>();
}

std::uint64_t Fields::natural(const std::string& key) const {
  if (!has(key) || !at(key).is_number_unsigned()) expected(key, "a natural number");
  return at(key).get<std::uint64_t>();
}

double Fields::number(const std::string& key) const {
  const std::optional<double> value = has(key) ? number_in(at(key)) : std::nullopt;
  if (!value) expected(key, "a number");
  return *value;
}

bool Fields::boolean(const std::string& key) const {
  if (!has(key) || !at(key).is_boolean()) expected(key, "true or false");
  return at(key).get<bool>();
}

std::vector<std::int64_t> Fields::integers(const std::string& key) const {
  const auto fits = [](const Json& value) {
    return value.is_number_integer() &&
           (!value.is_number_unsigned() ||
            value.get<std::uint64_t>() <= std::uint64_t{std::numeric_limits<std::int64_t>::max()});
  };
  if (!has(key) || !at(key).is_array() || !std::all_of(at(key).begin(), at(key).end(), fits))
    expected(key, "a list of integers");
  return at(key).get<std::vector<std::int64_t>>();
}

std::vector<std::string> Fields::texts(const std::string& key) const {
  const auto is_text = [](const Json& value) { return value.is_string(); };
  if (!has(key) || !at(key).is_array() || !std::all_of(at(key).begin(), at(key).end(), is_text))
    expected(key, "a list of texts");
  return at(key).get<std::vector<std::string>>();
}

OrderedJson number_json(double value) {
  if (std::isfinite(value)) return value;
  if (std::isnan(value)) return "nan";
  return value > 0 ? "inf" : "-inf";
}

bool is_plain_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= 200 && name[0] != '.' &&
         std::all_of(name.begin(), name.end(), allowed);
}

}  // namespace mquant
