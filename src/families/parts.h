// What several families say in the same words: lookups with the official defaults, common blocks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "families/processors.h"
#include "mquant/config.h"
#include "mquant/model.h"

namespace mquant {

/// "text_config." where config.json is nested, "" where it is flat.
std::string text(const Config& config);

/// a / b.  Throws Error{input} unless b divides a.
std::int64_t exact_ratio(const Config& config, const std::string& a, const std::string& b);
std::int64_t exact_ratio(const Config& config, const std::string& a, std::int64_t b);
double inverse_sqrt(std::int64_t n);
/// A width times a ratio of the config, cut off as Python's int() does.
std::int64_t times_ratio(const Config& config, std::int64_t width, const std::string& path);

/// A count of layers: 1 to 1000, so that a broken number does not become a description of that size.
std::int64_t layer_count(const Config& config, const std::string& path);
std::int64_t layer_count(const Config& config, const std::string& path, std::int64_t otherwise);

/// Whether head and embeddings share one tensor: the key at the top says so, else that in text_config, else
/// `otherwise`.
bool ties_embeddings(const Config& config, bool otherwise = false);
/// The same for classes of which every version of transformers ties them where either place says so: files of before
/// version 5 have the key in text_config.  Source: configuration_qwen2_vl.py, configuration_llava.py of 5.24.
bool ties_embeddings_anywhere(const Config& config);

/// The config's name of an activation, as transformers spells it.  Throws Error{unsupported} for others.
Activation activation(const Config& config, const std::string& path, std::string_view otherwise);

/// Types of layers, as `layer_types` and `rope_parameters` name them.
inline constexpr const char* kFullAttention = "full_attention";
inline constexpr const char* kSlidingAttention = "sliding_attention";

/// rope_theta of a tower whose positions are rows and columns.  Throws Error{unsupported} for a type of rope with
/// a scaling, which towers do not have.
double tower_rope_base(const Config& config, const std::string& prefix, double otherwise);
/// mrope_section of rope_scaling (rope_parameters), or `otherwise`; must sum to dim / 2.
std::vector<std::int64_t> mrope_sections(const Config& config, const std::string& prefix, std::int64_t dim,
                                         const std::vector<std::int64_t>& otherwise = {});
/// Throws Error{unsupported} where `use_sliding_window` is set: the computation would silently differ.
void require_no_sliding_window(const Config& config, const std::string& prefix);

/// Base and scaling of layers of one type ("full_attention", "sliding_attention"; "" where all are alike), as
/// transformers combines rope_scaling, rope_parameters and the bases beside them: types default, mrope, linear and
/// dynamic; others are unsupported.
void set_rope(const Config& config, const std::string& prefix, double otherwise, RopeSpec& rope,
              const std::string& layer_type = {});

/// A number, or two equal ones: [448, 448].
std::int64_t square(const Config& config, const std::string& path, std::int64_t otherwise = 0);
/// "layer_norm" or "rms_norm".
NormKind vision_norm(const Config& config, const std::string& path, std::string_view otherwise);
/// 2 for a ratio of 0.5: so many patches on each side become one token.
std::int64_t shuffle_side(const Config& config, const std::string& path);
/// Layers to run so that the features are hidden_states[index] of `depth` layers: -1 all, -2 all but one.
/// A list of one counts as a number.
std::int64_t feature_layers(const Config& config, std::int64_t depth, const std::string& path,
                            std::int64_t otherwise);

/// input_layernorm, self_attn.{q,k,v,o}_proj, post_attention_layernorm, mlp.{gate,up,down}_proj.
LayerNames llama_names();
/// layer_norm1, self_attn.{q,k,v}_proj, self_attn.out_proj, layer_norm2, mlp.fc{1,2}: CLIP and SigLIP.
LayerNames clip_names();

/// Sizes of a vision layer: heads over the whole width, LayerNorm, biases everywhere.
struct TowerShape {
  std::int64_t width = 0, mlp_width = 0, heads = 0;
  double eps = 1e-6;
  Activation activation = Activation::gelu;
};
LayerShape vision_shape(const Config& config, const TowerShape& tower);

/// What LlamaConfig and its descendants say where a config.json leaves a key out; 0: the key must be there.
struct DecoderDefaults {
  std::int64_t width = 0, mlp_width = 0, heads = 0, kv_heads = 0, head_dim = 0;
  double eps = 1e-6, rope_base = 10000;
  bool qkv_bias = false;    // always, as in Qwen2; else `attention_bias` says, for the output projection too
  std::string rope_layers;  // the type of layer whose rope_parameters are meant
};
/// A decoder layer by the keys of LlamaConfig and its descendants under `prefix`.
LayerShape llama_shape(const Config& config, const std::string& prefix, const DecoderDefaults& defaults);

struct DecoderNames {
  std::string layers = "layers.";  // before a layer's number
  std::string embed = "embed_tokens.weight", norm = "norm";
  std::string head = "lm_head";  // not behind the prefix
  bool tied = false;             // the head may be the embeddings
  LayerNames layer = llama_names();
};
/// Embeddings, `count` layers of one shape, and the head, which is the embeddings where it is tied and not
/// stored.  ModelSpec::decoder_width and ::vocabulary are those of the config.
void add_decoder(ModelSpec& model, const std::string& prefix, const DecoderNames& names,
                 const LayerShape& shape, std::int64_t count);

/// The stem of a tower: convolution, class token, position table, norm.
struct StemNames {
  std::string conv, class_token, positions, norm;  // class_token, norm: "" for none
};
struct StemShape {
  std::int64_t width = 0, patch = 0, channels = 3, places = 0;  // places of the position table
  bool conv_bias = true, leading_ones = false;  // class token and table are stored as [1, ..., width]
  Lookup lookup = Lookup::exact;
  double eps = 1e-5;
};
BlockSpec stem_block(const StemNames& names, const StemShape& shape);

/// SigLIP by the keys of SiglipVisionConfig: sizes where config.json leaves a key out; 0: the key must be
/// there.
struct SiglipShape {
  std::int64_t width = 0, mlp_width = 0, heads = 0, layers = 0, patch = 0, image = 0;
  Lookup lookup = Lookup::exact;
  std::int64_t left_out = 0;  // layers at the end that do not run
};
/// Stem and layers; the norm behind them is the projector's.
void add_siglip_tower(ModelSpec& model, const Config& config, const std::string& prefix,
                      const SiglipShape& shape);

enum class Merge { none, rows, grid };

/// norm, patches merged (or the other way round), fc1, activation, fc2.
struct ProjectorNames {
  std::string norm, fc1, fc2;  // norm: "" for none; without fc2, fc1 is the only linear
};
struct ProjectorShape {
  std::int64_t width = 0, inner = 0, out = 0;  // of the tower, fc1, the decoder
  std::int64_t drop = 0;                       // rows before the patches of each picture
  Merge merge = Merge::none;
  std::int64_t side = 1;  // side x side patches in one row
  bool merge_first = false;
  NormKind norm = NormKind::layer;
  double eps = 1e-6;
  bool bias = true;
  Activation activation = Activation::gelu;
};
BlockSpec projector_block(const std::string& name, const std::string& out, const ProjectorNames& names,
                          const ProjectorShape& shape);

/// Cross attention from learned queries to the patches of each picture (Qwen-VL, MiniCPM-V).  Queries are
/// constants and are folded to what the attention reads; so are the positions of keys.
struct ResamplerShape {
  std::int64_t width = 0, out = 0, heads = 0, queries = 0;  // of the tower; of resampler and decoder
  std::string norm;                                         // of the tower's end, "" for none
  std::string positions;  // a stored table [queries, out] for queries and keys; "": sine-cosine for keys
  std::int64_t sincos_side = 0;        // places on each axis
  double eps = 1e-6, norm_eps = 1e-6;  // of the resampler's norms, of the tower's
};
struct ResamplerNames {
  std::string query, kv_proj, norm_q, norm_kv, attention, norm_out, proj;
};
BlockSpec resampler_block(const ResamplerNames& names, const ResamplerShape& shape);

/// EVA2-CLIP with its adapter, as in GLM-4V and CogVLM2: post-norm layers, 2 x 2 convolution, gated MLP, begin
/// and end tokens.  Adds the blocks.
struct EvaShape {
  std::int64_t conv_out = 0, mlp_width = 0;  // of the adapter
  double divisor = 1;                        // of the result
};
void add_eva_tower(ModelSpec& model, const Config& config, const std::string& prefix, const EvaShape& shape);
/// What a family with this tower is exempted from.
std::vector<Exemption> eva_exemptions();

}  // namespace mquant
