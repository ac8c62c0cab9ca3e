// One run of a benchmark: peaks, load, then float blocks and quantized passes by turns.
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>

#include <algorithm>
#include <cmath>

#include "bench/float_block.h"
#include "bench/float_walk.h"
#include "bench/kernel_rates.h"
#include "bench/machine.h"
#include "bench/quantized_runs.h"
#include "bench/workload.h"
#include "mquant/artifact.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "pipeline/source.h"
#include "support/timer.h"

namespace mquant {
namespace {

bool is_float(BenchVariant variant) {
  return variant == BenchVariant::float32 || variant == BenchVariant::bfloat16;
}

at::ScalarType dtype_of_variant(BenchVariant variant) {
  return variant == BenchVariant::float32 ? at::kFloat : at::kBFloat16;
}

void check(const BenchOptions& options) {
  const auto at_least = [](std::string_view option, std::int64_t value, std::int64_t least) {
    if (value < least) fail(ErrorKind::usage, option, ": expected at least ", least, ", found ", value);
  };
  at_least("--text", options.text_tokens, 1);
  at_least("--batch", options.batch, 1);
  at_least("--decode", options.decode_tokens, 0);
  at_least("--repeat", options.repetitions, 1);
  for (const PictureSize& size : options.pictures)
    at_least("--picture", std::min(size.width, size.height), 1);
  if (options.variants.empty()) fail(ErrorKind::usage, "--variants: expected at least one");
  if (!Artifact::is_artifact(options.artifact))
    fail(ErrorKind::input, options.artifact.string(),
         ": expected an artifact (mquant_manifest.json is not there); make one with mquant quantize");
}

/// Multiply-adds of all linears, by tower rows: what a prefill or a decode step costs.
double multiply_adds(const ModelSpec& model, std::int64_t vision_rows, std::int64_t tokens) {
  double sum = 0;
  for (const BlockSpec& block : model.blocks) {
    const std::int64_t rows = !block.on_tokens ? vision_rows : block.name == "head" ? 1 : tokens;
    for (const LinearSpec& linear : block.linears)
      sum += static_cast<double>(rows) * static_cast<double>(linear.out) * static_cast<double>(linear.in);
  }
  return sum;
}

/// Multiply-adds a second of at::linear on `rows` rows; the best of three after one to warm up.
double rate_of_linear(at::ScalarType dtype, std::int64_t rows, std::int64_t out, std::int64_t in) {
  const at::Tensor x = at::randn({rows, in}).to(dtype), weight = at::randn({out, in}).to(dtype);
  double best = 0;
  for (int i = 0; i < 4; ++i) {
    const Stopwatch watch;
    at::linear(x, weight);
    if (i > 0) best = std::max(best, static_cast<double>(rows * out * in) / watch.seconds());
  }
  return best;
}

class Bench {
 public:
  explicit Bench(const BenchOptions& options) : options_(options) {
    report_.artifact = options.artifact.string();
    report_.machine = measure_machine(at::get_num_threads());
    for (const BenchVariant variant : options.variants) report_.variants.push_back({.variant = variant});
  }

  BenchReport run() {
    load();
    rate_kernels();
    plan_floats();
    QuantizedRuns quantized(*model_, prompt_, options_.batch, options_.decode_tokens);
    measure(quantized);
    report_.memory.peak_bytes = peak_resident_bytes();
    return std::move(report_);
  }

 private:
  void load() {
    const Stopwatch watch;
    model_.emplace(LoadedModel::open(options_.artifact));
    report_.load_seconds = watch.seconds();
    report_.memory.resident_bytes = resident_bytes();
    for (const LoadedModel::Weights& weights : model_->weights()) {
      if (weights.block->tower != Tower::decoder) continue;
      auto& sum = weights.block->has_kv_cache() ? report_.memory.layers : report_.memory.ends;
      sum.bytes += weights.bytes;
      sum.parameters += weights.values;
    }
    report_.family = model_->spec().family;
    prompt_ = make_prompt(options_.pictures, options_.text_tokens, [&](const Sample& sample) {
      return model_->features({sample}, WithAnswer::no).front();
    });
    const std::int64_t visual = count_tokens(prompt_, TokenClass::visual);
    report_.workload = {.pictures = options_.pictures,
                        .text_tokens = static_cast<std::int64_t>(prompt_.input_ids.size()) - visual,
                        .visual_tokens = visual,
                        .vision_rows = static_cast<std::int64_t>(prompt_.patches.size()),
                        .batch = options_.batch,
                        .decode_tokens = options_.decode_tokens,
                        .repetitions = options_.repetitions};
  }

  void rate_kernels() {
    const BenchReport::Workload& work = report_.workload;
    std::vector<KernelRows> phases = {{BenchPhase::prefill, work.batch * work.vision_rows,
                                       work.batch * (work.text_tokens + work.visual_tokens)}};
    if (work.decode_tokens > 0) phases.push_back({BenchPhase::decode, 0, work.batch});
    report_.kernels = kernel_rates(Artifact::open(options_.artifact, model_->spec()), model_->spec(), phases);
  }

  /// bfloat16 is slow where the processor has no instructions for it: as many repetitions as the time allows.
  std::int64_t affordable(VariantReport& variant, std::int64_t vision_rows, std::int64_t tokens,
                          std::string_view what, std::int64_t steps) {
    if (variant.variant == BenchVariant::float32) return options_.repetitions;
    const LinearSpec& widest = widest_linear();
    const double rate =
        rate_of_linear(at::kBFloat16, std::min<std::int64_t>(tokens, 256), widest.out, widest.in);
    const double seconds =
        multiply_adds(model_->spec(), vision_rows, tokens) * static_cast<double>(steps) / rate;
    const auto most = static_cast<std::int64_t>(options_.bfloat16_seconds / seconds);
    const std::int64_t repetitions = std::min(options_.repetitions, most);
    if (repetitions < options_.repetitions)
      variant.note +=
          cat(variant.note.empty() ? "" : "; ", what, ": ", repetitions, " of ", options_.repetitions,
              " repetitions: libtorch's bfloat16 linears run at ", std::llround(rate * 2e-8) / 10.0,
              " GOP/s here, one repetition would take about ", std::llround(seconds), " s");
    return repetitions;
  }

  const LinearSpec& widest_linear() const {
    const LinearSpec* widest = nullptr;
    for (const BlockSpec& block : model_->spec().blocks)
      for (const LinearSpec& linear : block.linears)
        if (block.name != "head" && block.tower == Tower::decoder &&
            (widest == nullptr || linear.out * linear.in > widest->out * widest->in))
          widest = &linear;
    require(widest != nullptr, "a decoder without linears");
    return *widest;
  }

  void plan_floats() {
    const std::int64_t batch = options_.batch;
    for (VariantReport& variant : report_.variants) {
      if (!is_float(variant.variant)) continue;
      FloatTrack track{.dtype = dtype_of_variant(variant.variant)};
      track.prefills = affordable(variant, batch * report_.workload.vision_rows,
                                  batch * static_cast<std::int64_t>(prompt_.input_ids.size()), "prefill", 1);
      track.decodes =
          options_.decode_tokens == 0 ? 0 : affordable(variant, 0, batch, "decode", options_.decode_tokens);
      tracks_.push_back(track);
    }
    // A track that borrows keys must not be the first.
    if (tracks_.size() == 1 && tracks_[0].prefills == 0) tracks_[0].decodes = 0;
    if (tracks_.size() == 2 && tracks_[0].prefills == 0) {
      std::swap(tracks_[0], tracks_[1]);
    }
  }

  /// Quantized passes, spread evenly over the walk through the float blocks: what the machine does besides hits all.
  void measure(QuantizedRuns& quantized) {
    std::vector<VariantReport*> turn;
    for (VariantReport& variant : report_.variants)
      if (!is_float(variant.variant)) turn.push_back(&variant);
    const std::size_t passes = turn.size() * static_cast<std::size_t>(options_.repetitions);
    const std::vector<BlockSpec>& blocks = model_->spec().blocks;
    const std::size_t walked = tracks_.empty() ? 0 : blocks.size();
    Progress progress("bench", static_cast<std::int64_t>(passes + walked));
    std::size_t done = 0;
    const auto run_until = [&](std::size_t end) {
      for (; done < end; ++done) {
        check_interrupt();
        VariantReport& variant = *turn[done % turn.size()];
        const QuantizedRuns::Passes pass = quantized.run(variant.variant);
        variant.prefill.push_back(pass.prefill);
        if (options_.decode_tokens > 0) variant.decode.push_back(pass.decode);
        progress.advance(1, bench_variant_name(variant.variant));
      }
    };
    if (walked > 0) {
      FloatWalk walk({.prompt = &prompt_,
                      .batch = options_.batch,
                      .decode_tokens = options_.decode_tokens,
                      .vocabulary = model_->spec().vocabulary},
                     tracks_);
      const Artifact artifact = Artifact::open(options_.artifact, model_->spec());
      for (std::size_t i = 0; i < blocks.size(); ++i) {
        check_interrupt();
        walk.run(float_block(artifact.read(blocks[i].name), blocks[i]));
        progress.advance(1, blocks[i].name);
        run_until(passes * (i + 1) / blocks.size());
      }
      collect(walk);
    }
    run_until(passes);
  }

  void collect(const FloatWalk& walk) {
    for (VariantReport& variant : report_.variants) {
      if (!is_float(variant.variant)) continue;
      for (std::size_t i = 0; i < tracks_.size(); ++i) {
        if (tracks_[i].dtype != dtype_of_variant(variant.variant)) continue;
        variant.prefill = walk.prefills(i);
        variant.decode = walk.decodes(i);
      }
    }
  }

  const BenchOptions& options_;
  BenchReport report_;
  std::optional<LoadedModel> model_;
  Features prompt_;
  std::vector<FloatTrack> tracks_;
};

}  // namespace

BenchReport bench(const BenchOptions& options) {
  check(options);
  const c10::InferenceMode no_gradients;
  apply(options.run);
  return Bench(options).run();
}

}  // namespace mquant
