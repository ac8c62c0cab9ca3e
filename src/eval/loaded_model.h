// A model in memory, ready to run: a checkpoint in float, a calibration or an artifact by its codes.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mquant/block.h"
#include "mquant/compile.h"
#include "mquant/config.h"
#include "mquant/family.h"

namespace mquant {

/// Which rows of the logits are wanted.
enum class LogitRows { all, last };

class LoadedModel {
 public:
  /// @param path  a HuggingFace directory, a calibration or an artifact
  static LoadedModel open(const std::filesystem::path& path);

  const ModelSpec& spec() const { return *spec_; }
  const Processor& processor() const { return *processor_; }
  bool is_quantized() const { return quantized_; }
  /// Digests of the samples that its scales were found on; empty for a checkpoint.
  const std::vector<std::string>& calibration_digests() const { return calibration_digests_; }
  std::vector<Features> features(const std::vector<Sample>& samples, WithAnswer with_answer) const;

  /// Reorder tokens (AIFS)?  By default as the recipe had it; the results do not depend on it.
  bool order_tokens = false;

  /// What caches hold from now on; at first floats.  With int8, forward passes without caches see the codes as well: the
  /// logits are the same either way.
  /// @throws Error{usage} for int8 without scales, Error{input} when only some blocks have them
  void use_kv_cache(KvCacheType type);
  KvCacheReport kv_cache() const;

  /// Caches of all decoder blocks, empty, with room for `capacity` tokens.
  std::vector<KvCache> make_caches(std::int64_t capacity) const;

  using AfterBlock = std::function<void(const BlockSpec&, const SampleState&)>;
  /// Runs all blocks over the tokens of `features`.
  /// @param caches  of make_caches, or empty: no cache; grows by the tokens of `features`
  /// @param past    tokens in the caches before this call
  /// @param after   sees the registers after each block; token rows in their current order
  /// @returns logits [rows, vocabulary], in the original order of tokens
  at::Tensor logits(const Features& features, std::vector<KvCache>& caches, std::int64_t past, LogitRows rows,
                    const AfterBlock& after = {}) const;

  /// x of the checkpoint's basis: undoes the rotation of `space`, if the model has one.  (Row means that bake-means took
  /// out of a vision tower stay out.)
  at::Tensor in_checkpoint_basis(const at::Tensor& x, Space space) const;

 private:
  std::unique_ptr<const ModelSpec> spec_;  // blocks_ point into it
  std::vector<Block> blocks_;
  std::unique_ptr<Processor> processor_;
  std::vector<std::string> calibration_digests_;
  KvCache make_cache(const Block& block, std::int64_t capacity) const;

  std::string path_;
  bool quantized_ = false, sink_ = false, int8_cache_ = false;
  std::uint64_t seed_ = 0;
  std::vector<Space> turned_;
};

/// One text token behind what `before` describes, for a decode step.
Features decode_step(const Features& before, std::int64_t token, std::int64_t step);

}  // namespace mquant
