// Speed and memory of an artifact, against the same model in float.  docs/performance.md says how to read the numbers.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "mquant/compile.h"

namespace mquant {

struct PictureSize {
  std::int64_t width = 0, height = 0;  // pixels
};

/// One way to run the model.
enum class BenchVariant {
  float32,     ///< through libtorch, weights made of the artifact's codes
  bfloat16,    ///< the same
  dynamic,     ///< integer kernels; a scale for each row, found when it comes by
  one_static,  ///< one static scale for each linear, the largest of the classes'
  gathered,    ///< MSQ: a static scale for each class, gathered row by row in the original order of tokens
  aifs,        ///< MSQ + AIFS: tokens of a class are one run of rows with one scale
};
inline constexpr std::array kBenchVariants = {BenchVariant::float32,  BenchVariant::bfloat16,
                                              BenchVariant::dynamic,  BenchVariant::one_static,
                                              BenchVariant::gathered, BenchVariant::aifs};
std::string_view bench_variant_name(BenchVariant variant);

struct BenchOptions {
  std::filesystem::path artifact;
  std::vector<BenchVariant> variants = {kBenchVariants.begin(), kBenchVariants.end()};
  std::vector<PictureSize> pictures = {{896, 896}};
  std::int64_t text_tokens =
      50;                  // of the whole prompt, chat template included; the nearest number that can be made
  std::int64_t batch = 1;  // sequences at a time, all of one length
  std::int64_t decode_tokens = 32;
  std::int64_t repetitions = 5;
  double bfloat16_seconds = 300;  // for all repetitions of a phase; those that would take longer are left out
  RunSettings run;
};

/// Where the seconds went.
enum class BenchStage {
  linears,   ///< products of linears, what ends them included
  quantize,  ///< activations to codes
  hadamard,  ///< online rotations
  attention,
  rest,  ///< norms, activations, sums, embeddings, everything else
};
inline constexpr std::array kBenchStages = {BenchStage::linears, BenchStage::quantize, BenchStage::hadamard,
                                            BenchStage::attention, BenchStage::rest};
std::string_view bench_stage_name(BenchStage stage);

/// Seconds by stage; the total is their sum and nothing else.
struct BenchSeconds {
  std::array<double, kBenchStages.size()> of{};
  double& operator[](BenchStage stage) { return of[static_cast<std::size_t>(stage)]; }
  double operator[](BenchStage stage) const { return of[static_cast<std::size_t>(stage)]; }
  double total() const;
};

/// One pass over the model: a prefill, or all steps of a decode.
struct PassSeconds {
  BenchSeconds vision;   // tower and projector
  BenchSeconds decoder;  // embeddings and head included
  double total() const { return vision.total() + decoder.total(); }
};

struct VariantReport {
  BenchVariant variant = BenchVariant::float32;
  std::vector<PassSeconds> prefill, decode;  // one a repetition, in the order of measuring; empty: not run
  std::string note;                          // why fewer repetitions than asked for, or none; ""
};

/// The best rates of short loops; operations and bytes a second.
struct Rate {
  std::string what;  // the loop's instructions
  double one_thread = 0, all_threads = 0;
};
struct MachineReport {
  std::string processor, cpu_level;
  int threads = 0;
  Rate integer;               // 8-bit multiply-adds from registers, two operations each
  std::vector<Rate> float32;  // multiplications and additions from registers, apart and fused
  Rate read;                  // of a buffer much larger than the caches
};

enum class BenchPhase { prefill, decode };

/// A product of a linear of the model by the integer kernels alone: codes of the activations are there already.
struct KernelReport {
  std::string linear;  // the first of its shape, "decoder.0.down"
  BenchPhase phase = BenchPhase::prefill;
  std::int64_t out = 0, in = 0, rows = 0;
  std::int64_t linears = 0;  // of that shape, in the model
  int weight_bits = 0;
  double seconds = 0;          // median of one product
  double library_seconds = 0;  // of libtorch's product of such codes to int32; NaN: not run, or not exact
  double operations = 0;       // 2 rows out in
  double executed =
      0;             // by the processor: with AVX2 an int8 weight takes two multiply-adds, one for each half
  double bytes = 0;  // of packed weights
};

struct BenchReport {
  std::string artifact, family;
  struct Workload {
    std::vector<PictureSize> pictures;
    std::int64_t text_tokens = 0, visual_tokens = 0, vision_rows = 0;  // of one sequence
    std::int64_t batch = 0, decode_tokens = 0, repetitions = 0;
  } workload;
  MachineReport machine;
  double load_seconds = 0;
  struct Memory {
    struct Weights {
      std::int64_t parameters = 0;  // values that they stand for
      std::int64_t bytes = 0;       // as the executor holds them
      std::int64_t bf16_bytes() const { return 2 * parameters; }
    };
    Weights layers;                   // of the decoder
    Weights ends;                     // embeddings and head
    std::int64_t resident_bytes = 0;  // of the process once the model is loaded
    std::int64_t peak_bytes = 0;      // of the process, float baselines included
  } memory;
  std::vector<KernelReport> kernels;
  std::vector<VariantReport> variants;
};

/// Middle value; of an even number the mean of the two in the middle.  NaN of none.
double median(std::vector<double> values);
/// The pass whose total is the median, so that its stages sum to it: of an even number the lower of the two in the
/// middle.  All zeros of none.
PassSeconds median_pass(const std::vector<PassSeconds>& passes);
/// Median of the totals, NaN if the variant was not run.
double median_seconds(const VariantReport& variant, BenchPhase phase);
/// The faster of float32 and bfloat16; nullptr if neither was run.
const VariantReport* fastest_float(const BenchReport& report, BenchPhase phase);
/// How many times faster than `than`; NaN where one was not run.
double speedup(const VariantReport& variant, const VariantReport* than, BenchPhase phase);
/// All linears in one: seconds, operations and bytes of a phase, summed over the model.
KernelReport all_linears(const std::vector<KernelReport>& kernels, BenchPhase phase);
/// Tokens a second over all sequences: of the prompts, or decoded.
double tokens_a_second(const BenchReport& report, const VariantReport& variant, BenchPhase phase);

/// Runs the variants of an artifact on one workload, repetitions interleaved, after the machine's peaks.
/// @throws Error{input} for a path that is not an artifact; Error{usage} for an option without sense
BenchReport bench(const BenchOptions& options);

}  // namespace mquant
