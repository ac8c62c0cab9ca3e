// What a model is, as data: blocks in order of execution, and for each its tensors, who reads and writes which space,
// and the steps of its forward pass.  A family fills this from config.json; src/nn executes it, passes rewrite by it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mquant {

/// A vector space that a pass may turn.  `value` and `hidden` are local to a block, the others run through several.
enum class Space {
  none,
  vision,     ///< residual stream of the vision tower
  decoder,    ///< residual stream of the decoder; embeddings and projector write it
  value,      ///< one attention head between v and o (R2)
  hidden,     ///< between the halves of an MLP; only an online rotation (R4) may turn it
  kv,         ///< a resampler's keys and values
  query,      ///< a resampler's queries
  resampled,  ///< a resampler's output
};
std::string_view space_name(Space space);

enum class Tower { vision, projector, decoder };
std::string_view tower_name(Tower tower);

enum class Activation { silu, gelu, gelu_tanh, quick_gelu };
enum class NormKind { layer, rms };

/// How several linears share one stored tensor, rows from top to bottom.
enum class Fused {
  none,
  chunks,     ///< [q; k; v], or [gate; up]
  per_head,   ///< [head][q, k, v][dim]                    (Qwen-VL's vision tower)
  per_group,  ///< [kv head][q .. q, k, v][dim]            (InternLM2)
};
/// Which of the fused linears.  `gate` and `up` are the halves of a stacked MLP input.
enum class Part { whole, q, k, v, gate, up };

/// A stored tensor, or the rows of one.
struct Source {
  std::string name;  // in the checkpoint; "" for none
  Fused fused = Fused::none;
  Part part = Part::whole;
  bool transposed = false;                 // stored [in, out]
  std::vector<std::int64_t> stored_shape;  // when it is not [out, in]: a convolution kernel
  std::string otherwise;                   // read this when `name` is absent: a tied head
  explicit operator bool() const { return !name.empty(); }
};

struct LinearSpec {
  std::string name;  // its role in the block: "q", "down", "fc1"
  std::int64_t out = 0, in = 0;
  Source weight, bias;
  Space reads = Space::none, writes = Space::none;
  std::string
      norm;  // the norm whose output it reads, "" if none.  `in` may be several times the norm's width.
};

struct NormSpec {
  std::string name;
  NormKind kind = NormKind::layer;
  std::int64_t width = 0;
  double eps = 1e-6;
  Source weight, bias;
  Space space = Space::none;  // of the rows it normalizes
  bool one_plus = false;      // multiplies by 1 + weight (Gemma)
};

/// A tensor that is neither: embeddings, class token, position table.  Its last axis lies in `space`.
struct ParamSpec {
  std::string name;
  Source source;
  std::vector<std::int64_t> shape;
  Space space = Space::none;
};

enum class RopePairs { none, halves, neighbours };
enum class RopeAxes {
  sequence,           ///< one position a token
  sections,           ///< m-rope: frequencies in runs for t, h, w (Qwen2-VL)
  sections_in_turns,  ///< m-rope: t, h, w by turns (Qwen3-VL)
  grid,               ///< row and column of a patch, half of the frequencies each
};

struct RopeSpec {
  RopePairs pairs = RopePairs::none;
  RopeAxes axes = RopeAxes::sequence;
  double base = 10000.0;
  std::int64_t dims = 0;               // of a head, from the front
  std::vector<std::int64_t> sections;  // m-rope: frequencies for t, h, w; sums to dims / 2
  double position_scale = 1.0;         // linear scaling: positions are multiplied by it
};

/// Which keys a query sees.  All of them are intervals of original positions.
enum class Sees {
  picture,  ///< the patches of its own picture or tile
  causal,   ///< itself and what came before
};

struct AttentionSpec {
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  double scale = 0;  // of q . k
  RopeSpec rope;
  Sees sees = Sees::causal;
  std::int64_t window = 0;  // causal: only this many positions back, 0: all
};

/// One step of a block's forward pass, over registers.  A register holds [rows, width] of one sample.
enum class Op {
  linear,        ///< out = linear `name` of in[0]
  norm,          ///< out = norm `name` of in[0]
  activation,    ///< out = activation of in[0]
  multiply,      ///< out = in[0] * in[1]
  add,           ///< out = in[0] + in[1]
  attention,     ///< out = attention over q = in[0], k = in[1], v = in[2], rotary embedding included
  merge_rows,    ///< out = each run of `count` rows of in[0] as one row
  prepend,       ///< out = parameter `name` [1, width] before the rows of each picture: a class token
  add_table,     ///< out = in[0] + parameter `name` [rows of a picture, width]: learned positions
  drop_first,    ///< out = in[0] without the first `count` rows of each picture
  embed,         ///< out = rows of parameter `name` by input id
  place_visual,  ///< out = in[0] with the rows of visual tokens replaced by those of in[1]
};

struct Step {
  Op op = Op::linear;
  std::string out;
  std::vector<std::string> in;
  std::string name;
  Activation activation = Activation::silu;
  std::int64_t count = 0;
};

struct BlockSpec {
  std::string name;  // "patch_embed", "vision.3", "projector", "embed", "decoder.11", "head"
  Tower tower = Tower::decoder;
  bool on_tokens = true;    // rows are tokens; else vision rows
  bool quantizable = true;  // the ends that stay float by default say no: embed, head
  std::vector<LinearSpec> linears;
  std::vector<NormSpec> norms;
  std::vector<ParamSpec> params;
  AttentionSpec attention;
  std::vector<Step> steps;
  std::vector<std::string> keeps;  // registers that live on after the block

  const LinearSpec& linear(std::string_view name) const;  ///< Error{internal} if there is none
  const NormSpec& norm(std::string_view name) const;
};

/// Linears that read the same register: they share a Hessian and the scales of their input.
struct LinearGroup {
  std::vector<std::string> linears;
  std::string input;     // the register
  std::size_t step = 0;  // index of the first of them in BlockSpec::steps
};
/// In order of execution.
std::vector<LinearGroup> linear_groups(const BlockSpec& block);

/// A pass that would change this family's function, or costs too much there, and why.
struct Exemption {
  std::string pass;
  Tower tower;
  std::string reason;
};

struct ModelSpec {
  std::string family;
  std::vector<BlockSpec> blocks;
  std::int64_t vision_width = 0, decoder_width = 0, vocabulary = 0;
  /// Prefixes of tensor names in other releases: {as described, as found}.  Tried in turn when a name is absent.
  std::vector<std::pair<std::string, std::string>> renames;
  std::vector<Exemption> exemptions;
  std::string tied_key;  // the config.json key that says that head and embeddings are one tensor
};

/// The rows of a fused tensor that belong to `part`, in the order that attention wants: [head][dim].
/// heads, kv_heads and dim matter for q, k and v; `rows` is the height of the fused tensor.
std::vector<std::int64_t> fused_rows(const Source& source, const AttentionSpec& attention, std::int64_t rows);

/// `name` as the checkpoint has it: itself, or under the first of ModelSpec::renames that `exists`; else itself.
std::string resolve(const std::string& name, const ModelSpec& model,
                    const std::function<bool(const std::string&)>& exists);

// ---- words of the description language: what families say instead of spelling out steps ----

/// Tensor names of one layer, all relative to its prefix; a linear's name stands for NAME.weight and NAME.bias.
struct LayerNames {
  std::string norm1, q, k, v, o, norm2, gate, up, down;  // without gate: up and down are fc1 and fc2
  Fused fused = Fused::none;                             // then q names the fused tensor and k, v are empty
  Fused fused_mlp = Fused::none;                         // then gate names it
};

struct LayerShape {
  std::int64_t width = 0, mlp_width = 0;
  AttentionSpec attention;
  NormKind norm = NormKind::rms;
  double eps = 1e-6;
  Activation activation = Activation::silu;
  bool qkv_bias = false, o_bias = false, mlp_bias = false;
};

/// x += o(attention(q, k, v of norm1(x)));  x += down(act(gate) * up, or act(up), of norm2(x)).
BlockSpec pre_norm_layer(std::string block_name, Tower tower, Space residual, const std::string& prefix,
                         const LayerNames& names, const LayerShape& shape);

/// x = rows of the table by input id, visual ones replaced by the projector's output.
BlockSpec embed_block(const std::string& table, std::int64_t vocabulary, std::int64_t width);

/// logits = head(norm(x)); `tied_to` is read when there is no head in the checkpoint.
BlockSpec head_block(const std::string& norm, const std::string& head, const std::string& tied_to,
                     std::int64_t vocabulary, std::int64_t width, double eps);

/// A convolution whose stride is its kernel: a matrix product over patches, rows of pixel values.
BlockSpec patch_embed_block(const std::string& name, std::vector<std::int64_t> kernel_shape, bool bias);

}  // namespace mquant
