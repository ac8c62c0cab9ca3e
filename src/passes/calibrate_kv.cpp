// calibrate-kv: static scales for an int8 key-value cache.
//
// Keys are looked at as the cache holds them, behind the rotary embedding.  A few channels of theirs are many times
// larger than the rest, the same ones for all tokens, so each channel of a key head has its own scale; values have no
// such channels, least of all once R2 has rotated them, and one scale a head is enough.
// Sources: WKVQuant, arXiv 2402.12065 (int8 cache of a quantized model); KIVI, arXiv 2402.02750 (keys by channel).
//
// Nothing else of the block changes: an engine that ignores the scales computes with a float cache.
//
// writes  block.kv_scales, of every block with a cache
#include "mquant/pass.h"
#include "passes/collected.h"
#include "passes/entry.h"
#include "passes/scale_rule.h"
#include "quant/observer.h"

namespace mquant {
namespace {

enum class CacheScale { per_channel, per_head };

struct CalibrateKvOptions {
  CacheScale keys = CacheScale::per_channel, values = CacheScale::per_head;
  ScaleRule rule = ScaleRule::max;
  Percentile percentile;

  void bind(OptionBinder& options) {
    options.choice("keys", keys, "one scale for each channel of a key head, or one for the head",
                   {{"per_channel", CacheScale::per_channel}, {"per_head", CacheScale::per_head}});
    options.choice("values", values, "one scale for each channel of a value head, or one for the head",
                   {{"per_channel", CacheScale::per_channel}, {"per_head", CacheScale::per_head}});
    options.choice("rule", rule, "how a scale follows from the values seen", kScaleRules);
    percentile.bind(options);
  }
};

class CalibrateKv final : public Pass {
 public:
  using Options = CalibrateKvOptions;
  explicit CalibrateKv(const Options& options)
      : keys_per_channel_(options.keys == CacheScale::per_channel),
        values_per_channel_(options.values == CacheScale::per_channel),
        rule_{.rule = options.rule, .percentile = options.percentile.share()} {}

  std::optional<CacheRequest> wants_cache(const Block& block) const override {
    if (!block.spec().has_kv_cache()) return std::nullopt;
    const std::int64_t dim = block.spec().attention.head_dim;
    return CacheRequest{.key_width = keys_per_channel_ ? 1 : dim,
                        .value_width = values_per_channel_ ? 1 : dim};
  }

  void decide_cache(Block& block, const CollectedCache& collected, PassContext& ctx) override {
    const AttentionSpec& attention = block.spec().attention;
    block.kv_scales = {attention.kv_heads, attention.head_dim, scales_of(collected.keys),
                       scales_of(collected.values)};
    ctx.count("int8_caches");
  }

 private:
  std::vector<float> scales_of(const std::vector<ClassStatistics>& units) const {
    std::vector<float> scales;
    for (const ClassStatistics& unit : units) scales.push_back(choose_scale(unit, rule_));
    return scales;
  }

  bool keys_per_channel_, values_per_channel_;
  ScaleOptions rule_;
};

}  // namespace

extern const PassInfo calibrate_kv_pass = entry<CalibrateKv>({
    .name = "calibrate-kv",
    .effect = Effect::approximates,
    .summary = "Choose the static scales of an int8 key-value cache",
    .provides = {Fact::cache_scales},
});

}  // namespace mquant
