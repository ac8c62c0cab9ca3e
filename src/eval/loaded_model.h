// A model in memory, ready to run: a checkpoint in float, a calibration or an artifact by its codes.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "eval/opened_model.h"
#include "mquant/block.h"
#include "mquant/compile.h"
#include "mquant/config.h"
#include "mquant/family.h"
#include "runtime/prepared_block.h"

namespace mquant {

/// Which rows of the logits are wanted.
enum class LogitRows { all, last };

/// A sample on its way through the model: its new tokens, and where it stands.
struct Sequence {
  const Features* features = nullptr;
  std::vector<KvCache>* caches =
      nullptr;            // of make_caches; null or empty: none.  They grow by the new tokens.
  std::int64_t past = 0;  // tokens in the caches before
};

class LoadedModel {
 public:
  /// @param path  a HuggingFace directory, a calibration or an artifact
  /// @param stated  a chat template in place of its own, or of the one that a calibration was made with
  static LoadedModel open(const std::filesystem::path& path, Executor executor = Executor::fast,
                          const ChatTemplate& stated = {});
  /// Reads the weights of what was opened.
  static LoadedModel load(OpenedModel opened, Executor executor);

  const ModelSpec& spec() const { return *facts_.spec; }
  const Processor& processor() const { return *facts_.processor; }
  bool is_quantized() const { return facts_.quantized; }
  const SinkRule& sinks() const { return facts_.sinks; }
  /// Digests of the samples that its scales were found on; empty for a checkpoint.
  const std::vector<std::string>& calibration_digests() const { return facts_.calibration_digests; }
  std::vector<Features> features(const std::vector<Sample>& samples, WithAnswer with_answer) const;

  /// Reorder tokens (AIFS)?  By default as the recipe had it; the results do not depend on it.
  bool order_tokens = false;
  /// Of the fast executor: where activation scales come from, and a clock (null: time is not measured).
  RunMode mode;

  /// What caches hold from now on; at first floats.  With int8, forward passes without caches see the codes as well: the
  /// logits are the same either way.
  /// @throws Error{usage} for int8 without scales, Error{input} when only some blocks have them
  void use_kv_cache(KvCacheType type);
  KvCacheReport kv_cache() const;

  /// Caches of all decoder blocks, empty, with room for `capacity` tokens.
  std::vector<KvCache> make_caches(std::int64_t capacity) const;

  using AfterBlock = std::function<void(const BlockSpec&, const SampleState&)>;
  /// Runs all blocks over the new tokens of all sequences.
  /// @param after  sees the registers of each sample after each block but the head; token rows in
  ///               their current order
  /// @returns logits of each sequence, [rows, vocabulary], in the original order of tokens
  std::vector<at::Tensor> logits(std::span<const Sequence> batch, LogitRows rows,
                                 const AfterBlock& after = {}) const;
  /// The same for one.
  at::Tensor logits(const Features& features, std::vector<KvCache>& caches, std::int64_t past, LogitRows rows,
                    const AfterBlock& after = {}) const;

  /// What the head reads, [T, width], in the original order: all other blocks over all tokens.
  at::Tensor hidden(const Features& features, std::vector<KvCache>& caches) const;
  /// Logits of tokens [begin, begin + count), [count, vocabulary], from `hidden` of all.
  at::Tensor head(const Features& features, const at::Tensor& hidden, std::int64_t begin,
                  std::int64_t count) const;

  /// Memory of a block's weights as they are held, and how many values they stand for.
  struct Weights {
    const BlockSpec* block = nullptr;
    std::int64_t bytes = 0, values = 0;
  };
  std::vector<Weights> weights() const;

  /// x of the checkpoint's basis: undoes the rotation of `space`, if the model has one.  (Row means that bake-means took
  /// out of a vision tower stay out.)
  at::Tensor in_checkpoint_basis(const at::Tensor& x, Space space) const;

 private:
  ModelFacts facts_;  // the blocks point into its spec
  /// Reads all blocks, as load_each says, and packs them for the fast executor.
  void read_blocks(const ModelSpec& described, Executor executor,
                   const std::function<Block(const BlockSpec&)>& read);
  /// All blocks but the head; afterwards "x" is in the original order.
  SampleState run_plain(const Sequence& sequence, const AfterBlock& after) const;
  Batch run_fast(std::span<const Sequence> sequences, const AfterBlock& after) const;

  std::vector<Block> plain_;  // one of the two is empty
  std::vector<PreparedBlock> fast_;
  KvCache make_cache(const Block& block, std::int64_t capacity) const;
  /// Of either executor; those of the fast one hold what it did not pack.
  std::vector<const Block*> blocks() const;

  bool int8_cache_ = false;
};

/// One text token behind what `before` describes, for a decode step.
Features decode_step(const Features& before, std::int64_t token, std::int64_t step);

}  // namespace mquant
