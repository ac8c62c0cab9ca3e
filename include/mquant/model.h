// What a model is, as data: blocks in order of execution, and for each its tensors, who reads and writes which space,
// and the steps of its forward pass.  A family fills this from config.json; src/nn executes it, passes rewrite by it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
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
  kv,         ///< what a resampler's keys and values are made of
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
  std::vector<std::int64_t> stored_shape;  // when it is another: a convolution kernel [out, c, y, x]
  bool channels_last = false;              // read such a kernel as [out, (y, x, c)], not [out, (c, y, x)]
  std::string otherwise;                   // read this when `name` is absent: a tied head; "" where it is not
  bool optional = false;                   // may be absent
  bool identity = false;                   // not in the checkpoint: the unit matrix, for passes to fold into
  std::string row_scale;                   // a tensor [out] that multiplies the rows: layer scale
  std::string stored_as;                   // the artifact holds it under this name, apart from `name`
  explicit operator bool() const { return !name.empty(); }
};

/// Which rows of a token register: those of one class, or the rest (visual experts).
enum class RowSet { all, visual, others };

struct LinearSpec {
  std::string name;  // its role in the block: "q", "down", "fc1"
  std::int64_t out = 0, in = 0;
  Source weight, bias;
  Space reads = Space::none, writes = Space::none;
  std::string
      norm;  // the norm whose output it reads, "" if none.  `in` may be several times the norm's width.
  RowSet rows = RowSet::all;  // of the tokens that it sees
  bool stays_float = false;   // never quantized: a change of basis of a residual stream
};

struct NormSpec {
  std::string name;
  NormKind kind = NormKind::layer;
  std::int64_t width = 0;  // a wider register is normalized in runs of it: each head on its own
  double eps = 1e-6;
  Source weight, bias;
  Space space = Space::none;  // of the rows it normalizes
  bool one_plus = false;      // multiplies by 1 + weight (Gemma)
};

/// A constant of the checkpoint, taken through linear maps when it is loaded, in float64:
/// (norm(x) + positions) W^T + b, where each part may be absent.
struct Folding {
  std::optional<NormSpec> norm;                // of the parameter's rows
  Source positions;                            // added, of the shape of the rows
  Source weight, bias;                         // a linear's; its rows may be a part of a fused tensor
  std::int64_t in = 0;                         // the weight's width, and the parameter's before, or
  std::int64_t first_column = 0, columns = 0;  // the part of it that the parameter meets
};

/// A tensor that is neither: embeddings, class token, position table.  Its last axis lies in `space`.
struct ParamSpec {
  std::string name;
  Source source;
  std::vector<std::int64_t> shape;
  Space space = Space::none;
  bool sincos = false;             // not stored: rows are sine-cosine codes of 0, 1, 2 ...
  std::optional<Folding> folding;  // done before anything else sees the parameter
};

enum class RopePairs { none, halves, neighbours };
enum class RopeAxes {
  sequence,           ///< one position a token
  sections,           ///< m-rope: frequencies in runs for t, h, w (Qwen2-VL)
  sections_in_turns,  ///< m-rope: t, h, w by turns (Qwen3-VL)
  grid,               ///< row and column of a patch, half of the frequencies each
};

/// How the base grows where a prompt is longer than what the model was trained on.
enum class Stretch {
  none,
  qwen,     ///< by 2^ceil(log2(n / trained) + 1) - 1                 (Qwen-VL: use_dynamic_ntk)
  dynamic,  ///< by factor * n / trained - (factor - 1)               (rope_scaling type "dynamic")
};

struct RopeSpec {
  RopePairs pairs = RopePairs::none;
  RopeAxes axes = RopeAxes::sequence;
  double base = 10000.0;
  std::int64_t dims = 0;               // of a head, from the front
  std::vector<std::int64_t> sections;  // m-rope: frequencies for t, h, w; sums to dims / 2
  double position_scale = 1.0;         // linear scaling: positions are multiplied by it
  Stretch stretch = Stretch::none;
  std::int64_t trained_length = 0;  // for `stretch`
  double stretch_factor = 1.0;
  std::string frequencies;  // a parameter [dims / 2] that holds them, used where the checkpoint has it
};

/// Which keys a query sees.  All of them are intervals of original positions.
enum class Sees {
  picture,          ///< the patches of its own picture or tile; a resampler's queries too
  window,           ///< those of its window of the picture, once to_windows has ordered them
  causal,           ///< itself and what came before
  causal_pictures,  ///< the same, and all of its own picture           (Gemma 3)
};

struct AttentionSpec {
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  double scale = 0;  // of q . k
  RopeSpec rope;
  Sees sees = Sees::causal;
  std::int64_t window = 0;       // causal: only this many positions back, 0: all; window: its side in patches
  std::int64_t logn_length = 0;  // queries behind it are multiplied by log(i) / log(logn_length), i from 1
};

/// One step of a block's forward pass, over registers.  A register holds [rows, width] of one sample.
enum class Op {
  linear,        ///< out = linear `name` of in[0]
  norm,          ///< out = norm `name` of in[0]
  activation,    ///< out = activation of in[0]
  multiply,      ///< out = in[0] * in[1]
  add,           ///< out = in[0] + in[1]
  scale,         ///< out = in[0] * factor
  attention,     ///< out = attention over q = in[0], k = in[1], v = in[2], rotary embedding included
  merge_rows,    ///< out = each run of `count` rows of in[0] as one row
  merge_grid,    ///< out = each `count` x `count` cell of patches as one row: (y, x, channel); pixel shuffle
  average_pool,  ///< out = the mean of each `count` x `count` cell of patches
  prepend,       ///< out = parameter `name` [1, width] before the rows of each picture: a class token
  append,        ///< the same behind them
  drop_first,    ///< out = in[0] without the first `count` rows of each picture
  table,         ///< out = for each patch, the row of parameter `name` for its place, found by `lookup`
  add_table,   ///< out = in[0] + table; the table's first `count` rows are for rows prepended to each picture
  repeat,      ///< out = parameter `name` [n, width], once for each picture: a resampler's queries
  to_windows,  ///< out = in[0], the patches of each window of `count` x `count` next to each other
  from_windows,  ///< out = in[0], patches or runs of them, back in the order of before
  embed,         ///< out = rows of parameter `name` by input id
  place_visual,  ///< out = in[0] with the rows of visual tokens replaced by those of in[1]
  add_visual,    ///< out = in[0] with those of in[1] added there: deep stack
  take,          ///< out = the rows of in[0] that are in the set `rows`
  join,          ///< out = in[0] and in[1] in one: what `take` took as visual, and as others
};

/// Which row of a position table a patch at (row, column) of a grid [h, w] takes.  Tables are square, or one axis.
enum class Lookup {
  exact,     ///< its own: the grid has the table's size
  bicubic,   ///< the table resized to the grid, a = -0.75, pixel centers              (Qwen-VL, InternVL2)
  bilinear,  ///< the table resized to the grid, corners on corners                    (Qwen3-VL)
  buckets,   ///< the cell that (row / h, column / w) falls into                       (SigLIP NaViT, Idefics)
  by_row,    ///< the table is one axis: row
  by_column,
};

struct Step {
  Op op = Op::linear;
  std::string out;
  std::vector<std::string> in;
  std::string name;
  Activation activation = Activation::silu;
  std::int64_t count = 0;
  double factor = 1;
  Lookup lookup = Lookup::exact;
  RowSet rows = RowSet::all;
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
  /// Registers that live on after the block.  Those that no step mentions pass by untouched.
  std::vector<std::string> keeps;

  bool writes(std::string_view name) const;  ///< the register, in any step
  bool has_kv_cache() const { return tower == Tower::decoder && attention.heads != 0; }
  std::size_t attention_step() const;  ///< index of Op::attention in `steps`; their number if there is none
  const LinearSpec& linear(std::string_view name) const;  ///< Error{internal} if there is none
  const NormSpec& norm(std::string_view name) const;
};

/// Linears that read the same register: they share a Hessian and the scales of their input.  Those that stay float
/// are in no group.
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
  std::string q_norm, k_norm;                            // of each head, before the rotary embedding
  std::string post1,
      post2;  // norms on what is added to the stream; without norm1 and norm2: a post-norm layer
  std::string scale1, scale2;  // layer scales, on the same: tensors [width]
};

struct LayerShape {
  std::int64_t width = 0, mlp_width = 0;
  AttentionSpec attention;
  NormKind norm = NormKind::rms;
  double eps = 1e-6;
  bool one_plus = false;  // norms multiply by 1 + weight
  Activation activation = Activation::silu;
  bool qkv_bias = false, o_bias = false, mlp_bias = false;
  std::int64_t qk_norm_width = 0;  // of q_norm and k_norm, which are RMSNorms everywhere; 0: one head
  double qk_norm_eps = 0;          // 0: eps
};

Source stored(const std::string& name, Fused fused = Fused::none, Part part = Part::whole);
Step step(Op op, std::string out, std::vector<std::string> in, std::string name = {}, std::int64_t count = 0);
Step activate(std::string out, std::string in, Activation activation);
/// NAME.weight, and NAME.bias for LayerNorm.
NormSpec norm_of(std::string role, const std::string& name, NormKind kind, std::int64_t width, double eps,
                 Space space);

/// What a linear needs beyond its shape.
struct Wiring {
  Space reads = Space::none, writes = Space::none;
  std::string norm = {};
  Fused fused = Fused::none;
  Part part = Part::whole;
  RowSet rows = RowSet::all;
};
/// NAME.weight, and NAME.bias if it has one.
LinearSpec linear_of(std::string role, const std::string& name, std::int64_t out, std::int64_t in, bool bias,
                     const Wiring& wiring);
/// The unit matrix behind a norm whose output is a residual stream (or comes off one with no linear behind it), so
/// that scale and shift, and the rotation, have a linear to go into.
LinearSpec basis_of(std::string role, const std::string& name, std::int64_t width, const Wiring& wiring);

/// x += o(attention(q, k, v of norm1(x)));  x += down(act(gate) * up, or act(up), of norm2(x)), where the names say
/// so with a norm or scale before each sum, and none before the linears.
BlockSpec transformer_layer(std::string block_name, Tower tower, Space residual, const std::string& prefix,
                            const LayerNames& names, const LayerShape& shape);

/// The same with two sets of linears, one for visual tokens, one for the others (CogVLM).  Norms are those of `others`.
BlockSpec expert_layer(std::string block_name, const std::string& prefix, const LayerNames& visual,
                       const LayerNames& others, const LayerShape& visual_shape, const LayerShape& shape);

/// x = factor * rows of the table by input id, visual ones replaced by the projector's output.
BlockSpec embed_block(const std::string& table, std::int64_t vocabulary, std::int64_t width,
                      double factor = 1);

/// logits = head(norm(x)); `tied_to` is read where the checkpoint stores no head; "": config.json does not tie them.
BlockSpec head_block(const std::string& norm, const std::string& head, const std::string& tied_to,
                     std::int64_t vocabulary, std::int64_t width, double eps, bool one_plus = false);

/// A convolution whose stride is its kernel: a matrix product over patches, rows of pixel values.
BlockSpec patch_embed_block(const std::string& name, std::vector<std::int64_t> kernel_shape, bool bias);

}  // namespace mquant
