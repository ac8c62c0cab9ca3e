#include "zoo/settings.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "mquant/error.h"
#include "recipe/options.h"
#include "support/strings.h"
#include "zoo/checks.h"

namespace mquant::zoo {
namespace fs = std::filesystem;
namespace {

const std::vector<PassOption>& value_options() {
  static const std::vector<PassOption> kOptions = describe_options<Values>();
  return kOptions;
}

void expect_object(const Json& value, const std::string& where) {
  if (!value.is_object())
    fail(ErrorKind::usage, where, ": expected an object {...}, found ", describe(value));
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
