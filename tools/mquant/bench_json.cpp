// A benchmark as JSON.  "version" grows when a name goes or changes its meaning; new names may come without.
#include <cmath>
#include <nlohmann/json.hpp>

#include "command.h"
#include "mquant/bench.h"
#include "mquant/error.h"

namespace mquant::cli {
namespace {

constexpr int kVersion = 1;

/// JSON has no NaN: what was not measured is null.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json stages_json(const BenchSeconds& seconds) {
  Json json = Json::object();
  for (const BenchStage stage : kBenchStages) json[std::string(bench_stage_name(stage))] = seconds[stage];
  return json;
}

Json pass_json(const PassSeconds& pass) {
  return {
      {"total", pass.total()}, {"vision", stages_json(pass.vision)}, {"decoder", stages_json(pass.decoder)}};
}

Json phase_json(const BenchReport& report, const VariantReport& variant, BenchPhase phase) {
  const auto& passes = phase == BenchPhase::prefill ? variant.prefill : variant.decode;
  if (passes.empty()) return nullptr;
  Json json = {{"seconds", number(median_seconds(variant, phase))},
               {"tokens_per_second", number(tokens_a_second(report, variant, phase))},
               {"median_pass", pass_json(median_pass(passes))},
               {"times_faster_than", Json::object()},
               {"repetitions", Json::array()}};
  json["times_faster_than"]["float"] = number(speedup(variant, fastest_float(report, phase), phase));
  for (const VariantReport& other : report.variants)
    json["times_faster_than"][std::string(bench_variant_name(other.variant))] =
        number(speedup(variant, &other, phase));
  for (const PassSeconds& pass : passes) json["repetitions"].push_back(pass_json(pass));
  return json;
}

Json rate_json(const Rate& rate) {
  return {{"what", rate.what}, {"one_thread", rate.one_thread}, {"all_threads", rate.all_threads}};
}

Json machine_json(const MachineReport& machine) {
  Json json = {{"processor", machine.processor},
               {"cpu_level", machine.cpu_level},
               {"threads", machine.threads},
               {"integer_operations_per_second", rate_json(machine.integer)},
               {"float32_operations_per_second", Json::array()},
               {"read_bytes_per_second", rate_json(machine.read)}};
  for (const Rate& rate : machine.float32) json["float32_operations_per_second"].push_back(rate_json(rate));
  return json;
}

Json workload_json(const BenchReport::Workload& work) {
  Json json = {{"pictures", Json::array()},
               {"text_tokens", work.text_tokens},
               {"visual_tokens", work.visual_tokens},
               {"vision_rows", work.vision_rows},
               {"batch", work.batch},
               {"decode_tokens", work.decode_tokens},
               {"repetitions", work.repetitions}};
  for (const PictureSize& size : work.pictures) json["pictures"].push_back({size.width, size.height});
  return json;
}

Json kernel_json(const BenchReport& report, const KernelReport& kernel) {
  const double operations = kernel.operations / kernel.seconds, read = kernel.bytes / kernel.seconds;
  return {{"linear", kernel.linear},
          {"phase", kernel.phase == BenchPhase::prefill ? "prefill" : "decode"},
          {"out", kernel.out},
          {"in", kernel.in},
          {"rows", kernel.rows},
          {"linears", kernel.linears},
          {"weight_bits", kernel.weight_bits},
          {"seconds", kernel.seconds},
          {"libtorch_seconds", number(kernel.library_seconds)},
          {"operations_per_second", operations},
          {"bytes_per_second", read},
          {"share_of_integer_peak", kernel.executed / kernel.seconds / report.machine.integer.all_threads},
          {"share_of_read_peak", read / report.machine.read.all_threads}};
}

Json weights_json(const BenchReport::Memory::Weights& weights) {
  return {{"parameters", weights.parameters}, {"bytes", weights.bytes}, {"bf16_bytes", weights.bf16_bytes()}};
}

}  // namespace

Json bench_json(const BenchReport& report) {
  const BenchReport::Memory& memory = report.memory;
  Json json = {{"version", kVersion},
               {"artifact", report.artifact},
               {"family", report.family},
               {"workload", workload_json(report.workload)},
               {"machine", machine_json(report.machine)},
               {"load_seconds", report.load_seconds},
               {"memory",
                {{"decoder_layers", weights_json(memory.layers)},
                 {"embeddings_and_head", weights_json(memory.ends)},
                 {"resident_bytes", memory.resident_bytes},
                 {"peak_bytes", memory.peak_bytes}}},
               {"kernels", Json::array()},
               {"variants", Json::array()}};
  for (const KernelReport& kernel : report.kernels) json["kernels"].push_back(kernel_json(report, kernel));
  for (const BenchPhase phase : {BenchPhase::prefill, BenchPhase::decode})
    if (const KernelReport all = all_linears(report.kernels, phase); all.linears > 0)
      json["kernels"].push_back(kernel_json(report, all));
  for (const VariantReport& variant : report.variants)
    json["variants"].push_back({{"name", bench_variant_name(variant.variant)},
                                {"note", variant.note},
                                {"prefill", phase_json(report, variant, BenchPhase::prefill)},
                                {"decode", phase_json(report, variant, BenchPhase::decode)}});
  return json;
}

}  // namespace mquant::cli
