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
  model.path_ = path.string();
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
  for (const Block& block : blocks_)
    if (block.spec().has_kv_cache()) caches.push_back(make_cache(block, capacity));
  return caches;
}

KvCache LoadedModel::make_cache(const Block& block, std::int64_t capacity) const {
  return make_kv_cache(block.spec(), int8_cache_ ? block.kv_scales : std::nullopt, capacity);
}

void LoadedModel::use_kv_cache(KvCacheType type) {
  std::int64_t caches = 0, scaled = 0;
  for (const Block& block : blocks_) {
    caches += block.spec().has_kv_cache() ? 1 : 0;
    scaled += block.kv_scales ? 1 : 0;
  }
  if (scaled != 0 && scaled != caches)
    fail(ErrorKind::input, path_, ": ", scaled, " of ", caches, " blocks have scales of a key-value cache");
  if (type == KvCacheType::int8 && scaled == 0)
    fail(ErrorKind::usage, path_, " has no scales of an int8 key-value cache; quantize with the pass ",
         "calibrate-kv (recipe w4a8-kv8), or use a float cache");
  int8_cache_ = type != KvCacheType::float32 && scaled != 0;
}

KvCacheReport LoadedModel::kv_cache() const {
  KvCacheReport report{int8_cache_ ? "int8" : "float", 0};
  for (const KvCache& cache : make_caches(1))
    report.bytes_per_token += static_cast<std::int64_t>(cache.keys.nbytes() + cache.values.nbytes());
  return report;
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
    KvCache own;  // of this block alone, so that its keys and values become codes without caches too
    state.cache = nullptr;
    if (spec.has_kv_cache() && !caches.empty()) {
      state.cache = &caches.at(layer++);
    } else if (spec.has_kv_cache() && int8_cache_) {
      own = make_cache(block, std::ssize(features.input_ids));
      state.cache = &own;
    }
    run_block(block, state);
    state.cache = nullptr;
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
