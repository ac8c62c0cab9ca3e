// Loading all blocks of a model.
#include "eval/loaded_model.h"

#include <optional>

#include "eval/load_each.h"
#include "mquant/error.h"
#include "nn/stored.h"
#include "passes/facts.h"
#include "pipeline/source.h"

namespace mquant {

LoadedModel LoadedModel::open(const std::filesystem::path& path, Executor executor,
                              const ChatTemplate& stated) {
  return load(OpenedModel::open(path, stated), executor);
}

LoadedModel LoadedModel::load(OpenedModel opened, Executor executor) {
  LoadedModel model;
  model.order_tokens = opened.facts.order_tokens;
  const FloatTensors floats = executor == Executor::fast ? FloatTensors::compact : FloatTensors::widened;
  model.read_blocks(*opened.facts.spec, executor,
                    [&](const BlockSpec& spec) { return opened.read(spec, floats); });
  model.facts_ = std::move(opened.facts);
  return model;
}

std::vector<Features> LoadedModel::features(const std::vector<Sample>& samples,
                                            WithAnswer with_answer) const {
  return all_features(processor(), spec(), samples, with_answer, sinks());
}

at::Tensor LoadedModel::in_checkpoint_basis(const at::Tensor& x, Space space) const {
  if (!facts_.rotated.contains(space)) return x;
  return times_inverse(x, rotation_of(spec(), spec().blocks.front(), space, facts_.seed));
}

std::vector<KvCache> LoadedModel::make_caches(std::int64_t capacity) const {
  std::vector<KvCache> caches;
  for (const Block* block : blocks())
    if (block->spec().has_kv_cache()) caches.push_back(make_cache(*block, capacity));
  return caches;
}

std::vector<const Block*> LoadedModel::blocks() const {
  std::vector<const Block*> blocks;
  for (const Block& block : plain_) blocks.push_back(&block);
  for (const PreparedBlock& block : fast_) blocks.push_back(&block.block());
  return blocks;
}

void LoadedModel::read_blocks(const ModelSpec& described, Executor executor,
                              const std::function<Block(const BlockSpec&)>& read) {
  const std::vector<BlockSpec>& specs = described.blocks;
  std::vector<std::optional<Block>> plain(specs.size());
  std::vector<std::optional<PreparedBlock>> fast(specs.size());
  load_each(specs, [&](std::size_t i) {
    const BlockSpec& spec = specs[i];
    if (executor == Executor::plain)
      plain[i] = read(spec);
    else
      in_context(spec.name, [&] { fast[i].emplace(read(spec)); });
  });
  for (std::optional<Block>& block : plain)
    if (block) plain_.push_back(std::move(*block));
  for (std::optional<PreparedBlock>& block : fast)
    if (block) fast_.push_back(std::move(*block));
}

std::vector<LoadedModel::Weights> LoadedModel::weights() const {
  std::vector<Weights> weights;
  for (const PreparedBlock& block : fast_) weights.push_back({&block.spec(), block.bytes(), block.values()});
  return weights;
}

KvCache LoadedModel::make_cache(const Block& block, std::int64_t capacity) const {
  return make_kv_cache(block.spec(), int8_cache_ ? block.kv_scales : std::nullopt, capacity);
}

void LoadedModel::use_kv_cache(KvCacheType type) {
  std::int64_t caches = 0, scaled = 0;
  for (const Block* block : blocks()) {
    caches += block->spec().has_kv_cache() ? 1 : 0;
    scaled += block->kv_scales ? 1 : 0;
  }
  if (scaled != 0 && scaled != caches)
    fail(ErrorKind::input, facts_.path.string(), ": ", scaled, " of ", caches,
         " blocks have scales of a key-value cache");
  if (type == KvCacheType::int8 && scaled == 0) refuse_int8_cache(facts_.path);
  int8_cache_ = type != KvCacheType::float32 && scaled != 0;
}

KvCacheReport LoadedModel::kv_cache() const {
  KvCacheReport report{int8_cache_ ? "int8" : "float", 0};
  for (const KvCache& cache : make_caches(1))
    report.bytes_per_token += static_cast<std::int64_t>(cache.keys.nbytes() + cache.values.nbytes());
  return report;
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
