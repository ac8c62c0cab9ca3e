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

}  // namespace

LoadedModel LoadedModel::open(const std::filesystem::path& path) {
  LoadedModel model;
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
      model.blocks_.push_back(from_stored(store.read(spec.name), spec));
  } else if (Artifact::is_artifact(path)) {
    describe(path);
    const Artifact artifact = Artifact::open(path, *model.spec_);
    settle(artifact.manifest().raw("calibration.recipe"),
           static_cast<std::uint64_t>(artifact.manifest().integer("calibration.seed")));
    model.calibration_digests_ = artifact.sample_digests();
    for (const BlockSpec& spec : model.spec_->blocks)
      model.blocks_.push_back(from_stored(artifact.read(spec.name), spec));
  } else {
    SourceModel source = open_source(path);
    model.spec_ = std::make_unique<const ModelSpec>(std::move(source.model));
    model.processor_ = std::move(source.processor);
    for (const BlockSpec& spec : model.spec_->blocks)
      model.blocks_.push_back(load_block(source.checkpoint, *model.spec_, spec, at::kFloat));
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

at::Tensor LoadedModel::logits(const Features& features, std::vector<KvCache>& caches, std::int64_t past,
                               LogitRows rows, const AfterBlock& after) const {
  SampleState state = start(features, at::kFloat);
  state.past = past;
  std::size_t layer = 0;
  for (const Block& block : blocks_) {
    const BlockSpec& spec = block.spec();
    if (!takes_part(spec, features)) continue;
    if (spec.name == "head") {
      restore_order(state);
      at::Tensor& x = state.registers["x"];
      if (rows == LogitRows::last) x = x.narrow(0, x.size(0) - 1, 1);
    }
    const bool caches_keys = spec.tower == Tower::decoder && spec.attention.heads != 0 && !caches.empty();
    state.cache = caches_keys ? &caches.at(layer++) : nullptr;
    run_block(block, state);
    if (spec.name == "embed" && order_tokens) mquant::order_tokens(state);
    if (after) after(spec, state);
  }
  return state.registers.at("logits");
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
