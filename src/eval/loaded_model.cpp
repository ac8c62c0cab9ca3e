// Loading all blocks of a model, and the forward pass over them.
#include "eval/loaded_model.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "mquant/artifact.h"
#include "mquant/error.h"
#include "mquant/recipe.h"
#include "nn/stored.h"
#include "passes/facts.h"
#include "pipeline/source.h"

namespace mquant {
namespace {

bool has_pass(const Recipe& recipe, std::string_view name) {
  for (const PassConfig& pass : recipe.passes)
    if (pass.name == name) return true;
  return false;
}

/// Residual streams that the recipe has turned.
std::vector<Space> turned_spaces(const Recipe& recipe, const ModelSpec& model) {
  std::vector<Space> spaces;
  for (const PassConfig& pass : recipe.passes) {
    if (pass.name != "rotate") continue;
    if (pass.options.boolean("vision") && !exempted(model, "rotate", Space::vision))
      spaces.push_back(Space::vision);
    if (pass.options.boolean("decoder") && !exempted(model, "rotate", Space::decoder))
      spaces.push_back(Space::decoder);
  }
  return spaces;
}

bool caches_keys(const BlockSpec& spec, const Sequence& sequence) {
  return spec.tower == Tower::decoder && spec.attention.heads != 0 && sequence.caches != nullptr &&
         !sequence.caches->empty();
}

at::Tensor wanted_rows(const at::Tensor& x, LogitRows rows) {
  return rows == LogitRows::last ? x.narrow(0, x.size(0) - 1, 1) : x;
}

}  // namespace

LoadedModel LoadedModel::open(const std::filesystem::path& path, Executor executor) {
  LoadedModel model;
  const FloatTensors floats = executor == Executor::fast ? FloatTensors::compact : FloatTensors::widened;
  const auto settle = [&](const std::string& recipe_json, std::uint64_t seed) {
    const Recipe recipe = parse_recipe(recipe_json, "recipe of " + path.string());
    model.order_tokens = has_pass(recipe, "order-tokens");
    model.sink_ = recipe.calibration.sink;
    model.quantized_ = true;
    model.seed_ = seed;
    model.turned_ = turned_spaces(recipe, *model.spec_);
  };
  const auto describe = [&](const std::filesystem::path& directory) {
    const Config config = Config::open(directory / "config.json");
    const Family& family = find_family(config);
    model.spec_ = std::make_unique<const ModelSpec>(family.describe(config));
    model.processor_ = family.make_processor(directory, config);
  };
  if (CalibrationStore::is_calibration(path)) {
    const CalibrationStore store = CalibrationStore::open(path);
    describe(store.identity().model);
    settle(store.identity().recipe, store.identity().seed);
    model.calibration_digests_ = store.identity().sample_digests;
    for (const BlockSpec& spec : model.spec_->blocks)
      model.add_block(from_stored(store.read(spec.name), spec, floats), executor);
  } else if (Artifact::is_artifact(path)) {
    describe(path);
    const Artifact artifact = Artifact::open(path, *model.spec_);
    settle(artifact.manifest().raw("calibration.recipe"),
           static_cast<std::uint64_t>(artifact.manifest().integer("calibration.seed")));
    model.calibration_digests_ = artifact.sample_digests();
    for (const BlockSpec& spec : model.spec_->blocks)
      model.add_block(from_stored(artifact.read(spec.name), spec, floats), executor);
  } else {
    SourceModel source = open_source(path);
    model.spec_ = std::make_unique<const ModelSpec>(std::move(source.model));
    model.processor_ = std::move(source.processor);
    for (const BlockSpec& spec : model.spec_->blocks)
      model.add_block(load_block(source.checkpoint, *model.spec_, spec, at::kFloat), executor);
  }
  return model;
}

std::vector<Features> LoadedModel::features(const std::vector<Sample>& samples,
                                            WithAnswer with_answer) const {
  return all_features(*processor_, samples, with_answer, sink_);
}

at::Tensor LoadedModel::in_checkpoint_basis(const at::Tensor& x, Space space) const {
  if (std::ranges::find(turned_, space) == turned_.end()) return x;
  return times_inverse(x, rotation_of(*spec_, spec_->blocks.front(), space, seed_));
}

std::vector<KvCache> LoadedModel::make_caches(std::int64_t capacity) const {
  std::vector<KvCache> caches;
  for (const BlockSpec& spec : spec_->blocks) {
    if (spec.tower != Tower::decoder || spec.attention.heads == 0) continue;
    const std::int64_t width = spec.attention.kv_heads * spec.attention.head_dim;
    caches.push_back({at::empty({capacity, width}, at::kFloat), at::empty({capacity, width}, at::kFloat), 0});
  }
  return caches;
}

void LoadedModel::add_block(Block block, Executor executor) {
  in_context(block.spec().name, [&] {
    if (executor == Executor::fast)
      fast_.emplace_back(std::move(block));
    else
      plain_.push_back(std::move(block));
  });
}

LoadedModel::Weights LoadedModel::weights(Tower tower) const {
  Weights weights;
  for (const PreparedBlock& block : fast_) {
    if (block.spec().tower != tower) continue;
    weights.bytes += block.bytes();
    weights.values += block.values();
  }
  return weights;
}

at::Tensor LoadedModel::logits(const Features& features, std::vector<KvCache>& caches, std::int64_t past,
                               LogitRows rows, const AfterBlock& after) const {
  const Sequence sequence{&features, &caches, past};
  return logits({&sequence, 1}, rows, after).front();
}

at::Tensor LoadedModel::run_plain(const Sequence& sequence, LogitRows rows, const AfterBlock& after) const {
  SampleState state = start(*sequence.features, at::kFloat);
  state.past = sequence.past;
  std::size_t layer = 0;
  for (const Block& block : plain_) {
    const BlockSpec& spec = block.spec();
    if (!takes_part(spec, *sequence.features)) continue;
    if (spec.name == "head") {
      restore_order(state);
      state.registers["x"] = wanted_rows(state.registers.at("x"), rows);
    }
    state.cache = caches_keys(spec, sequence) ? &sequence.caches->at(layer++) : nullptr;
    run_block(block, state);
    if (spec.name == "embed" && order_tokens) mquant::order_tokens(state);
    if (after) after(spec, state);
  }
  return state.registers.at("logits");
}

std::vector<at::Tensor> LoadedModel::logits(std::span<const Sequence> sequences, LogitRows rows,
                                            const AfterBlock& after) const {
  std::vector<at::Tensor> logits;
  if (!plain_.empty()) {
    for (const Sequence& sequence : sequences) logits.push_back(run_plain(sequence, rows, after));
    return logits;
  }
  std::vector<SampleState> states;
  for (const Sequence& sequence : sequences) {
    states.push_back(start(*sequence.features, at::kFloat));
    states.back().past = sequence.past;
  }
  Batch batch(std::move(states));
  const auto on_x = [&](const std::function<at::Tensor(SampleState&)>& work) { batch.each({"x"}, "x", {}, work); };
  std::size_t layer = 0;
  for (const PreparedBlock& block : fast_) {
    const BlockSpec& spec = block.spec();
    if (std::ranges::none_of(sequences, [&](const Sequence& s) { return takes_part(spec, *s.features); })) continue;
    if (spec.name == "head")
      on_x([&](SampleState& state) {
        restore_order(state);
        return wanted_rows(state.registers.at("x"), rows);
      });
    for (std::size_t i = 0; i < sequences.size(); ++i)
      batch.samples()[i].cache = caches_keys(spec, sequences[i]) ? &sequences[i].caches->at(layer) : nullptr;
    if (spec.tower == Tower::decoder && spec.attention.heads != 0) ++layer;
    block.run(batch, mode);
    if (spec.name == "embed" && order_tokens)
      on_x([](SampleState& state) {
        mquant::order_tokens(state);
        return state.registers.at("x");
      });
    if (!after) continue;
    for (std::size_t i = 0; i < sequences.size(); ++i)
      if (takes_part(spec, *sequences[i].features)) after(spec, batch.state(i));
  }
  for (std::size_t i = 0; i < sequences.size(); ++i) logits.push_back(batch.get("logits").of(i));
  return logits;
}

Features decode_step(const Features& before, std::int64_t token, std::int64_t step) {
  Features next;
  const std::int64_t position = before.next_position + step;
  next.input_ids = {token};
  next.token_class = {TokenClass::text};
  next.positions = {{position, position, position}};
  next.picture = {-1};
  next.position_axes = before.position_axes;
  next.next_position = position + 1;
  next.prompt_length = static_cast<std::int64_t>(before.input_ids.size());
  return next;
}

}  // namespace mquant
