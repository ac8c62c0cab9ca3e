#include "zoo/checks.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "mquant/error.h"
#include "mquant/sample.h"
#include "recipe/options.h"
#include "support/strings.h"
#include "zoo/settings.h"

namespace mquant::zoo {
namespace {

constexpr const char* kKind = "check";
constexpr const char* kMaxKl = "max_kl";

/// Of an evaluation, but for its bounds.
struct EvalValues {
  std::string name, data;
  std::int64_t limit = 0, max_new_tokens = Check().max_new_tokens;

  void bind(OptionBinder& options) {
    options.text("name", name, "names the stage; empty: the data file without its ending");
    options.text("data", data, "samples with answers, one JSON object a line");
    options.integer("limit", limit, "the first n samples; 0: all", {.at_least = 0});
    options.integer("max_new_tokens", max_new_tokens, "tokens of an answer at most", {.at_least = 1});
  }
};

const std::vector<PassOption>& eval_options() {
  static const std::vector<PassOption> kOptions = describe_options<EvalValues>();
  return kOptions;
}

PassOption number(std::string name, std::string summary, const Range& range) {
  return {std::move(name), "0.0", std::move(summary), {}, range};
}

// Bounds have no default: a check has those that are there.
const PassOption& min_exact() {
  static const PassOption kOption =
      number("min_exact", "exact match in percent, at least", {.at_least = 0, .at_most = 100});
  return kOption;
}

const PassOption& max_perplexity() {
  static const PassOption kOption =
      number("max_perplexity", "perplexity of the answers, at most", {.above = 0});
  return kOption;
}

const PassOption& max_kl() {
  static const PassOption kOption =
      number(kMaxKl, "KL of every token class against the source, in nats, at most", {.above = 0});
  return kOption;
}

const std::vector<PassOption>& max_kl_of_classes() {
  static const std::vector<PassOption> kOptions = [] {
    std::vector<PassOption> options;
    for (const TokenClass c : kAllTokenClasses)
      options.push_back(number(std::string(token_class_name(c)), "KL of this token class", {.above = 0}));
    return options;
  }();
  return kOptions;
}

std::optional<double> bound_in(const Json& given, const PassOption& option, const std::string& where) {
  if (!given.contains(option.name)) return {};
  const Json only = {{option.name, given[option.name]}};
  return completed(only, std::span(&option, 1), where)[option.name].get<double>();
}

std::map<std::string, double> kl_bounds(const Json& given, const std::string& where) {
  std::map<std::string, double> bounds;
  if (!given.contains(kMaxKl)) return bounds;
  const Json& value = given[kMaxKl];
  if (!value.is_object()) return {{"", *bound_in(given, max_kl(), where)}};
  const std::string inside = cat(where, ": '", kMaxKl, "'");
  completed(value, max_kl_of_classes(), inside);  // for a class that is not known
  for (const PassOption& option : max_kl_of_classes())
    if (const auto bound = bound_in(value, option, inside)) bounds[option.name] = *bound;
  if (bounds.empty()) fail(ErrorKind::usage, inside, ": expected a bound for some token class, found none");
  return bounds;
}

Json without(Json given, const std::vector<const char*>& keys) {
  for (const char* key : keys) given.erase(key);
  return given;
}

Check evaluation_of(const Json& given, const std::string& where) {
  const Json values =
      completed(without(given, {kKind, kMaxKl, min_exact().name.c_str(), max_perplexity().name.c_str()}),
                eval_options(), where);
  const auto read = read_options<EvalValues>(Config::parse(values.dump(), where));
  if (read.data.empty()) fail(ErrorKind::usage, where, ": expected 'data', a file of samples");
  Check check{.kind = Check::Kind::eval,
              .name = {},
              .data = read.data,
              .limit = read.limit,
              .max_new_tokens = read.max_new_tokens,
              .min_exact = bound_in(given, min_exact(), where),
              .max_perplexity = bound_in(given, max_perplexity(), where),
              .max_kl = kl_bounds(given, where)};
  const std::string name = read.name.empty() ? check.data.stem().string() : read.name;
  check.name = file_name(name);
  std::ranges::replace(check.name, '.', '-');  // a dot ends the name of a stage, where a format follows
  if (check.name.empty())
    fail(ErrorKind::usage, where, ": '", printable(name),
         "' is not a name that files can have; give it a 'name'");
  return check;
}

Check check_of(const Json& given, const std::string& where) {
  static const std::vector<std::string> kKinds = {"verify", "eval"};
  if (!given.is_object())
    fail(ErrorKind::usage, where, ": expected an object {...}, found ", describe(given));
  const std::string kind =
      given.contains(kKind) && given[kKind].is_string() ? given[kKind].get<std::string>() : "";
  if (kind == "eval") return evaluation_of(given, where);
  if (kind != "verify")
    fail(ErrorKind::usage, where, R"(: expected {"check": "verify"} or {"check": "eval", "data": FILE, ...})",
         kind.empty() ? "" : cat(", found the check '", printable(kind), "'", did_you_mean(kind, kKinds)));
  completed(without(given, {kKind}), {}, where);
  return {};
}

OrderedJson without_default(const PassOption& option) {
  OrderedJson schema = option_schema(option);
  schema.erase("default");
  return schema;
}

}  // namespace

std::vector<Check> checks_of(const Json& value, const std::string& where) {
  if (!value.is_array()) fail(ErrorKind::usage, where, ": expected a list [...], found ", describe(value));
  std::vector<Check> checks;
  for (const Json& given : value) {
    checks.push_back(check_of(given, cat(where, "[", checks.size(), "]")));
    const Check& last = checks.back();
    if (std::ranges::count(checks, last.name, &Check::name) > 1)  // that of verify is ""
      fail(ErrorKind::usage, where, ": two checks ",
           last.name.empty() ? "of kind 'verify'"
                             : cat("have the name '", last.name, "'; give one of them another 'name'"));
  }
  return checks;
}

OrderedJson checks_schema() {
  const OrderedJson verify = {{"type", "object"},
                              {"additionalProperties", false},
                              {"required", {kKind}},
                              {"properties", {{kKind, {{"const", "verify"}}}}}};
  OrderedJson classes = options_schema(max_kl_of_classes());
  classes["minProperties"] = 1;
  for (OrderedJson& of_class : classes["properties"]) of_class.erase("default");
  OrderedJson eval = options_schema(eval_options());
  OrderedJson& properties = eval["properties"];
  properties["data"].erase("default");
  properties["data"]["minLength"] = 1;
  properties[kKind] = {{"const", "eval"}};
  for (const PassOption* const option : {&min_exact(), &max_perplexity()})
    properties[option->name] = without_default(*option);
  properties[kMaxKl] = {{"oneOf", {without_default(max_kl()), classes}}};
  eval["required"] = {kKind, "data"};
  return {{"type", "array"},
          {"items", {{"oneOf", {verify, eval}}}},
          {"description", "what each artifact must pass"}};
}

}  // namespace mquant::zoo
