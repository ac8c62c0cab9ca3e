// The jobs of the program as library calls.  A subcommand maps options to one of these.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mquant/model.h"
#include "mquant/sample.h"

namespace mquant {

/// What all jobs take.  threads 0: all cores.
struct RunSettings {
  int threads = 0;
  std::uint64_t seed = 0;
  std::filesystem::path chat_template = {};  // in place of the model's own; "": none
  std::string template_date = {};            // what chat templates print as today's, YYYY-MM-DD; "": none
  std::string device = "cpu";                // anything else: Error{unsupported}
};

/// Who runs the blocks of a model.  Both give the same bits.
enum class Executor {
  fast,   ///< packed weights, fused steps, all samples of a batch together
  plain,  ///< the definition, step by step: what the fast one is checked against
};

struct AgreementRow {  // against the reference, over the tokens of one class, prompt and answer
  std::int64_t tokens = 0;
  double kl = 0, top1 = 0;  // means: nats; share of equal argmax
};
struct CalibrateOptions {
  std::filesystem::path model, data, output;
  std::string recipe = "w4a8";
  std::vector<std::string> overrides;  // key=value
  bool resume = false;
  bool verify_each = false;  // run blocks before and after each pass that must not change them
  /// What export will be asked for, so that what it would refuse is told before the work.
  std::string format = "auto";
  std::filesystem::path artifact;  // "": not known yet
  Executor executor = Executor::fast;
  /// About how much memory the run may take, weights included; what does not fit waits on the disk of `output`.  0: half of
  /// what is free.
  std::int64_t memory_bytes = 0;
  /// How often the samples' states are written, so that a resumed run has not far to go; 0: after each block.
  double checkpoint_minutes = 10;
  RunSettings run;
};
/// @returns the report, as JSON, which is report.json of the calibration too: {"seconds", "peak_bytes",
///   "phases": {name: s}, "counters": {name: n}, "verified"?: difference, "sinks": rule, "self_check"?: {"samples",
///   "agreement", "perplexity", ...}, "linears": {"decoder.3.down": {"scheme", "output_sqnr_db"?, ...}}}.
/// Every obstacle that headers, all values of the checkpoint and the samples show is told before the first block.
/// Interrupted: Error{interrupted}, resumable.
std::string calibrate(const CalibrateOptions& options);

struct ExportOptions {
  std::filesystem::path calibration, output;
  std::filesystem::path model = {};  // where the model is now; "": where it was calibrated
  std::string format = "auto";
  bool overwrite = false;
};
struct ExportReport {
  std::string format, summary;       // of the format written: what it is, what loads it
  std::vector<std::string> refused;  // "auto": "FORMAT: why not", for the formats tried before
  std::int64_t source_bytes = 0, artifact_bytes = 0;
  std::int64_t quantized_weights = 0,
               weight_bytes = 0;  // of quantized linears: codes, scales and split columns
  std::int64_t tensors = 0, files = 0;
  std::string self_check;  // JSON, as in the report of calibrate; "": not checked
};
/// The model's files must be those of the calibration; a change that enters no number of it is told, and no error.
ExportReport export_artifact(const ExportOptions& options);

/// Is the artifact what calibrate and export would make with `options`?  Tells by digests, without the work.
bool is_quantized_into(const CalibrateOptions& options, const std::filesystem::path& artifact);
/// The report of an artifact that is there.
ExportReport report_of_artifact(const std::filesystem::path& artifact);

/// One row of `inspect` and of --dry-run.
struct BlockPlan {
  std::string name, scheme;
  std::int64_t parameters = 0;
  std::int64_t float_bytes = 0, artifact_bytes = 0;
};
/// How the outliers of a residual stream are spread before its linears quantize them.
struct StreamPlan {
  std::string stream, treatment;
};
struct Plan {
  std::string family, summary, model_type;
  std::vector<BlockPlan> blocks;
  std::vector<Exemption> exemptions;
  std::vector<std::string> passes;  // as the recipe orders them
  std::vector<StreamPlan> streams;  // those that quantized linears read
  std::int64_t parameters = 0, source_bytes = 0, artifact_bytes = 0;
  std::int64_t calibration_bytes = 0;          // on disk, while it runs
  std::int64_t peak_bytes = 0;                 // estimated for calibrate
  double seconds = 0;                          // estimated for calibrate on this machine
  std::int64_t samples = 0;                    // 0 if no data was given
  std::map<std::string, std::int64_t> tokens;  // by class, over the samples
  std::vector<std::string> prompts;            // of the first samples, as rendered
  /// SHA-256 of what decides the bytes of the result: "recipe", "data" and "chat_template" where they
  /// are given, "model" where it is asked for.
  std::map<std::string, std::string> digests;
};
struct PlanOptions : CalibrateOptions {  // `data` and `output` may be empty
  std::int64_t limit = 0;                // samples; 0: as the recipe says
  bool deep = false;                     // read every tensor, and refuse a NaN or an infinity
  bool digest_model = false;             // read every byte of the model for its digest
};
/// What calibrate would do with the same options, from headers and samples: nothing is quantized.
/// Throws what calibrate would before its first block.  Several obstacles are logged as errors, each a line, and
/// the Error has the kind of the first.
Plan plan_model(const PlanOptions& options);

/// What keys and values are kept as, while tokens are decoded and while a prompt is run.
enum class KvCacheType {
  automatic,  ///< codes where the model has the scales for them (calibrate-kv)
  float32,
  int8,  ///< Error{usage} for a model without scales
};

/// The cache of a run: "float" or "int8", and the bytes that a token takes in all blocks.
struct KvCacheReport {
  std::string type;
  std::int64_t bytes_per_token = 0;
};

/// What an evaluation must reach.  A class of tokens that has a bound of its own is not bound by `max_kl`.
struct EvalBounds {
  std::optional<double> min_exact;         // % of the samples with answers, [0, 100]
  std::optional<double> max_perplexity;    // above 0
  std::optional<double> max_kl;            // nats, above 0: of each class but sink that the samples have
  std::map<TokenClass, double> max_kl_of;  // the same of one class, which the samples must have
  bool any() const { return min_exact || max_perplexity || max_kl || !max_kl_of.empty(); }
};

struct EvalOptions {
  std::filesystem::path model, data;  // a checkpoint, a calibration or an artifact
  Executor executor = Executor::fast;
  std::optional<std::filesystem::path> reference;  // run with a float cache
  std::int64_t limit = 0, max_new_tokens = 24;
  KvCacheType kv_cache = KvCacheType::automatic;
  RunSettings run;
  EvalBounds bounds;
  std::filesystem::path journal = {};  // results are kept there, and not found again; "": nowhere
};
struct EvalRow {
  std::int64_t samples = 0, exact = 0;
};
/// One bound and what was found: "min_exact", "max_perplexity", "max_kl.text", ...
struct BoundResult {
  std::string bound;
  double limit = 0, found = 0;
  bool met = false;  // never by NaN
};
struct EvalReport {
  EvalRow all;
  std::map<std::string, EvalRow> by_kind;
  double perplexity = 0;  // of the answers' tokens, end of turn included
  std::int64_t answer_tokens = 0;
  std::map<std::string, AgreementRow> agreement;  // by token class; empty without a reference
  std::int64_t shared_with_calibration = 0;       // samples that the calibration has seen
  std::string data_digest;                        // SHA-256 over the samples, as in a plan
  double seconds = 0;
  KvCacheReport kv_cache;
  struct Answer {
    std::string id, kind, expected, found;
  };
  std::vector<Answer> answers;
  std::vector<BoundResult> bounds;  // those of the options, in the order of EvalBounds
};
/// @throws Error{usage} for bounds out of range and a journal of something else, Error{input} for bounds that the samples
/// cannot tell, before the first sample.  Interrupted: Error{interrupted}; the journal continues.
EvalReport evaluate(const EvalOptions& options);
/// @throws Error{verification} that names every bound that is missed
void expect_bounds(const EvalReport& report);

/// What evaluate would do with the same options, from headers and samples.
struct EvalPlan {
  std::int64_t samples = 0, answers = 0;       // answers: samples that have one
  std::map<std::string, std::int64_t> tokens;  // by class, answers included
  std::int64_t longest = 0;                    // tokens of the longest sample, its answer included
  std::string digest;                          // of the samples: RunIdentity::data_digest
  std::int64_t weight_bytes = 0;               // of memory; the reference's are not in it
  std::int64_t peak_bytes = 0;                 // estimated, of memory, the reference's weights included
};
/// No weight is loaded, nothing is evaluated or written.  Throws what evaluate would before its first sample, except for
/// what only values of weights or the journal tell.
EvalPlan plan_evaluation(const EvalOptions& options);

struct GenerateOptions {
  std::filesystem::path model;
  Executor executor = Executor::fast;
  std::vector<std::filesystem::path> images;
  std::string prompt, system;
  std::int64_t max_new_tokens = 128;
  KvCacheType kv_cache = KvCacheType::automatic;
  RunSettings run;
};
struct Generation {
  std::string text;
  std::int64_t prompt_tokens = 0, visual_tokens = 0, new_tokens = 0;
  double load_seconds = 0, prefill_seconds = 0, decode_seconds = 0;
  KvCacheReport kv_cache;
};
Generation generate(const GenerateOptions& options);

struct ForwardOptions {
  std::filesystem::path model, data, output;
  Executor executor = Executor::fast;
  std::int64_t greedy = 0, limit = 0;  // greedy: tokens to decode, stop tokens ignored
  bool cache = true;                   // false: every token by a whole forward pass; float in any case
  RunSettings run;
};
/// Writes <id>/input_ids, token_kind, position_ids, pixel_values, vision_embeds, vision.hidden.k, hidden.k, logits,
/// greedy: safetensors.  @returns the number of tensors.
std::int64_t forward(const ForwardOptions& options);

}  // namespace mquant
