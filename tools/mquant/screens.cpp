// What plans, calibrations and exports look like on a terminal, and as JSON.
#include <algorithm>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "check_options.h"
#include "command.h"
#include "exemptions.h"
#include "mquant/error.h"
#include "support/strings.h"
#include "support/table.h"

namespace mquant::cli {
namespace {

using enum Table::Align;

constexpr std::size_t kWorstLinears = 5;

std::string size_text(std::int64_t bytes) {
  return human_bytes(static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 0)));
}

std::string role_of(const BlockPlan& block) { return block.name.substr(0, block.name.find('.')); }

/// Neighbours that differ in nothing but their number, as one row.
struct PlanRow {
  BlockPlan first;
  std::string last;
  std::int64_t count = 1;
};

std::vector<PlanRow> rows_of(const std::vector<BlockPlan>& blocks) {
  std::vector<PlanRow> rows;
  for (const BlockPlan& block : blocks) {
    const bool same = !rows.empty() && role_of(rows.back().first) == role_of(block) &&
                      rows.back().first.scheme == block.scheme &&
                      rows.back().first.parameters == block.parameters &&
                      rows.back().first.float_bytes == block.float_bytes &&
                      rows.back().first.artifact_bytes == block.artifact_bytes;
    if (same) {
      rows.back().last = block.name;
      ++rows.back().count;
    } else {
      rows.push_back({block, "", 1});
    }
  }
  return rows;
}

std::string block_table(const Plan& plan) {
  Table table(
      {{"blocks"}, {"", right}, {"scheme"}, {"parameters", right}, {"now", right}, {"quantized", right}});
  for (const PlanRow& row : rows_of(plan.blocks)) {
    const std::string number = row.last.substr(row.last.find('.') + 1);
    table.row({row.count == 1 ? row.first.name : row.first.name + ".." + number, cat(row.count, "x"),
               row.first.scheme, human_count(row.count * row.first.parameters),
               size_text(row.count * row.first.float_bytes),
               size_text(row.count * row.first.artifact_bytes)});
  }
  table.row({"all", "", "", human_count(plan.parameters), size_text(plan.source_bytes),
             size_text(plan.artifact_bytes)});
  return table.text();
}

/// Those of passes that the recipe has.
std::vector<Exemption> met_exemptions(const Plan& plan) {
  std::vector<Exemption> met;
  std::ranges::copy_if(plan.exemptions, std::back_inserter(met), [&](const Exemption& exemption) {
    return exemption.pass != "rotate" &&  // the streams tell those
           std::ranges::find(plan.passes, exemption.pass) != plan.passes.end();
  });
  return met;
}

std::string data_text(const Plan& plan) {
  if (plan.samples == 0) return "";
  std::vector<std::string> counts;
  for (const auto& [token_class, count] : plan.tokens) {
    std::string noun = token_class;  // "visual_rows" is one of them
    std::ranges::replace(noun, '_', ' ');
    counts.push_back(grouped(count) + " " + noun);
  }
  std::string text = cat("data: ", counted(plan.samples, "sample"), ": ", join(counts, ", "), "\n");
  for (const std::string& prompt : plan.prompts) text += "\nprompt, as the model sees it:\n" + prompt + "\n";
  return text;
}

struct Worst {
  double sqnr;
  std::string linear;
};

/// The linears with the lowest "output_sqnr_db".
std::vector<Worst> worst_linears(const Json& report) {
  std::vector<Worst> worst;
  const Json linears = report.value("linears", Json::object());
  for (const auto& [name, figures] : linears.items()) {
    const auto found = figures.find("output_sqnr_db");
    if (found != figures.end() && found->is_number()) worst.push_back({found->get<double>(), name});
  }
  std::ranges::stable_sort(worst, {}, &Worst::sqnr);
  worst.resize(std::min(worst.size(), kWorstLinears));
  return worst;
}

double bits_per_weight(const ExportReport& report) {
  return 8.0 * static_cast<double>(report.weight_bytes) / static_cast<double>(report.quantized_weights);
}

}  // namespace

std::string plan_screen(const Plan& plan, const std::string& recipe) {
  std::string screen =
      cat(plan.summary, "\nfamily ", plan.family, ", model type ", plan.model_type, "; recipe ", recipe,
          "\n\n", block_table(plan), "\npasses: ", join(plan.passes, ", "), "\n");
  for (const std::string& line : exemption_lines(met_exemptions(plan))) screen += "  " + line + "\n";
  for (const StreamPlan& stream : plan.streams)
    screen += cat("stream ", stream.stream, ": ", stream.treatment, "\n");
  screen += cat("calibration: about ", human_duration(std::chrono::duration<double>(plan.seconds)), " here, ",
                size_text(plan.peak_bytes), " of memory",
                plan.samples == 0 ? ", guessed; with --data it is estimated" : "", "\n");
  return screen + data_text(plan);
}

Json plan_json(const Plan& plan) {
  Json json = {{"family", plan.family},
               {"summary", plan.summary},
               {"model_type", plan.model_type},
               {"blocks", Json::array()},
               {"exemptions", exemptions_json(plan.exemptions)},
               {"passes", plan.passes},
               {"streams", Json::array()},
               {"parameters", plan.parameters},
               {"source_bytes", plan.source_bytes},
               {"artifact_bytes", plan.artifact_bytes},
               {"calibration_bytes", plan.calibration_bytes},
               {"peak_bytes", plan.peak_bytes},
               {"seconds", plan.seconds},
               {"samples", plan.samples},
               {"tokens", plan.tokens},
               {"prompts", plan.prompts},
               {"digests", plan.digests}};
  for (const StreamPlan& stream : plan.streams)
    json["streams"].push_back({{"stream", stream.stream}, {"treatment", stream.treatment}});
  for (const BlockPlan& block : plan.blocks) {
    json["blocks"].push_back({{"name", block.name},
                              {"scheme", block.scheme},
                              {"parameters", block.parameters},
                              {"float_bytes", block.float_bytes},
                              {"artifact_bytes", block.artifact_bytes}});
  }
  return json;
}

std::string calibration_screen(const Json& report) {
  const Json linears = report.value("linears", Json::object());
  const auto quantized = std::ranges::count_if(
      linears, [](const Json& linear) { return linear.value("scheme", "") != "float"; });
  std::string screen = cat("calibrated ", counted(quantized, "linear"), " in ",
                           human_duration(std::chrono::duration<double>(report.value("seconds", 0.0))), ", ",
                           size_text(report.value("peak_bytes", std::int64_t{0})), " of memory\n");
  if (report.contains("verified")) {
    screen += cat("passes that keep the function changed it by at most ",
                  scientific(report["verified"].get<double>()), "\n");
  }
  Table table({{"worst linears"}, {"output SQNR, dB", right}});
  for (const Worst& worst : worst_linears(report)) table.row({worst.linear, fixed(worst.sqnr, 1)});
  if (!table.empty()) screen += table.text();
  return screen + self_check_screen(report);
}

std::string export_screen(const ExportReport& report, const std::string& output) {
  std::string screen =
      cat(output, ": ", size_text(report.artifact_bytes), ", was ", size_text(report.source_bytes));
  if (report.quantized_weights > 0)
    screen += cat("; ", fixed(bits_per_weight(report), 2), " bits a quantized weight");
  screen += cat("\nformat ", report.format, ": ", report.summary, "\n");
  for (const std::string& refused : report.refused) screen += "  not " + refused + "\n";
  return screen;
}

Json export_json(const ExportReport& report, const std::string& output) {
  Json json = {{"output", output},
               {"format", report.format},
               {"summary", report.summary},
               {"refused", report.refused},
               {"source_bytes", report.source_bytes},
               {"artifact_bytes", report.artifact_bytes},
               {"quantized_weights", report.quantized_weights},
               {"weight_bytes", report.weight_bytes},
               {"tensors", report.tensors},
               {"files", report.files}};
  if (report.quantized_weights > 0) json["bits_per_weight"] = bits_per_weight(report);
  return json;
}

}  // namespace mquant::cli
