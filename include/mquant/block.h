// The weights of one block, and the forward pass over them.  Everything that computes with tensors
// meets here.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mquant/model.h"
#include "mquant/sample.h"
#include "mquant/scheme.h"
#include "mquant/tensor.h"

namespace mquant {

class Checkpoint;

/// One linear while passes work on it.
struct Linear {
  at::Tensor
      weight;  // [out, in], float64 while folding, float32 afterwards; undefined once only codes are kept
  at::Tensor bias;                                   // [out] or undefined
  OnlineRotation rotation;                           // applied to the input before the product
  std::shared_ptr<const QuantizedLinear> quantized;  // set by `round`; the forward pass then runs the codes
};

struct NormWeights {
  NormKind kind = NormKind::layer;  // bake-means turns layer into rms
  double eps = 1e-6;
  at::Tensor scale, shift;  // [width] or undefined: all ones, all zeros
};

/// What has been done to a space so far: x in the block is x of the checkpoint, centered, then
/// turned.
struct Frame {
  bool centered = false;  // each row's mean subtracted
  bool turned = false;    // by the model's rotation of that space
};

class Block {
 public:
  explicit Block(const BlockSpec& spec) : spec_(&spec) {}

  const BlockSpec& spec() const { return *spec_; }
  Linear& linear(std::string_view name);
  const Linear& linear(std::string_view name) const;
  NormWeights& norm(std::string_view name);
  const NormWeights& norm(std::string_view name) const;
  at::Tensor& param(std::string_view name);
  const at::Tensor& param(std::string_view name) const;
  /// bias += delta, created if absent.
  void add_bias(std::string_view linear, const at::Tensor& delta);

  std::map<std::string, Linear, std::less<>> linears;
  std::map<std::string, NormWeights, std::less<>> norms;
  std::map<std::string, at::Tensor, std::less<>> params;
  /// Tables of embeddings as codes, by parameter: set by `round`; the forward pass then takes
  /// their rows.  Read back, they are all that is left: the parameter itself is undefined.
  std::map<std::string, std::shared_ptr<const QuantizedLinear>, std::less<>> embeddings;
  std::map<Space, Frame> frames;
  std::optional<KvScales> kv_scales;  // set by `calibrate-kv`; used by an int8 cache, not without one
  bool run_float = false;             // ignore `quantized` in the forward pass

 private:
  const BlockSpec* spec_;
};

/// Reads a block's tensors; fused ones are split, shapes are checked against the description.
/// @throws Error{input} for a missing tensor (renames tried) or a shape that contradicts
///         config.json.
Block load_block(const Checkpoint& checkpoint, const ModelSpec& model, const BlockSpec& spec,
                 at::ScalarType dtype);

/// Some rows, from `begin` on, of the table of embeddings or head of `end` (model/ends.h).
/// @param rows  with_rows of `end`
Block load_rows_of_end(const Checkpoint& checkpoint, const ModelSpec& model, const BlockSpec& end,
                       const BlockSpec& rows, std::int64_t begin, at::ScalarType dtype);

/// Keys and values of one decoder block, at their original positions: [capacity, kv_heads *
/// head_dim].
struct KvCache {
  at::Tensor keys, values;  // in the type of the rows, or int8 codes
  std::int64_t length = 0;
  std::vector<float> key_scales = {},
                     value_scales = {};  // [kv_heads * head_dim] of the codes; empty: no codes
  bool is_int8() const { return !key_scales.empty(); }
};

/// An empty cache; int8 with `scales`, float without.
KvCache make_kv_cache(const BlockSpec& spec, const std::optional<KvScales>& scales, std::int64_t capacity);

struct RopeTable;

/// One sample on its way through the blocks.
struct SampleState {
  const Features* features = nullptr;
  std::map<std::string, at::Tensor, std::less<>> registers;
  /// Original position of each token row; empty: as they are.  order-tokens (AIFS) sets it once,
  /// after the embeddings are merged; keys and values always lie at original positions, so nothing
  /// else has to know.
  std::vector<std::int64_t> order;
  /// The same of vision rows, set by to_windows: which patch each row was.
  std::vector<std::int64_t> patch_order;
  /// Decoding: the cache of the block that runs now (null: none), and the tokens before this
  /// forward pass.
  KvCache* cache = nullptr;
  std::int64_t past = 0;
  /// Tables of rotary angles made last, for the next block with the same angles.
  std::vector<std::shared_ptr<const RopeTable>> rope_tables;
};

/// Runs steps [begin, end) of a block on one sample; registers not in use any more are dropped.
/// @throws Error{input} when a token of a class comes by for which a linear has no static scale.
void run_steps(const Block& block, SampleState& sample, std::size_t begin, std::size_t end);
/// What one step makes of the registers that it reads; undefined if it makes nothing.  Registers
/// stay as they are.
at::Tensor run_step(const Block& block, SampleState& sample, const Step& step);
/// Registers that the block mentions and that neither a step from `next` on nor a later block
/// reads.
std::vector<std::string> unused_registers(const BlockSpec& spec, std::size_t next);
/// All steps; afterwards BlockSpec::keeps is left in the registers, and what the block did not
/// mention.
void run_block(const Block& block, SampleState& sample);

/// Puts pixels where the first block reads them; ids are read from the features themselves.
SampleState start(const Features& features, at::ScalarType dtype);
/// AIFS: permutes the rows of register "x" by class_order of the sample's token classes, and
/// remembers the order.
void order_tokens(SampleState& sample);
/// Puts the token rows of register "x" back to their original order and forgets `order`.
void restore_order(SampleState& sample);

/// Class of each row that a linear sees: tokens of its RowSet in their current order, or visual
/// for all vision rows.
std::vector<TokenClass> row_classes(const BlockSpec& spec, RowSet set, const SampleState& sample,
                                    std::int64_t rows);

/// Does a block have anything to do for this sample?  (Vision blocks skip a sample without
/// pictures.)
bool takes_part(const BlockSpec& spec, const Features& features);

}  // namespace mquant
