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
#include <mutex>

#include "mquant/pass.h"
#include "passes/attention_inputs.h"
#include "passes/entry.h"
#include "passes/scale_rule.h"
#include "quant/observer.h"

namespace mquant {
namespace {

/// Statistics of each head, or of each channel, of a cached tensor [rows, heads * head_dim].
class CacheObserver {
 public:
  /// @param width  of what gets one scale: head_dim or 1
  CacheObserver(std::int64_t channels, std::int64_t width)
      : width_(width), units_(static_cast<std::size_t>(channels / width), Observer(width)) {}

  /// Thread-safe; counts add up exactly, so the order does not matter.
  void add(const at::Tensor& rows) {
    const at::Tensor x = rows.contiguous();
    const std::vector<TokenClass> one_class(static_cast<std::size_t>(x.size(0)), TokenClass::text);
    for (std::size_t i = 0; i < units_.size(); ++i) {
      Observer observer(width_);
      observer.add(x.const_data_ptr<float>() + static_cast<std::int64_t>(i) * width_, x.size(0), x.size(1),
                   one_class);
      const std::lock_guard lock(mutex_);
      units_[i].merge(observer);
    }
  }

  std::vector<float> scales(const ScaleOptions& rule) const {
    std::vector<float> scales;
    for (const Observer& unit : units_) scales.push_back(choose_scale(unit.of(TokenClass::text), rule));
    return scales;
  }

 private:
  std::int64_t width_;
  std::vector<Observer> units_;
  std::mutex mutex_;
};

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

  void run_attention(Block& block, AttentionInputs& inputs, PassContext& ctx) override {
    if (!block.spec().has_kv_cache() || inputs.samples() == 0) return;
    const AttentionSpec& attention = block.spec().attention;
    const std::int64_t dim = attention.head_dim, channels = attention.kv_heads * dim;
    CacheObserver keys(channels, keys_per_channel_ ? 1 : dim),
        values(channels, values_per_channel_ ? 1 : dim);
    inputs.in_parallel([&](std::size_t, const at::Tensor& k, const at::Tensor& v) {
      keys.add(k);
      values.add(v);
    });
    block.kv_scales = {attention.kv_heads, dim, keys.scales(rule_), values.scales(rule_)};
    ctx.count("int8_caches");
  }

 private:
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
