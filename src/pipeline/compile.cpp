// THE LOOP: calibrate streams block after block through the passes; nothing holds the whole model.
//
// For each block, ends included: load it in float64, let the passes rewrite its weights, round what stays float to its
// stored type, run all samples through it group by group of linears so that scales and codes are found on inputs that
// have seen the quantized weights before them, write it, free it.  A block counts once the store has it; --resume goes
// on behind the last one that does.
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
#include "passes/group_facts.h"
#include "pipeline/block_inputs.h"
#include "pipeline/export_report.h"
#include "pipeline/find_sinks.h"
#include "pipeline/frames.h"
#include "pipeline/identity.h"
#include "pipeline/preflight.h"
#include "pipeline/report.h"
#include "pipeline/sample_states.h"
#include "pipeline/self_check.h"
#include "pipeline/source.h"
#include "pipeline/streams.h"
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

  /// One block, from the checkpoint to the form in which it is stored; `states` go from its input to its output.
  StoredBlock compile(const BlockSpec& spec, std::vector<SampleState>& states, SelfCheck& check, bool last) {
    Stopwatch watch;
    Block block = load_block(checkpoint_, model_, spec, at::kDouble);
    report_.time("load", watch);
    check.run_float(block);
    report_.time("self-check", watch);
    rewrite(block, states);
    round_to_stored(block, stored_, ctx_.scheme(spec).weight_bits < 16);
    report_.time("fold and turn", watch);
    run_data(block, states, last);
    watch.restart();
    std::map<std::string, double> checked = check.run_quantized(block);
    report_.time("self-check", watch);
    if (spec.name == "embed") {
      reorder(states);
      check.reorder([this](std::vector<SampleState>& of_check) { reorder(of_check); });
    }
    StoredBlock stored = to_stored(block, stored_);
    stored.figures = std::exchange(ctx_.figures, {});
    stored.self_check = std::move(checked);
    return stored;
  }

  const PassContext& context() const { return ctx_; }

 private:
  void reorder(std::vector<SampleState>& states) {
    for (SampleState& state : states)
      for (const NamedPass& named : passes_) named.pass->run_tokens(state);
  }

  void rewrite(Block& block, const std::vector<SampleState>& states) {
    std::vector<Snapshot> snapshots;
    if (options_.verify_each) snapshots.push_back({"", block});
    for (const NamedPass& named : passes_) {
      ctx_.running = named.info;
      in_context(cat("pass ", named.info->name), [&] { named.pass->run(block, ctx_); });
      if (options_.verify_each && named.info->effect == Effect::keeps_function)
        snapshots.push_back({named.info->name, block});
    }
    if (options_.verify_each) report_.kept(verify_function_kept(model_, ctx_.seed, snapshots, states));
  }

  /// The passes that need data, then the samples on to the next block.
  void run_data(Block& block, std::vector<SampleState>& states, bool last) {
    Stopwatch watch;
    BlockInputs walk(block, states);
    block.run_float = !recipe_.calibration.quantized;
    std::vector<LinearGroup> groups;
    const QuantScheme scheme = ctx_.scheme(block.spec());
    if (rounds_without_inputs(block.spec(), scheme))
      run_passes(block, watch, [&](Pass& pass) { pass.run_weights(block, ctx_); });
    else if (!scheme.is_float())
      groups = linear_groups(block.spec());
    const std::size_t attention = block.spec().attention_step();
    const auto behind =
        std::ranges::partition_point(groups, [&](const LinearGroup& g) { return g.step < attention; });
    run_groups(block, walk, {groups.begin(), behind}, watch);
    if (attention < block.spec().steps.size()) {
      const std::unique_ptr<AttentionInputs> inputs = walk.attention_inputs();
      run_passes(block, watch, [&](Pass& pass) { pass.run_attention(block, *inputs, ctx_); });
    }
    run_groups(block, walk, {behind, groups.end()}, watch);
    if (!last) walk.finish();
    report_.time("forward", watch);
  }

  void run_groups(Block& block, BlockInputs& walk, std::span<const LinearGroup> groups, Stopwatch& watch) {
    for (const LinearGroup& group : groups) {
      const std::unique_ptr<GroupInputs> inputs = walk.inputs_of(group);
      report_.time("forward", watch);
      GroupFacts facts;
      run_passes(block, watch, [&](Pass& pass) { pass.run_group(block, group, *inputs, facts, ctx_); });
    }
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

SinkRule sinks_of(const CalibrationSettings& settings, const SourceModel& source,
                  const std::vector<Sample>& samples, const std::vector<Features>& features) {
  if (!settings.classes.contains(TokenClass::sink)) return {};
  switch (settings.sinks) {
    case SinkSetting::none: return {};
    case SinkSetting::first_token: return {.first_token = true};
    case SinkSetting::find: return find_sinks(source, samples, features);
  }
  return {};
}

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
  const Recipe& recipe = work.recipe;
  const SourceModel& source = work.source;
  const std::vector<Sample>& samples = work.samples;
  std::vector<Features>& features = work.features;
  const bool resumed = work.resumed;
  const SinkRule sinks = resumed ? CalibrationStore::sinks_of(options.output)
                                 : sinks_of(recipe.calibration, source, samples, features);
  for (Features& f : features) mark_sinks(sinks, f);
  const RunIdentity identity = identity_of(source, options, recipe, samples, features, sinks);
  CalibrationStore store = resumed ? CalibrationStore::resume(options.output, identity)
                                   : CalibrationStore::create(options.output, identity);
  if (store.finished()) {
    info(cat(options.output.string(), " is complete already"));
    return read_report(options.output);
  }
  Compiler compiler(options, source, recipe, report);
  const std::size_t done = store.done().size();
  std::vector<SampleState> states = initial_states(features);
  SelfCheck check(source.model, options.run.seed, samples, features, recipe.calibration.self_check);
  const auto named_states = [&](const std::string& block) {
    std::vector<std::pair<std::string, std::vector<SampleState>*>> named = {{block, &states}};
    if (check.is_on()) {
      named.emplace_back(block + ".float", &check.float_states());
      named.emplace_back(block + ".quantized", &check.quantized_states());
    }
    return named;
  };
  if (done > 0 && done < source.model.blocks.size())  // the last block leaves no state
    for (const auto& [name, to] : named_states(store.done().back()))
      load_states(store, name, source.model.blocks[done - 1], *to);
  Progress progress("calibrate", static_cast<std::int64_t>(source.model.blocks.size()));
  progress.advance(static_cast<std::int64_t>(done));
  for (std::size_t i = done; i < source.model.blocks.size(); ++i) {
    const BlockSpec& spec = source.model.blocks[i];
    const bool last = i + 1 == source.model.blocks.size();
    const StoredBlock block = compiler.compile(spec, states, check, last);
    Stopwatch watch;
    std::vector<std::string> files;
    if (!last)
      for (const auto& [name, from] : named_states(spec.name))
        files.push_back(save_states(store, name, *from));
    store.add(block, files, report.take(block, compiler.context().counters));
    report.time("write", watch);
    progress.advance(1, spec.name);
  }
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
