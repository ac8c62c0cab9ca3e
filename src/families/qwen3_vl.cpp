// Qwen3-VL (2B, 4B, 8B, 32B): learned positions resampled to each picture, deep stack (features of some vision layers
// are added behind the first decoder layers), Qwen3 decoder with m-rope by turns.
#include <algorithm>

#include "families/parts.h"
#include "families/processors.h"
#include "mquant/error.h"
#include "mquant/family.h"
#include "support/checked.h"

namespace mquant {
namespace {

const char* const kTower = "model.visual.";

BlockSpec merger(const ModelSpec& model, const Config& c, const std::string& name, const std::string& out,
                 const std::string& prefix, bool merge_first) {
  const std::int64_t merge = c.positive_or("vision_config.spatial_merge_size", 2);
  return projector_block(name, out, {prefix + "norm", prefix + "linear_fc1", prefix + "linear_fc2"},
                         {.width = model.vision_width,
                          .inner = checked_product({model.vision_width, merge, merge}),
                          .out = model.decoder_width,
                          .merge = Merge::rows,
                          .side = merge,
                          .merge_first = merge_first});
}

void add_tower(ModelSpec& model, const Config& c, const std::vector<std::int64_t>& deep) {
  const std::string v = "vision_config.", prefix = kTower;
  const std::int64_t patch = c.positive_or(v + "patch_size", 16);
  model.vision_width = c.positive(v + "hidden_size");
  BlockSpec stem = patch_embed_block(prefix + "patch_embed.proj",
                                     {model.vision_width, c.positive_or(v + "in_channels", 3),
                                      c.positive_or(v + "temporal_patch_size", 2), patch, patch},
                                     true);
  stem.params.push_back({.name = "positions",
                         .source = stored(prefix + "pos_embed.weight"),
                         .shape = {c.positive(v + "num_position_embeddings"), model.vision_width},
                         .space = Space::vision});
  stem.steps.push_back(step(Op::add_table, "x", {"x"}, "positions"));
  stem.steps.back().lookup = Lookup::bilinear;
  model.blocks.push_back(stem);
  LayerShape layer = vision_shape(c, {.width = model.vision_width,
                                      .mlp_width = c.positive(v + "intermediate_size"),
                                      .heads = c.positive(v + "num_heads"),
                                      .activation = activation(c, v + "hidden_act", "gelu_pytorch_tanh")});
  layer.attention.rope = {.pairs = RopePairs::halves,
                          .axes = RopeAxes::grid,
                          .base = tower_rope_base(c, v, 10000),
                          .dims = layer.attention.head_dim};
  const LayerNames names{.norm1 = "norm1",
                         .q = "attn.qkv",
                         .o = "attn.proj",
                         .norm2 = "norm2",
                         .up = "mlp.linear_fc1",
                         .down = "mlp.linear_fc2",
                         .fused = Fused::chunks};
  std::size_t count =
      0;  // features are numbered as they come up, their mergers as the config lists the layers
  for (std::int64_t i = 0; i < layer_count(c, v + "depth"); ++i) {
    model.blocks.push_back(transformer_layer(cat("vision.", i), Tower::vision, Space::vision,
                                             cat(prefix, "blocks.", i, "."), names, layer));
    const auto found = std::ranges::find(deep, i);
    if (found == deep.end()) continue;
    const std::string name = cat("deepstack.", count++);
    model.blocks.push_back(
        merger(model, c, name, name, cat(prefix, "deepstack_merger_list.", found - deep.begin(), "."), true));
    model.blocks.back().keeps.push_back("x");
  }
}

/// The features of deep stack j are added to what decoder layer j made: in front of the layer behind it, or at the end
/// of the last one, since the head may be run on the last row only.
void add_deep_stack(ModelSpec& model, std::size_t count) {
  for (std::size_t j = 0; j < count; ++j) {
    const auto of = [j](const BlockSpec& block) { return block.name == cat("decoder.", j); };
    const auto layer = std::ranges::find_if(model.blocks, of);
    const Step sum = step(Op::add_visual, "x", {"x", cat("deepstack.", j)});
    const auto next = layer + 1;
    if (next->name == "head")
      layer->steps.push_back(sum);
    else
      next->steps.insert(next->steps.begin(), sum);
  }
}

/// Vision layers whose features go to the decoder.
std::vector<std::int64_t> deep_stack_layers(const Config& c) {
  const std::string key = "vision_config.deepstack_visual_indexes";
  const std::vector<std::int64_t> deep = c.has(key) ? c.integers(key) : std::vector<std::int64_t>{8, 16, 24};
  const std::int64_t depth = layer_count(c, "vision_config.depth"),
                     layers = layer_count(c, text(c) + "num_hidden_layers");
  if (std::ssize(deep) > layers)
    fail(ErrorKind::input, c.origin(), ": '", key, "' has ", deep.size(), " layers, more than the decoder");
  for (auto i = deep.begin(); i != deep.end(); ++i)
    if (*i < 0 || *i >= depth || std::find(deep.begin(), i, *i) != i)
      fail(ErrorKind::input, c.origin(), ": '", key, "' names layer ", *i,
           ": expected different layers below ", depth);
  return deep;
}

void add_blocks(ModelSpec& model, const Config& c) {
  const std::string t = text(c);
  model.decoder_width = c.positive(t + "hidden_size");
  model.vocabulary = c.positive(t + "vocab_size");
  const std::vector<std::int64_t> deep = deep_stack_layers(c);
  add_tower(model, c, deep);
  model.blocks.push_back(merger(model, c, "projector", "visual", cat(kTower, "merger."), false));
  if (deep.empty()) model.exemptions.clear();
  LayerShape decoder = llama_shape(c, t, {.kv_heads = 32, .head_dim = 128, .rope_base = 5e5});
  decoder.attention.rope.axes = RopeAxes::sections_in_turns;
  decoder.attention.rope.sections = mrope_sections(c, t, decoder.attention.head_dim, {24, 20, 20});
  DecoderNames names{.tied = ties_embeddings(c)};
  names.layer.q_norm = "self_attn.q_norm";
  names.layer.k_norm = "self_attn.k_norm";
  add_decoder(model, "model.language_model.", names, decoder, layer_count(c, t + "num_hidden_layers"));
  add_deep_stack(model, deep.size());
  model.tied_key = "tie_word_embeddings";
}

}  // namespace

extern const Family qwen3_vl = {
    .name = "qwen3_vl",
    .summary = "Qwen3-VL 2B, 4B, 8B, 32B (dense)",
    .model_types = {"qwen3_vl"},
    .tower =
        "LayerNorm, learned and 2-D rotary positions; pictures at about their own size; 2 x 2 patches in a "
        "token; three layers are also read by the first decoder layers (deep stack)",
    .prompt = "ChatML, no default system message; a picture stands where the sample has it",
    .visual_tokens = "one for 2 x 2 patches: <|image_pad|>",
    .exemptions = {{"bake-means", Tower::vision,
                    "deep stack's LayerNorms over four patches read their means"}},
    .recognises = [](const Config& c) { return c.model_type() == "qwen3_vl"; },
    .add_blocks = add_blocks,
    .make_processor = make_qwen3_vl_processor};

}  // namespace mquant
