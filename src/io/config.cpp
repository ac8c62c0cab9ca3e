#include "mquant/config.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "io/config_keys.h"
#include "io/json_text.h"
#include "mquant/error.h"
#include "support/strings.h"
#include "support/work_inputs.h"

namespace mquant {
namespace {

/// The index that a step of a path means; nullopt if it is none.
std::optional<std::size_t> as_index(std::string_view step) {
  std::size_t index = 0;
  const auto [end, problem] = std::from_chars(step.data(), step.data() + step.size(), index);
  if (problem != std::errc() || end != step.data() + step.size()) return std::nullopt;
  return index;
}

const Json* child(const Json& parent, const std::string& step) {
  if (parent.is_object()) {
    const auto found = parent.find(step);
    return found == parent.end() ? nullptr : &*found;
  }
  const std::optional<std::size_t> index = parent.is_array() ? as_index(step) : std::nullopt;
  return index && *index < parent.size() ? &parent[*index] : nullptr;
}

/// The path of the first key `name` anywhere below; "" if there is none.
std::string find_key(const Json& below, const std::string& name, const std::string& prefix) {
  if (!below.is_object()) return "";
  if (below.contains(name)) return prefix + name;
  for (const auto& [key, value] : below.items()) {
    const std::string found = find_key(value, name, prefix + key + ".");
    if (!found.empty()) return found;
  }
  return "";
}

void add_paths(const Json& below, const std::string& key, const std::string& prefix,
               std::vector<std::string>& paths) {
  if (!below.is_object()) return;
  for (const auto& [name, value] : below.items()) {
    if (name == key) paths.push_back(prefix + name);
    add_paths(value, key, prefix + name + ".", paths);
  }
}

std::vector<std::string> keys_of(const Json& object) {
  std::vector<std::string> keys;
  for (const auto& item : object.items()) keys.push_back(item.key());
  return keys;
}

std::optional<std::int64_t> as_integer(const Json& value) {
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max())
    return {};
  return value.is_number_integer() ? std::optional(value.get<std::int64_t>()) : std::nullopt;
}

std::optional<double> as_number(const Json& value) {
  return value.is_number() ? std::optional(value.get<double>()) : std::nullopt;
}

std::optional<bool> as_boolean(const Json& value) {
  return value.is_boolean() ? std::optional(value.get<bool>()) : std::nullopt;
}

std::optional<std::string> as_string(const Json& value) {
  return value.is_string() ? std::optional(value.get<std::string>()) : std::nullopt;
}

/// A list of what `as_element` takes; a lone element counts as a list of one.
template <class T, std::optional<T> as_element(const Json&)>
std::optional<std::vector<T>> as_list(const Json& value) {
  std::vector<T> list;
  if (!value.is_array()) {
    const std::optional<T> lone = as_element(value);
    return lone ? std::optional(std::vector<T>{*lone}) : std::nullopt;
  }
  for (const Json& element : value) {
    const std::optional<T> taken = as_element(element);
    if (!taken) return std::nullopt;
    list.push_back(*taken);
  }
  return list;
}

}  // namespace

struct Config::Impl {
  Json root;
  std::string origin;

  /// @param text  makes the value's text, where somebody wants to know it
  template <class Text>
  void note(std::string_view path, const Text& text) const {
    if (!WorkInputs::any()) return;
    const std::vector<std::string> steps = split(path, '.');
    // Tensors decide what is quantized, so a look at this key does not make work depend on it.
    if (std::ranges::find(steps, kQuantization) == steps.end())
      WorkInputs::note_value(origin, std::string(path), text());
  }

  const Json* step_to(std::string_view path) const {
    const Json* at = &root;
    if (path.empty()) return at;
    for (const std::string& step : split(path, '.')) {
      at = child(*at, step);
      if (at == nullptr) return nullptr;
    }
    return at;
  }

  /// nullptr if it is not there.
  const Json* find(std::string_view path) const {
    const Json* const at = step_to(path);
    note(path, [at] { return at == nullptr ? std::string() : at->is_object() ? "{}" : at->dump(); });
    return at;
  }

  /// As find, but null counts as absent: official configs write it for "the default".
  const Json* find_set(std::string_view path) const {
    const Json* value = find(path);
    return value == nullptr || value->is_null() ? nullptr : value;
  }

  [[noreturn]] void no_key(std::string_view path) const {
    const Json* at = &root;
    std::string prefix;
    for (const std::string& step : split(path, '.')) {
      const Json* next = child(*at, step);
      if (next == nullptr) no_step(path, *at, prefix, step);
      at = next;
      prefix += step + ".";
    }
    fail(ErrorKind::internal, origin, ": key '", path, "' is there after all");
  }

  /// The step of `path` after `prefix` (which ends with a dot, or is empty) is not in `parent`.
  [[noreturn]] void no_step(std::string_view path, const Json& parent, std::string prefix,
                            const std::string& step) const {
    const std::string name(path.substr(path.rfind('.') + 1));
    std::string hint;
    if (parent.is_object()) {
      const std::string near = nearest(step, keys_of(parent));
      const std::string elsewhere = near.empty() ? find_key(root, name, "") : "";
      if (!near.empty()) hint = cat("; did you mean '", printable(prefix + near), "'?");
      if (!elsewhere.empty()) hint = cat("; there is '", printable(elsewhere), "'");
    } else {
      if (!prefix.empty()) prefix.pop_back();
      const std::string place = prefix.empty() ? "the file" : cat("'", prefix, "'");
      hint = cat(": ", place, " is ", describe(parent));
    }
    fail(ErrorKind::input, origin, ": no key '", path, "'", hint);
  }

  template <class T>
  T convert(std::string_view path, const Json& value, std::optional<T> as(const Json&),
            const char* kind) const {
    std::optional<T> taken = as(value);
    if (!taken) {
      fail(ErrorKind::input, origin, ": '", path, "': expected ", kind, ", found ", describe(value));
    }
    return *std::move(taken);
  }

  template <class T>
  T required(std::string_view path, std::optional<T> as(const Json&), const char* kind) const {
    const Json* value = find(path);
    if (value == nullptr) no_key(path);
    return convert(path, *value, as, kind);
  }

  template <class T>
  T when_set(std::string_view path, T otherwise, std::optional<T> as(const Json&), const char* kind) const {
    const Json* value = find_set(path);
    return value == nullptr ? otherwise : convert(path, *value, as, kind);
  }
};

namespace {
constexpr const char* kInteger = "an integer";
constexpr const char* kPositive = "a positive integer";
constexpr const char* kNumber = "a number";
constexpr const char* kBoolean = "true or false";
constexpr const char* kString = "a string";
}  // namespace

Config Config::open(const std::filesystem::path& file) {
  Config config;
  config.impl_ = std::make_shared<const Impl>(Impl{read_json_object(file), file.string()});
  return config;
}

Config Config::parse(std::string_view text, std::string origin) {
  Config config;
  Json root = parse_json(text, origin);
  config.impl_ = std::make_shared<const Impl>(Impl{std::move(root), std::move(origin)});
  return config;
}

bool Config::has(std::string_view path) const { return impl_->find_set(path) != nullptr; }

std::int64_t Config::integer(std::string_view path) const {
  return impl_->required(path, as_integer, kInteger);
}
std::int64_t Config::positive(std::string_view path, std::int64_t most) const {
  const std::int64_t value = impl_->required(path, as_integer, kPositive);
  if (value < 1 || value > most) {
    fail(ErrorKind::input, impl_->origin, ": '", path, "': expected ", kPositive,
         value < 1 ? "" : cat(" up to ", most), ", found ", value);
  }
  return value;
}
double Config::positive_number(std::string_view path) const {
  const double value = number(path);
  using Float = std::numeric_limits<float>;
  if (!(value >= Float::min() && value <= Float::max()))
    fail(ErrorKind::input, impl_->origin, ": '", path,
         "': expected a number above 0 in the range of float32, found ", value);
  return value;
}
double Config::number(std::string_view path) const { return impl_->required(path, as_number, kNumber); }
bool Config::boolean(std::string_view path) const { return impl_->required(path, as_boolean, kBoolean); }
std::string Config::string(std::string_view path) const { return impl_->required(path, as_string, kString); }

std::vector<std::int64_t> Config::integers(std::string_view path) const {
  return impl_->required(path, as_list<std::int64_t, as_integer>, "an integer or a list of integers");
}

std::vector<double> Config::numbers(std::string_view path) const {
  return impl_->required(path, as_list<double, as_number>, "a number or a list of numbers");
}

std::int64_t Config::integer_or(std::string_view path, std::int64_t otherwise) const {
  return impl_->when_set(path, otherwise, as_integer, kInteger);
}

std::int64_t Config::positive_or(std::string_view path, std::int64_t otherwise, std::int64_t most) const {
  return has(path) ? positive(path, most) : otherwise;
}

double Config::positive_number_or(std::string_view path, double otherwise) const {
  return has(path) ? positive_number(path) : otherwise;
}

double Config::number_or(std::string_view path, double otherwise) const {
  return impl_->when_set(path, otherwise, as_number, kNumber);
}

bool Config::boolean_or(std::string_view path, bool otherwise) const {
  return impl_->when_set(path, otherwise, as_boolean, kBoolean);
}

std::string Config::string_or(std::string_view path, std::string_view otherwise) const {
  return impl_->when_set(path, std::string(otherwise), as_string, kString);
}

std::string Config::raw(std::string_view path) const {
  const Json* value = impl_->step_to(path);
  std::string text = value == nullptr ? "" : value->dump();
  impl_->note(path, [&] { return std::string_view(text); });
  return text;
}

std::vector<std::string> Config::paths_of(const std::string& key) const {
  std::vector<std::string> paths;
  add_paths(impl_->root, key, "", paths);
  return paths;
}

std::vector<std::string> Config::keys(std::string_view path) const {
  const Json* value = impl_->find_set(path);
  if (value == nullptr) return {};
  if (!value->is_object()) {
    fail(ErrorKind::input, impl_->origin, path.empty() ? "" : cat(": '", path, "'"),
         ": expected an object, found ", describe(*value));
  }
  std::vector<std::string> keys = keys_of(*value);
  impl_->note(cat(path, path.empty() ? "*" : ".*"), [&] {
    std::string text;
    for (const std::string& key : keys)
      if (key != kQuantization) text += Json(key).dump() + " ";
    return text;
  });
  return keys;
}

std::string Config::model_type() const {
  return has("model_type") || !has("architectures.0") ? string("model_type") : string("architectures.0");
}

const std::string& Config::origin() const { return impl_->origin; }

}  // namespace mquant
