// What a benchmark looks like on a terminal.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "command.h"
#include "mquant/bench.h"
#include "mquant/error.h"
#include "support/strings.h"
#include "support/table.h"

namespace mquant::cli {
namespace {

using enum Table::Align;

std::string giga(double rate) { return fixed(rate * 1e-9, 1); }
std::string bytes(std::int64_t count) {
  return human_bytes(static_cast<std::uint64_t>(std::max<std::int64_t>(0, count)));
}
std::string percent(double share) { return fixed(100 * share, 1); }

std::string head(const BenchReport& report) {
  const BenchReport::Workload& work = report.workload;
  std::string sizes;
  for (const PictureSize& size : work.pictures)
    sizes += cat(sizes.empty() ? "" : ", ", size.width, "x", size.height);
  return cat("family ", report.family, "; ", report.machine.processor, ", ", report.machine.cpu_level, ", ",
             counted(report.machine.threads, "thread"),
             "\nprompt: ", counted(work.visual_tokens, "visual token"), " (",
             sizes.empty() ? "no picture" : sizes, "), ", counted(work.text_tokens, "text token"), "; batch ",
             work.batch, ", ", counted(work.decode_tokens, "token"), " decoded, ",
             counted(work.repetitions, "repetition"), "\n");
}

std::string peaks(const MachineReport& machine) {
  Table table({{"peak, measured"}, {"1 thread", right}, {cat("all ", machine.threads), right}, {"unit"}});
  const auto add = [&](const std::string& what, const Rate& rate, const char* unit) {
    table.row({cat(what, rate.what), giga(rate.one_thread), giga(rate.all_threads), unit});
  };
  add("8-bit: ", machine.integer, "GOP/s");
  for (const Rate& rate : machine.float32) add("float32: ", rate, "GOP/s");
  add("memory: ", machine.read, "GB/s");
  return table.text();
}

std::string kernels(const BenchReport& report) {
  if (report.kernels.empty()) return "";
  Table table({{"integer kernels"},
               {"weights"},
               {"rows", right},
               {"linears", right},
               {"ms", right},
               {"GOP/s", right},
               {"% of peak", right},
               {"GB/s", right},
               {"% of peak", right},
               {"libtorch ms", right}});
  const auto add = [&](const KernelReport& kernel, const std::string& weights, const std::string& rows) {
    const double operations = kernel.operations / kernel.seconds, read = kernel.bytes / kernel.seconds;
    table.row({cat(kernel.phase == BenchPhase::prefill ? "prefill " : "decode ", kernel.linear), weights,
               rows, grouped(kernel.linears), fixed(kernel.seconds * 1e3, 2), giga(operations),
               percent(kernel.executed / kernel.seconds / report.machine.integer.all_threads), giga(read),
               percent(read / report.machine.read.all_threads), fixed(kernel.library_seconds * 1e3, 2)});
  };
  for (const BenchPhase phase : {BenchPhase::prefill, BenchPhase::decode}) {
    for (const KernelReport& kernel : report.kernels)
      if (kernel.phase == phase)
        add(kernel, cat(kernel.out, " x ", kernel.in, " int", kernel.weight_bits), grouped(kernel.rows));
    const KernelReport all = all_linears(report.kernels, phase);
    if (all.linears > 0) add(all, "", "");
  }
  return "\n" + table.text();
}

std::string memory(const BenchReport& report) {
  const BenchReport::Memory& memory = report.memory;
  Table table({{"memory"}, {"held", right}, {"as bfloat16", right}, {"ratio", right}});
  const auto add = [&](const char* what, const BenchReport::Memory::Weights& weights) {
    if (weights.bytes == 0) return;
    table.row({what, bytes(weights.bytes), bytes(weights.bf16_bytes()),
               fixed(static_cast<double>(weights.bytes) / static_cast<double>(weights.bf16_bytes()), 2)});
  };
  add("decoder's layers", memory.layers);
  add("embeddings and head", memory.ends);
  table.row({"process, model loaded", bytes(memory.resident_bytes), "", ""});
  table.row({"process, at most", bytes(memory.peak_bytes), "", ""});
  return cat("\nloaded in ", human_duration(std::chrono::duration<double>(report.load_seconds)), "\n",
             table.text());
}

std::string phase_table(const BenchReport& report, BenchPhase phase) {
  Table table({{phase == BenchPhase::prefill ? "prefill, s" : "decode, s"},
               {"vision", right},
               {"linears", right},
               {"quantize", right},
               {"hadamard", right},
               {"attention", right},
               {"rest", right},
               {"total", right},
               {"tokens/s", right},
               {"vs float", right},
               {"vs dynamic", right}});
  const auto dynamic = std::ranges::find(report.variants, BenchVariant::dynamic, &VariantReport::variant);
  const VariantReport* of_dynamic = dynamic == report.variants.end() ? nullptr : &*dynamic;
  for (const VariantReport& variant : report.variants) {
    const auto& passes = phase == BenchPhase::prefill ? variant.prefill : variant.decode;
    if (passes.empty()) continue;
    const PassSeconds pass = median_pass(passes);
    std::vector<std::string> cells = {std::string(bench_variant_name(variant.variant)),
                                      fixed(pass.vision.total(), 3)};
    for (const BenchStage stage : {BenchStage::linears, BenchStage::quantize, BenchStage::hadamard,
                                   BenchStage::attention, BenchStage::rest})
      cells.push_back(fixed(pass.decoder[stage], 3));
    cells.push_back(fixed(median_seconds(variant, phase), 3));
    cells.push_back(fixed(tokens_a_second(report, variant, phase), 2));
    cells.push_back(fixed(speedup(variant, fastest_float(report, phase), phase), 2));
    cells.push_back(fixed(speedup(variant, of_dynamic, phase), 2));
    table.row(cells);
  }
  return table.empty() ? "" : "\n" + table.text();
}

}  // namespace

std::string bench_screen(const BenchReport& report) {
  std::string notes;
  for (const VariantReport& variant : report.variants)
    if (!variant.note.empty()) notes += cat(bench_variant_name(variant.variant), ": ", variant.note, "\n");
  return cat(head(report), "\n", peaks(report.machine), kernels(report), memory(report),
             phase_table(report, BenchPhase::prefill), phase_table(report, BenchPhase::decode),
             notes.empty() ? "" : "\n", notes);
}

}  // namespace mquant::cli
