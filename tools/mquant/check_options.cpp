#include "check_options.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "arguments.h"
#include "mquant/error.h"
#include "mquant/recipe.h"
#include "support/strings.h"
#include "support/table.h"

namespace mquant::cli {
namespace {

using enum Table::Align;

/// A number of the report, which writes infinities and NaN as texts.
double number(const Json& value) {
  if (value.is_number()) return value.get<double>();
  return value == "inf"    ? std::numeric_limits<double>::infinity()
         : value == "-inf" ? -std::numeric_limits<double>::infinity()
                           : std::numeric_limits<double>::quiet_NaN();
}

struct Worst {
  double kl = 0;
  std::string token_class;
};

/// NaN counts as the worst of all.
Worst worst_kl(const Json& report) {
  Worst worst;
  for (const auto& [token_class, row] : report["self_check"]["agreement"].items()) {
    if (token_class == "sink") continue;
    const double kl = number(row["kl"]);
    if (!(kl <= worst.kl)) worst = {kl, token_class};
  }
  return worst;
}

bool within(double kl, double bound) { return kl <= bound; }  // false for NaN

std::string percent(double share) { return fixed(100 * share, 1); }

}  // namespace

void CheckOptions::add_options(CLI::App& command) {
  command.add_option("--self-check", samples, "Samples that also run through the float model; 0: none")
      ->check(at_least(0))
      ->type_name("N");
  command
      .add_option("--max-kl", max_kl,
                  "Exit with 6 if KL against the float model, in nats, is larger for text or visual tokens")
      ->type_name("X");
}

void CheckOptions::add_to(const std::string& recipe, std::vector<std::string>& overrides) const {
  if (max_kl && !(*max_kl > 0)) fail(ErrorKind::usage, "--max-kl ", *max_kl, ": expected a number above 0");
  if (samples) overrides.push_back(cat("calibration.self_check=", *samples));
  if (max_kl && load_recipe(recipe, overrides).calibration.self_check == 0)
    fail(ErrorKind::usage, "--max-kl needs the self-check, and ",
         samples ? "--self-check 0" : "'calibration.self_check' of the recipe, 0,", " turns it off");
}

bool CheckOptions::allows(const Json& report) const {
  if (max_kl && !report.contains("self_check"))
    fail(ErrorKind::input,
         "--max-kl: expected a self-check to compare with, and the artifact was made without one; "
         "quantize again with --overwrite in place of --resume");
  return !max_kl || within(worst_kl(report).kl, *max_kl);
}

void CheckOptions::expect(const Json& report) const {
  if (allows(report)) return;
  const Worst worst = worst_kl(report);
  fail(ErrorKind::verification, "self-check: KL of ", worst.token_class, " tokens is ", fixed(worst.kl, 4),
       " nats, --max-kl allows ", *max_kl);
}

std::string self_check_screen(const Json& report) {
  if (!report.contains("self_check")) return {};
  const Json& check = report["self_check"];
  Table table({{"self-check"}, {"tokens", right}, {"KL, nats", right}, {"same argmax, %", right}});
  for (const auto& [token_class, row] : check["agreement"].items())
    table.row({token_class, grouped(row["tokens"].get<std::int64_t>()), fixed(number(row["kl"]), 4),
               percent(number(row["top1"]))});
  std::string screen = cat(table.text(), counted(check["samples"].get<std::int64_t>(), "sample"),
                           " of the calibration against the float model");
  if (check.contains("perplexity"))
    screen += cat("; perplexity of answers ", fixed(number(check["perplexity"]["quantized"]), 2),
                  ", in float ", fixed(number(check["perplexity"]["float"]), 2));
  screen += "\n";
  if (const Json& worst = check["worst"]; !worst.is_null())
    screen += cat("the error grows most in ", worst["block"].get<std::string>(), ": from ",
                  percent(number(worst["before"])), " to ", percent(number(worst["after"])),
                  " % of the energy of ", worst["class"].get<std::string>(), " rows\n");
  return screen;
}

std::string verdict(const Json& report) {
  if (!report.contains("self_check")) return {};
  const Worst worst = worst_kl(report);
  const double bound = number(report["self_check"]["bound"]);
  if (within(worst.kl, bound)) return {};
  return cat(
      "DOES NOT ANSWER LIKE ITS MODEL: KL of ", worst.token_class, " tokens is ", fixed(worst.kl, 2),
      " nats, over ", fixed(bound, 1),
      ". Try --recipe w8a8, or more samples like those that it will see; the error of every block is in "
      "report.json\n");
}

}  // namespace mquant::cli
