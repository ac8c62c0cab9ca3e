#include "eval/bounds.h"

#include <array>
#include <cmath>
#include <functional>
#include <limits>

#include "mquant/error.h"
#include "support/strings.h"
#include "support/table.h"

namespace mquant {
namespace {

constexpr const char* kKl = "max_kl.";
constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();

/// @param option  up to where the value is written
void expect_positive(const std::string& option, double value) {
  if (!(value > 0) || !std::isfinite(value))
    fail(ErrorKind::usage, option, value, ": expected a finite number above 0");
}

/// With at least `digits` digits after the point; with more where the text would meet a bound that
/// the number misses.
std::string found_text(double found, int digits, const std::function<bool(double)>& meets) {
  constexpr int kMostDigits = 17;
  if (!std::isfinite(found)) return std::isnan(found) ? "not a number" : "infinite";
  while (digits < kMostDigits && meets(std::stod(fixed(found, digits)))) ++digits;
  return fixed(found, digits);
}

std::string missed_text(const BoundResult& result) {
  const double limit = result.limit;
  if (result.bound == "min_exact")
    return cat("exact match is ", found_text(result.found, 1, [&](double x) { return x >= limit; }),
               " %, --min-exact asks for ", limit);
  const auto meets = [&](double x) { return x <= limit; };
  if (result.bound == "max_perplexity")
    return cat("perplexity is ", found_text(result.found, 4, meets), ", --max-perplexity allows ", limit);
  return cat("KL of ", result.bound.substr(std::string_view(kKl).size()), " tokens is ",
             found_text(result.found, 4, meets), " nats, --max-kl allows ", limit);
}

}  // namespace

void check_bounds(const EvalOptions& options) {
  const EvalBounds& bounds = options.bounds;
  if (bounds.min_exact && !(*bounds.min_exact >= 0 && *bounds.min_exact <= 100))
    fail(ErrorKind::usage, "--min-exact ", *bounds.min_exact, ": expected a percentage from 0 to 100");
  if (bounds.max_perplexity) expect_positive("--max-perplexity ", *bounds.max_perplexity);
  if (bounds.max_kl) expect_positive("--max-kl ", *bounds.max_kl);
  for (const auto& [token_class, limit] : bounds.max_kl_of)
    expect_positive(cat("--max-kl ", token_class_name(token_class), "="), limit);
  if ((bounds.max_kl || !bounds.max_kl_of.empty()) && !options.reference)
    fail(ErrorKind::usage, "--max-kl needs --reference, the model to compare with");
}

void check_measurable(const EvalBounds& bounds, std::int64_t answers,
                      const std::map<std::string, std::int64_t>& tokens, Obstacles& obstacles) {
  const auto needs_answers = [&](const char* option) {
    if (answers == 0) obstacles.add(ErrorKind::input, option, ": expected samples with answers, found none");
  };
  if (bounds.min_exact) needs_answers("--min-exact");
  if (bounds.max_perplexity) needs_answers("--max-perplexity");
  for (const auto& [token_class, limit] : bounds.max_kl_of) {
    const std::string name(token_class_name(token_class));
    if (!tokens.contains(name))
      obstacles.add(ErrorKind::input, "--max-kl ", name, "=", limit, ": the samples have no ", name,
                    " tokens; leave this bound out, or add samples that have some");
  }
}

std::vector<BoundResult> judge(const EvalBounds& bounds, const EvalReport& report) {
  std::vector<BoundResult> results;
  if (bounds.min_exact) {
    const double found = report.all.samples == 0 ? kNotMeasured
                                                 : 100.0 * static_cast<double>(report.all.exact) /
                                                       static_cast<double>(report.all.samples);
    results.push_back({"min_exact", *bounds.min_exact, found, found >= *bounds.min_exact});
  }
  const auto at_most = [&](std::string bound, double limit, double found) {
    results.push_back({std::move(bound), limit, found, found <= limit});
  };
  if (bounds.max_perplexity)
    at_most("max_perplexity", *bounds.max_perplexity,
            report.answer_tokens == 0 ? kNotMeasured : report.perplexity);
  for (const TokenClass token_class : kAllTokenClasses) {
    const std::string name(token_class_name(token_class));
    const auto row = report.agreement.find(name);
    const bool seen = row != report.agreement.end();
    if (const auto own = bounds.max_kl_of.find(token_class); own != bounds.max_kl_of.end())
      at_most(kKl + name, own->second, seen ? row->second.kl : kNotMeasured);
    else if (bounds.max_kl && token_class != TokenClass::sink && seen)
      at_most(kKl + name, *bounds.max_kl, row->second.kl);
  }
  return results;
}

void expect_bounds(const EvalReport& report) {
  std::vector<std::string> missed;
  for (const BoundResult& result : report.bounds)
    if (!result.met) missed.push_back(missed_text(result));
  if (!missed.empty()) fail(ErrorKind::verification, join(missed, "; "));
}

}  // namespace mquant
