#include "zoo/settings.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "mquant/error.h"
#include "recipe/options.h"
#include "support/strings.h"

namespace mquant::zoo {
namespace fs = std::filesystem;
namespace {

constexpr std::array kClasses = {"text", "visual", "sink"};

const std::vector<PassOption>& value_options() {
  static const std::vector<PassOption> kOptions = describe_options<Values>();
  return kOptions;
}

void expect_object(const Json& value, const std::string& where) {
  if (!value.is_object())
    fail(ErrorKind::usage, where, ": expected an object {...}, found ", describe(value));
}

double number_of(const Json& value, const Range& range, const std::string& where) {
  if (!value.is_number() || !range.contains(value.get<double>()))
    fail(ErrorKind::usage, where, ": expected a number ", range.text(), ", found ", describe(value));
  return value.get<double>();
}

std::int64_t integer_of(const Json& value, std::int64_t least, const std::string& where) {
  const bool large = value.is_number_unsigned() && value.get<std::uint64_t>() > std::uint64_t{INT64_MAX};
  if (!value.is_number_integer() || large || value.get<std::int64_t>() < least)
    fail(ErrorKind::usage, where, ": expected an integer of at least ", least, ", found ", describe(value));
  return value.get<std::int64_t>();
}

std::string text_of(const Json& value, const std::string& where) {
  if (!value.is_string() || value.get<std::string>().empty())
    fail(ErrorKind::usage, where, ": expected a text, found ", describe(value));
  return value.get<std::string>();
}

std::int64_t size_of(const std::string& text, const std::string& where) {
  if (const std::optional<std::int64_t> size = parse_bytes(text)) return *size;
  fail(ErrorKind::usage, where, ": expected a size such as 12GiB or 800MB, found '", printable(text), "'");
}

std::map<std::string, double> kl_bounds(const Json& value, const std::string& where) {
  static const std::vector<std::string> kKnown(kClasses.begin(), kClasses.end());
  if (!value.is_object()) return {{"", number_of(value, {.above = 0}, where)}};
  std::map<std::string, double> bounds;
  for (const auto& [name, bound] : value.items()) {
    if (std::ranges::find(kKnown, name) == kKnown.end())
      fail(ErrorKind::usage, where, ": no token class '", printable(name), "'", suggestion(name, kKnown));
    bounds[name] = number_of(bound, {.above = 0}, cat(where, ": '", name, "'"));
  }
  if (bounds.empty()) fail(ErrorKind::usage, where, ": expected a bound for some token class, found none");
  return bounds;
}

/// A key of an eval check, and who reads it.
struct CheckKey {
  const char* name;
  void (*read)(const Json& value, const std::string& where, Check& check);
};

constexpr std::array kEvalKeys = {
    CheckKey{"check", [](const Json&, const std::string&, Check&) {}},
    CheckKey{"name", [](const Json& v, const std::string& where, Check& c) { c.name = text_of(v, where); }},
    CheckKey{"data", [](const Json& v, const std::string& where, Check& c) { c.data = text_of(v, where); }},
    CheckKey{"limit",
             [](const Json& v, const std::string& where, Check& c) { c.limit = integer_of(v, 0, where); }},
    CheckKey{"max_new_tokens", [](const Json& v, const std::string& where,
                                  Check& c) { c.max_new_tokens = integer_of(v, 1, where); }},
    CheckKey{"min_exact",
             [](const Json& v, const std::string& where, Check& c) {
               c.min_exact = number_of(v, {.at_least = 0, .at_most = 100}, where);
             }},
    CheckKey{"max_perplexity", [](const Json& v, const std::string& where,
                                  Check& c) { c.max_perplexity = number_of(v, {.above = 0}, where); }},
    CheckKey{"max_kl",
             [](const Json& v, const std::string& where, Check& c) { c.max_kl = kl_bounds(v, where); }},
};

void read_keys(const Json& given, std::span<const CheckKey> keys, const std::string& where, Check& check) {
  std::vector<std::string> known;
  for (const CheckKey& key : keys) known.emplace_back(key.name);
  for (const auto& [name, value] : given.items()) {
    const auto found = std::ranges::find(keys, name, &CheckKey::name);
    if (found == keys.end())
      fail(ErrorKind::usage, where, ": no key '", printable(name), "'", suggestion(name, known));
    found->read(value, cat(where, ": '", name, "'"), check);
  }
}

Check check_of(const Json& given, const std::string& where) {
  static const std::vector<std::string> kKinds = {"verify", "eval"};
  expect_object(given, where);
  const std::string kind = given.contains("check") ? text_of(given["check"], where + ": 'check'") : "";
  if (std::ranges::find(kKinds, kind) == kKinds.end())
    fail(ErrorKind::usage, where, R"(: expected {"check": "verify"} or {"check": "eval", "data": FILE, ...})",
         kind.empty() ? "" : cat(", found the check '", printable(kind), "'", did_you_mean(kind, kKinds)));
  Check check;
  if (kind == "verify") {
    read_keys(given, std::span(kEvalKeys).first(1), where, check);
    return check;
  }
  check.kind = Check::Kind::eval;
  read_keys(given, kEvalKeys, where, check);
  if (check.data.empty()) fail(ErrorKind::usage, where, ": expected 'data', a file of samples");
  const std::string name = check.name.empty() ? check.data.stem().string() : check.name;
  check.name = file_name(name);
  std::ranges::replace(check.name, '.', '-');  // a dot ends the name of a stage, where a format follows
  if (check.name.empty())
    fail(ErrorKind::usage, where, ": '", printable(name),
         "' is not a name that files can have; give it a 'name'");
  return check;
}

std::vector<Check> checks_of(const Json& value, const std::string& where) {
  if (!value.is_array()) fail(ErrorKind::usage, where, ": expected a list [...], found ", describe(value));
  std::vector<Check> checks;
  for (std::size_t i = 0; i < value.size(); ++i)
    checks.push_back(check_of(value[i], cat(where, "[", i, "]")));
  for (auto check = checks.begin(); check != checks.end(); ++check)
    if (std::any_of(checks.begin(), check, [&](const Check& other) {
          return other.kind == check->kind && other.name == check->name;
        }))
      fail(ErrorKind::usage, where, ": two checks ",
           check->name.empty() ? "of kind 'verify'" : cat("have the name '", printable(check->name), "'"),
           check->name.empty() ? "" : "; give one of them another 'name'");
  return checks;
}

Json values_in(const Json& settings) {
  Json values = Json::object();
  for (const PassOption& option : value_options())
    if (settings.contains(option.name)) values[option.name] = settings[option.name];
  return values;
}

}  // namespace

void Values::bind(OptionBinder& options) {
  options.text("data", data, "samples of the calibration, one JSON object a line");
  options.text("chat_template", chat_template, "a file with a chat template in place of the model's own");
  options.text("template_date", template_date, "the date that a chat template prints as today's, YYYY-MM-DD");
  options.integer("seed", seed, "of rotations and all else that is drawn", {.at_least = 0});
  options.integer("threads", threads, "cores of each stage; 0: shared out among the jobs",
                  {.at_least = 0, .at_most = 1024});
  options.flag("verify_each", verify_each, "run each block before and after passes that must not change it");
  options.flag("keep_calibration", keep_calibration, "keep the calibration after the last export");
  options.text("memory", memory, "memory of each stage, such as 12GiB, in place of the estimates");
  options.integer("timeout", timeout, "minutes that a stage may take; 0: any time", {.at_least = 0});
}

std::string file_name(std::string name) {
  static constexpr std::string_view kKept =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-";
  for (char& c : name)
    if (kKept.find(c) == std::string_view::npos) c = '-';
  const std::size_t first = name.find_first_not_of(".-");
  return first == std::string::npos ? "" : name.substr(first);
}

std::vector<std::string> setting_keys(Place place) {
  std::vector<std::string> keys;
  for (const PassOption& option : value_options()) keys.push_back(option.name);
  keys.insert(keys.end(), {kFormats, kChecks});
  if (place == Place::chooses_recipes) keys.emplace_back(kRecipes);
  return keys;
}

std::vector<std::string> texts_of(const Json& value, const std::string& where) {
  if (!value.is_array() || value.empty())
    fail(ErrorKind::usage, where, ": expected a list of texts, found ", describe(value));
  std::vector<std::string> texts;
  for (const Json& text : value) {
    texts.push_back(text_of(text, where));
    if (std::ranges::count(texts, texts.back()) > 1)
      fail(ErrorKind::usage, where, ": '", printable(texts.back()), "' is there twice");
  }
  return texts;
}

void check_settings(const Json& settings, Place place, const std::vector<std::string>& others,
                    const std::string& where) {
  expect_object(settings, where);
  std::vector<std::string> known = setting_keys(place);
  known.insert(known.end(), others.begin(), others.end());
  for (const auto& [key, value] : settings.items())
    if (std::ranges::find(known, key) == known.end())
      fail(ErrorKind::usage, where, ": no key '", printable(key), "'", suggestion(key, known));
  JobSpec nobody;
  apply_settings(settings, {}, where, nobody);
}

Json merged(Json earlier, const Json& later) {
  for (const auto& [key, value] : later.items()) earlier[key] = value;
  return earlier;
}

void apply_settings(const Json& settings, const fs::path& folder, const std::string& where, JobSpec& job) {
  const auto at = [&](const char* key) { return cat(where, ": '", key, "'"); };
  const auto in_folder = [&](const std::string& path) {
    return path.empty() ? path : (folder / path).string();
  };
  const Json values = completed(values_in(settings), value_options(), where);
  const std::int64_t seed = settings.contains("seed") ? values["seed"].get<std::int64_t>() : job.values.seed;
  job.values = read_options<Values>(Config::parse(values.dump(), where));
  job.values.seed = seed;
  job.values.data = in_folder(job.values.data);
  job.values.chat_template = in_folder(job.values.chat_template);
  if (!job.values.memory.empty()) job.memory = size_of(job.values.memory, at("memory"));
  job.formats = settings.contains(kFormats) ? texts_of(settings[kFormats], at(kFormats))
                                            : std::vector<std::string>{"auto"};
  if (settings.contains(kChecks)) job.checks = checks_of(settings[kChecks], at(kChecks));
  for (Check& check : job.checks)
    if (check.kind == Check::Kind::eval) check.data = in_folder(check.data.string());
  if (settings.contains(kRecipes)) texts_of(settings[kRecipes], at(kRecipes));
}

}  // namespace mquant::zoo
