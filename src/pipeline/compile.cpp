// THE LOOP: calibrate streams block after block through the passes; nothing holds the whole model.
//
// For each block, ends included: load it in float64, let the passes rewrite its weights, round what stays float to its
// stored type, run all samples through it group by group of linears so that scales and codes are found on inputs that
// have seen the quantized weights before them, write it, free it.  A block counts once the store has it; --resume
// continues after the last one that does.
#include "mquant/compile.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <functional>
#include <span>

#include "artifact/run_identity.h"
#include "io/pytorch_bin.h"
#include "model/ends.h"
#include "mquant/artifact.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "mquant/pass.h"
#include "mquant/recipe.h"
#include "nn/stored.h"
#include "nn/token_order.h"
#include "passes/collected.h"
#include "passes/group_facts.h"
#include "pipeline/end_rows.h"
#include "pipeline/export_report.h"
#include "pipeline/find_sinks.h"
#include "pipeline/frames.h"
#include "pipeline/identity.h"
#include "pipeline/memory_budget.h"
#include "pipeline/preflight.h"
#include "pipeline/report.h"
#include "pipeline/sample_states.h"
#include "pipeline/self_check.h"
#include "pipeline/source.h"
#include "pipeline/state_store.h"
#include "pipeline/streams.h"
#include "pipeline/sweep.h"
#include "support/mapped_file.h"
#include "support/timer.h"

namespace mquant {
namespace {

struct NamedPass {
  const PassInfo* info;
  std::unique_ptr<Pass> pass;
};

std::vector<NamedPass> build_passes(const Recipe& recipe) {
  std::vector<NamedPass> passes;
  for (const PassConfig& config : recipe.passes) {
    const PassInfo& info = find_pass(config.name);
    passes.push_back({&info, info.make(config.options)});
  }
  return passes;
}

class Compiler {
 public:
  Compiler(const CalibrateOptions& options, const SourceModel& source, const Recipe& recipe, Report& report)
      : options_(options),
        model_(source.model),
        recipe_(recipe),
        checkpoint_(source.checkpoint),
        stored_(types_in(checkpoint_, model_, stored_dtype(source))),
        passes_(build_passes(recipe)),
        report_(report) {
    ctx_.model = &model_;
    ctx_.seed = options.run.seed;
    ctx_.rotated = rotated_streams(recipe, model_);
    ctx_.scheme = [this](const BlockSpec& spec) { return recipe_.scheme_of(spec.name); };
  }

  /// One block, from the checkpoint to the form in which it is stored; `states` go from its input to its output, but stay
  /// at the input of the last.
  StoredBlock compile(const BlockSpec& spec, StateStore& states, SelfCheck& check) {
    if (goes_in_runs(spec)) return compile_end(spec, states, check);
    Stopwatch watch;
    Block block = load_block(checkpoint_, model_, spec, at::kDouble);
    report_.time("load", watch);
    check.run_float(block, states);
    report_.time("self-check", watch);
    rewrite(block, states);
    round_to_stored(block, stored_, ctx_.scheme(spec).weight_bits < 16);
    report_.time("fold and rotate", watch);
    run_data(block, states);
    watch.restart();
    if (is_last(spec)) check.run_head(block);
    std::map<std::string, double> checked = check.compare(block, states);
    report_.time("self-check", watch);
    leave(spec, states, check);
    StoredBlock stored = to_stored(block, stored_);
    stored.figures = std::exchange(ctx_.figures, {});
    stored.self_check = std::move(checked);
    return stored;
  }

  /// Takes the samples through a block that is stored already.
  void bring_through(const BlockSpec& spec, const StoredBlock& stored, StateStore& states, SelfCheck& check) {
    check.run_float(load_to_run(checkpoint_, model_, spec), states);
    Block block =
        from_stored(stored, spec, goes_in_runs(spec) ? FloatTensors::compact : FloatTensors::widened);
    Sweep(block, states, options_.executor).finish();
    leave(spec, states, check);
  }

  const PassContext& context() const { return ctx_; }

 private:
  bool is_last(const BlockSpec& spec) const { return &spec == &model_.blocks.back(); }

  /// An end whose rows need no inputs of theirs, and whose samples need no rows in float.
  bool goes_in_runs(const BlockSpec& spec) const {
    const QuantScheme scheme = ctx_.scheme(spec);
    return rows_of_end(spec) > 0 && (scheme.is_float() || rounds_without_inputs(spec, scheme)) &&
           recipe_.calibration.quantized && !options_.verify_each;
  }

  /// The same as compile, a run of rows at a time.
  StoredBlock compile_end(const BlockSpec& spec, StateStore& states, SelfCheck& check) {
    Stopwatch watch;
    const std::int64_t rows = rows_of_end(spec);
    if (!is_last(spec)) check.run_float(load_to_run(checkpoint_, model_, spec), states);
    report_.time("self-check", watch);
    EndRows end(spec, rows);
    std::map<Space, Frame> frames;
    for (const RowRun& run : runs_of_end(spec, rows)) {
      check_interrupt();
      const auto counted = ctx_.counters;
      const BlockSpec run_spec = with_rows(spec, run.count);
      const Block block =
          compile_run(load_rows_of_end(checkpoint_, model_, spec, run_spec, run.begin, at::kDouble), states,
                      check, watch);
      end.add(block, to_stored(block, stored_), std::exchange(ctx_.figures, {}));
      if (run.begin > 0) ctx_.counters = counted;  // the end counts once
      forget_mapped_pages();
      frames = block.frames;
      report_.time("write", watch);
    }
    StoredBlock stored = end.take();
    if (is_last(spec)) {
      stored.self_check = check.compare(Block(spec), states);
      report_.time("self-check", watch);
      return stored;
    }
    Block table = from_stored(stored, spec, FloatTensors::compact);
    table.frames = frames;
    Sweep(table, states, options_.executor).finish();
    report_.time("forward", watch);
    stored.self_check = check.compare(table, states);
    report_.time("self-check", watch);
    leave(spec, states, check);
    return stored;
  }

  Block compile_run(Block block, const StateStore& states, SelfCheck& check, Stopwatch& watch) {
    report_.time("load", watch);
    const BlockSpec& spec = block.spec();
    const bool head = spec.name == model_.blocks.back().name;
    if (head) check.run_float(block, states);
    report_.time("self-check", watch);
    rewrite(block, states);
    const QuantScheme scheme = ctx_.scheme(spec);
    round_to_stored(block, stored_, scheme.weight_bits < 16);
    report_.time("fold and rotate", watch);
    if (!scheme.is_float()) run_passes(block, watch, [&](Pass& pass) { pass.run_weights(block, ctx_); });
    if (head) check.run_head(block);
    report_.time("self-check", watch);
    return block;
  }

  /// What is done to samples after a block: tokens are put in order once the embeddings are merged.
  void leave(const BlockSpec& spec, StateStore& states, SelfCheck& check) {
    if (spec.name != "embed") return;
    const auto reorder = [this](SampleState& state) {
      for (const NamedPass& named : passes_) named.pass->run_tokens(state);
    };
    states.each_sample(reorder);
    check.reorder(reorder);
  }

  void rewrite(Block& block, const StateStore& states) {
    std::vector<Snapshot> snapshots;
    if (options_.verify_each) snapshots.push_back({"", block});
    for (const NamedPass& named : passes_) {
      ctx_.running = named.info;
      in_context(cat("pass ", named.info->name), [&] { named.pass->run(block, ctx_); });
      if (options_.verify_each && named.info->effect == Effect::keeps_function)
        snapshots.push_back({named.info->name, block});
    }
    if (!options_.verify_each) return;
    std::vector<SampleState> verified;
    for (std::size_t i = 0; i < states.samples() && verified.size() < kVerifiedSamples; ++i)
      if (takes_part(block.spec(), *states.outline(i).features)) verified.push_back(states.sample(i));
    report_.kept(verify_function_kept(model_, ctx_.seed, snapshots, verified));
  }

  /// The passes that need data, then the samples on to the next block.
  void run_data(Block& block, StateStore& states) {
    Stopwatch watch;
    block.run_float = !recipe_.calibration.quantized;
    Sweep sweep(block, states, options_.executor);
    std::vector<LinearGroup> groups;
    const QuantScheme scheme = ctx_.scheme(block.spec());
    if (rounds_without_inputs(block.spec(), scheme))
      run_passes(block, watch, [&](Pass& pass) { pass.run_weights(block, ctx_); });
    else if (!scheme.is_float())
      groups = linear_groups(block.spec());
    const std::size_t attention = block.spec().attention_step();
    const auto after =
        std::ranges::partition_point(groups, [&](const LinearGroup& g) { return g.step < attention; });
    for (const LinearGroup& group : std::span(groups.begin(), after)) run_group(block, sweep, group, watch);
    if (attention < block.spec().steps.size()) run_cache(block, sweep, watch);
    for (const LinearGroup& group : std::span(after, groups.end())) run_group(block, sweep, group, watch);
    if (!is_last(block.spec())) sweep.finish();
    report_.time("forward", watch);
  }

  void run_group(Block& block, Sweep& sweep, const LinearGroup& group, Stopwatch& watch) {
    GroupFacts facts;
    Collected collected;
    run_passes(block, watch, [&](Pass& pass) {
      for (Request request; (request = pass.wants(block, group, collected, facts, ctx_)).any();) {
        sweep.look(group, request, collected);
        report_.time(request.second_moment ? "second moments" : "forward", watch);
      }
      pass.decide(block, group, collected, facts, ctx_);
    });
    if (const auto* smoothed = facts.find<SmoothedInputs>()) sweep.scale_inputs(group, smoothed->factors);
  }

  void run_cache(Block& block, Sweep& sweep, Stopwatch& watch) {
    run_passes(block, watch, [&](Pass& pass) {
      const std::optional<CacheRequest> request = pass.wants_cache(block);
      if (!request) return;
      const CollectedCache collected = sweep.look_at_cache(*request);
      report_.time("forward", watch);
      if (!collected.is_empty()) pass.decide_cache(block, collected, ctx_);
    });
  }

  void run_passes(const Block& block, Stopwatch& watch, const std::function<void(Pass&)>& run) {
    for (const NamedPass& named : passes_) {
      ctx_.running = named.info;
      in_context(cat("pass ", named.info->name, ": ", block.spec().name), [&] { run(*named.pass); });
      report_.time(named.info->name, watch);
    }
  }

  const CalibrateOptions& options_;
  const ModelSpec& model_;
  const Recipe& recipe_;
  const Checkpoint& checkpoint_;
  StoredTypes stored_;
  std::vector<NamedPass> passes_;
  PassContext ctx_;
  Report& report_;
};

SinkRule sinks_of(const Preflight& work, const PixelSource& pixels) {
  const CalibrationSettings& settings = work.recipe.calibration;
  if (!settings.classes.contains(TokenClass::sink)) return {};
  switch (settings.sinks) {
    case SinkSetting::none: return {};
    case SinkSetting::first_token: return {.first_token = true};
    case SinkSetting::find: return find_sinks(work.source, work.samples, work.features, pixels);
  }
  return {};
}

/// One calibration from the blocks that are done to the last.
class CalibrationRun {
 public:
  CalibrationRun(const CalibrateOptions& options, const Preflight& work, const PixelSource& pixels,
                 CalibrationStore& store, Report& report)
      : options_(options),
        model_(work.source.model),
        propagates_(work.recipe.calibration.quantized),
        pixels_(pixels),
        store_(store),
        report_(report),
        compiler_(options, work.source, work.recipe, report),
        states_(work.features, widest_register(model_, true), widest_register(model_, false),
                state_budget(options.memory_bytes, estimate(work.source, work.recipe, work.features),
                             store.state_directory())),
        check_(model_, work.samples, work.features, pixels,
               {.seed = options.run.seed,
                .count = work.recipe.calibration.self_check,
                .propagates = propagates_}) {}

  /// The samples to where the next block begins: from the states that were kept, through the blocks that are done since.
  void bring_forward() {
    const std::size_t done = store_.done().size(), kept = store_.state().blocks;
    if (done == model_.blocks.size()) return;  // only the report is missing
    if (kept == 0)
      states_.start(pixels_);
    else
      load_kept(model_.blocks[kept - 1]);
    for (std::size_t i = kept; i < done; ++i) {
      const BlockSpec& spec = model_.blocks[i];
      // Samples that run in float need weights that are not stored: the block is made again, and is the same.
      if (propagates_)
        compiler_.bring_through(spec, store_.read(spec.name), states_, check_);
      else  // counted when it was done first
        report_.take(compiler_.compile(spec, states_, check_), compiler_.context().counters);
      forget_mapped_pages();
      check_interrupt();
    }
  }

  void compile_blocks() {
    Progress progress("calibrate", static_cast<std::int64_t>(model_.blocks.size()));
    progress.advance(std::ssize(store_.done()));
    for (std::size_t i = store_.done().size(); i < model_.blocks.size(); ++i) {
      const BlockSpec& spec = model_.blocks[i];
      const StoredBlock block = compile(spec);
      Stopwatch watch;
      store_.add(block, report_.take(block, compiler_.context().counters));
      if (i + 1 == model_.blocks.size())
        store_.keep_state({});  // none is needed any more
      else if (state_is_due())
        keep_states();
      report_.time("write", watch);
      forget_mapped_pages();
      progress.advance(1, spec.name);
    }
  }

 private:
  StoredBlock compile(const BlockSpec& spec) {
    if (!store_.done().empty()) {
      states_.remember();
      check_.remember();
    }
    try {
      return compiler_.compile(spec, states_, check_);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::interrupted) keep_last_states();
      throw;
    }
  }

  /// Samples that run in float cannot be brought through blocks of which only the codes are stored.
  bool state_is_due() const {
    return !propagates_ || since_kept_.seconds() >= 60 * options_.checkpoint_minutes;
  }

  /// Those before the block that was interrupted.
  void keep_last_states() {
    if (store_.done().empty() || store_.state().blocks == store_.done().size()) return;
    states_.restore();
    check_.restore();
    keep_states();
  }

  void keep_states() {
    const std::string& block = store_.done().back();
    std::map<std::string, std::string> files;
    const auto add = [&](const WrittenState& written) { files[written.file] = written.digest; };
    add(save_states(store_, block, states_));
    for (const auto& [name, states] : check_.states())
      add(save_states(store_, cat(block, ".", name), *states));
    store_.keep_state(files);
    since_kept_.restart();
  }

  void load_kept(const BlockSpec& after) {
    load_states(store_, after.name, after, states_);
    for (const auto& [name, states] : check_.states())
      load_states(store_, cat(after.name, ".", name), after, *states);
  }

  const CalibrateOptions& options_;
  const ModelSpec& model_;
  bool propagates_;
  const PixelSource& pixels_;
  CalibrationStore& store_;
  Report& report_;
  Compiler compiler_;
  StateStore states_;
  SelfCheck check_;
  Stopwatch since_kept_;
};

/// The model of a calibration, where it lies now.
SourceModel open_calibrated(const RunIdentity& identity, const std::filesystem::path& moved) {
  if (moved.empty() && !std::filesystem::is_directory(identity.model))
    fail(ErrorKind::input, "the model of this calibration, '", identity.model.string(),
         "', is not there; say where it is with --model DIR");
  const std::filesystem::path directory = moved.empty() ? identity.model : moved;
  expect_all_there(identity.source, directory);
  SourceModel source = open_source(directory, stated_template(identity));
  expect_unchanged(identity.source, files_of(source), source.directory);
  return source;
}

}  // namespace

std::string calibrate(const CalibrateOptions& options) {
  const c10::InferenceMode no_gradients;
  apply(options.run);
  Report report;
  Preflight work = preflight({options, 0, true});
  const PixelSource pixels = pixels_of(*work.source.processor, work.samples, work.with_answer());
  Stopwatch watch;
  const SinkRule sinks = work.resumed ? CalibrationStore::sinks_of(options.output) : sinks_of(work, pixels);
  report.time("find sinks", watch);
  for (Features& f : work.features) mark_sinks(sinks, f);
  const RunIdentity identity =
      identity_of(work.source, options, work.recipe, work.samples, work.features, sinks);
  CalibrationStore store = work.resumed ? CalibrationStore::resume(options.output, identity)
                                        : CalibrationStore::create(options.output, identity);
  if (store.finished()) {
    info(cat(options.output.string(), " is complete already"));
    return read_report(options.output);
  }
  CalibrationRun run(options, work, pixels, store, report);
  run.bring_forward();
  run.compile_blocks();
  const std::string text = report.json(store);
  store.finish(text);
  return text;
}

bool is_quantized_into(const CalibrateOptions& options, const std::filesystem::path& artifact) {
  apply(options.run);
  const SinkRule sinks = Artifact::sinks_of(artifact);
  PlanOptions plan{options};
  plan.output.clear();  // it is finished and gone
  Preflight work = preflight(plan);
  for (Features& f : work.features) mark_sinks(sinks, f);
  return Artifact::is_of(artifact,
                         identity_of(work.source, options, work.recipe, work.samples, work.features, sinks));
}

ExportReport export_artifact(const ExportOptions& options) {
  expect_output(options.output, options.overwrite);
  const CalibrationStore store = CalibrationStore::open(options.calibration);
  const SourceModel source = open_calibrated(store.identity(), options.model);
  const ExportInput input{&store,
                          &source.model,
                          &source.checkpoint,
                          self_check_in(read_report(options.calibration)),
                          token_order_rule(),
                          0};
  write_artifact(input, options.format, options.output, options.overwrite);
  return report_of_export(input, options.format, options.output);
}

}  // namespace mquant
