// What an evaluation looks like on a terminal, and as JSON.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "command.h"
#include "mquant/error.h"
#include "support/strings.h"
#include "support/table.h"

namespace mquant::cli {
namespace {

using enum Table::Align;

std::string share(const EvalRow& row) {
  return row.samples == 0
             ? "-"
             : fixed(100.0 * static_cast<double>(row.exact) / static_cast<double>(row.samples), 1);
}

/// Bounds as the command line names them.
std::string bounds_table(const std::vector<BoundResult>& bounds) {
  Table table({{"bound"}, {"limit", right}, {"found", right}, {""}});
  for (const BoundResult& result : bounds) {
    std::string name = result.bound;
    std::ranges::replace(name, '_', ' ');
    std::ranges::replace(name, '.', ' ');
    table.row({name, cat(result.limit), fixed(result.found, 4), result.met ? "met" : "MISSED"});
  }
  return table.text();
}

Json row_json(const EvalRow& row) { return {{"samples", row.samples}, {"exact", row.exact}}; }

}  // namespace

std::string eval_screen(const EvalReport& report) {
  Table exact({{"kind"}, {"exact", right}, {"samples", right}, {"%", right}});
  const auto add = [&](const std::string& kind, const EvalRow& row) {
    exact.row({kind, grouped(row.exact), grouped(row.samples), share(row)});
  };
  for (const auto& [kind, row] : report.by_kind) add(kind.empty() ? "(none)" : kind, row);
  add("all", report.all);
  std::string screen = cat(exact.text(), "\nperplexity ", fixed(report.perplexity, 4), " over ",
                           counted(report.answer_tokens, "answer token"), "\n");
  if (report.kv_cache.type != "float") screen += kv_cache_text(report.kv_cache) + "\n";
  if (!report.agreement.empty()) {
    Table agreement({{"against the reference"}, {"tokens", right}, {"top-1 %", right}, {"KL, nats", right}});
    for (const auto& [token_class, row] : report.agreement) {
      agreement.row({token_class, grouped(row.tokens), fixed(100 * row.top1, 2), fixed(row.kl, 5)});
    }
    screen += "\n" + agreement.text();
  }
  if (!report.bounds.empty()) screen += "\n" + bounds_table(report.bounds);
  return screen + "\n" + human_duration(std::chrono::duration<double>(report.seconds)) + "\n";
}

Json eval_json(const EvalReport& report) {
  Json json = {{"all", row_json(report.all)},
               {"by_kind", Json::object()},
               {"perplexity", report.perplexity},
               {"answer_tokens", report.answer_tokens},
               {"agreement", Json::object()},
               {"shared_with_calibration", report.shared_with_calibration},
               {"digest", report.data_digest},
               {"seconds", report.seconds},
               {"kv_cache", kv_cache_json(report.kv_cache)},
               {"answers", Json::array()}};
  for (const auto& [kind, row] : report.by_kind) json["by_kind"][kind] = row_json(row);
  for (const auto& [token_class, row] : report.agreement) {
    json["agreement"][token_class] = {{"tokens", row.tokens}, {"kl", row.kl}, {"top1", row.top1}};
  }
  for (const auto& [id, kind, expected, found] : report.answers) {
    json["answers"].push_back({{"id", id}, {"kind", kind}, {"expected", expected}, {"found", found}});
  }
  for (const auto& [bound, limit, found, met] : report.bounds) {
    json["bounds"].push_back({{"bound", bound}, {"limit", limit}, {"found", found}, {"met", met}});
  }
  return json;
}

std::string eval_plan_screen(const EvalPlan& plan) {
  std::vector<std::string> counts;
  for (const auto& [token_class, count] : plan.tokens) counts.push_back(grouped(count) + " " + token_class);
  const auto size = [](std::int64_t bytes) { return human_bytes(static_cast<std::uint64_t>(bytes)); };
  return cat(counted(plan.samples, "sample"), ", ", grouped(plan.answers), " with an answer\n",
             "tokens: ", join(counts, ", "), "; ", grouped(plan.longest), " in the longest sample\n",
             "digest of the samples: ", plan.digest, "\n", "memory: about ", size(plan.peak_bytes),
             ", of which the weights of the model take ", size(plan.weight_bytes), "\n");
}

Json eval_plan_json(const EvalPlan& plan) {
  return {{"samples", plan.samples},      {"answers", plan.answers}, {"tokens", plan.tokens},
          {"longest", plan.longest},      {"digest", plan.digest},   {"weight_bytes", plan.weight_bytes},
          {"peak_bytes", plan.peak_bytes}};
}

}  // namespace mquant::cli
