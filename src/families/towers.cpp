// Blocks of vision towers and projectors that several families share.
#include "families/parts.h"
#include "mquant/error.h"
#include "support/checked.h"

namespace mquant {
namespace {

Step looked_up_step(Op op, std::string out, std::vector<std::string> in, std::string name, Lookup lookup,
                    std::int64_t count = 0) {
  Step made = step(op, std::move(out), std::move(in), std::move(name), count);
  made.lookup = lookup;
  return made;
}

}  // namespace

BlockSpec stem_block(const StemNames& names, const StemShape& s) {
  BlockSpec block = patch_embed_block(names.conv, {s.width, s.channels, s.patch, s.patch}, s.conv_bias);
  const std::int64_t first = names.class_token.empty() ? 0 : 1;
  const Space space = names.norm.empty() ? Space::vision : Space::none;  // a norm stands before the stream
  block.linears[0].writes = space;
  const auto param = [&](std::string role, const std::string& name, std::int64_t rows) {
    ParamSpec made{.name = std::move(role), .source = stored(name), .shape = {rows, s.width}, .space = space};
    if (s.leading_ones) made.source.stored_shape = {1, rows, s.width};
    block.params.push_back(made);
  };
  if (first > 0) {
    param("class", names.class_token, 1);
    block.steps.push_back(step(Op::prepend, "x", {"x"}, "class"));
  }
  param("positions", names.positions, checked_sum({first, s.places}));
  block.steps.push_back(looked_up_step(Op::add_table, "x", {"x"}, "positions", s.lookup, first));
  if (names.norm.empty()) return block;
  block.norms.push_back(norm_of("norm", names.norm, NormKind::layer, s.width, s.eps, Space::none));
  block.linears.push_back(basis_of("basis", names.norm + ".basis", s.width,
                                   {.reads = Space::none, .writes = Space::vision, .norm = "norm"}));
  block.steps.push_back(step(Op::norm, "n", {"x"}, "norm"));
  block.steps.push_back(step(Op::linear, "x", {"n"}, "basis"));
  return block;
}

BlockSpec projector_block(const std::string& name, const std::string& out, const ProjectorNames& names,
                          const ProjectorShape& s) {
  BlockSpec block;
  block.name = name;
  block.tower = Tower::projector;
  block.on_tokens = false;
  const std::int64_t cells = s.merge == Merge::none ? 1 : checked_product({s.side, s.side}),
                     wide = checked_product({s.width, cells});
  std::string at = "x";
  const auto then = [&](Step next) {
    next.in = {at};
    next.out = "y";
    at = "y";
    block.steps.push_back(next);
  };
  const auto norm = [&](std::int64_t width) {
    if (names.norm.empty()) return;
    block.norms = {norm_of("norm", names.norm, s.norm, width, s.eps, Space::vision)};
    then(step(Op::norm, "", {}, "norm"));
  };
  if (s.drop > 0) then(step(Op::drop_first, "", {}, "", s.drop));
  if (!s.merge_first) norm(s.width);
  if (s.merge == Merge::rows) then(step(Op::merge_rows, "", {}, "", cells));
  if (s.merge == Merge::grid) then(step(Op::merge_grid, "", {}, "", s.side));
  if (s.merge_first) norm(wide);
  const std::string norm_name = names.norm.empty() ? "" : "norm";
  const bool one = names.fc2.empty();
  block.linears.push_back(linear_of("fc1", names.fc1, one ? s.out : s.inner, wide, s.bias,
                                    {Space::vision, one ? Space::decoder : Space::none, norm_name}));
  block.steps.push_back(step(Op::linear, one ? out : "h", {at}, "fc1"));
  if (!one) {
    block.linears.push_back(
        linear_of("fc2", names.fc2, s.out, s.inner, s.bias, {Space::hidden, Space::decoder}));
    block.steps.push_back(activate("h", "h", s.activation));
    block.steps.push_back(step(Op::linear, out, {"h"}, "fc2"));
  }
  block.keeps = {out};
  return block;
}

BlockSpec resampler_block(const ResamplerNames& names, const ResamplerShape& s) {
  BlockSpec block;
  block.name = "projector";
  block.tower = Tower::projector;
  block.on_tokens = false;
  if (s.out % s.heads != 0)
    fail(ErrorKind::input, "a resampler of width ", s.out, " and ", s.heads, " heads: expected a multiple");
  const std::int64_t dim = s.out / s.heads;
  block.attention = {.heads = s.heads,
                     .kv_heads = s.heads,
                     .head_dim = dim,
                     .scale = inverse_sqrt(dim),
                     .sees = Sees::picture};
  const std::string packed = names.attention + "in_proj_weight", biases = names.attention + "in_proj_bias";
  const auto input = [&](Part part, const std::string& as) {
    Source source = stored(packed, Fused::chunks, part);
    source.stored_as = names.attention + as;
    return source;
  };
  const auto input_bias = [&](Part part) { return stored(biases, Fused::chunks, part); };

  // q: constants, up to what the attention reads.
  ParamSpec query{.name = "q", .source = stored(names.query), .shape = {s.queries, s.out}};
  query.source.stored_as = names.attention + "queries";
  query.folding = {.norm = norm_of("norm_q", names.norm_q, NormKind::layer, s.out, s.eps, Space::none),
                   .positions = stored(s.positions),
                   .weight = stored(packed, Fused::chunks, Part::q),
                   .bias = input_bias(Part::q),
                   .in = s.out};
  block.params.push_back(query);
  const auto key_positions = [&](const std::string& role, std::int64_t rows, Folding folding) {
    folding.weight = stored(packed, Fused::chunks, Part::k);
    folding.in = s.out;
    ParamSpec param{.name = role, .source = stored(s.positions), .shape = {rows, s.out}};
    param.sincos = s.positions.empty();
    param.source.stored_as = names.attention + role;
    param.folding = folding;
    block.params.push_back(param);
  };

  std::string at = "x";
  if (!s.norm.empty()) {
    block.norms.push_back(norm_of("norm", s.norm, NormKind::layer, s.width, s.norm_eps, Space::vision));
    block.steps.push_back(step(Op::norm, "n", {"x"}, "norm"));
    at = "n";
  }
  block.linears.push_back(linear_of("kv", names.kv_proj, s.out, s.width, false,
                                    {Space::vision, Space::kv, s.norm.empty() ? "" : "norm"}));
  block.norms.push_back(norm_of("norm_kv", names.norm_kv, NormKind::layer, s.out, s.eps, Space::kv));
  LinearSpec k = linear_of("k", "", s.out, s.out, false, {Space::kv, Space::none, "norm_kv"});
  k.weight = input(Part::k, "k_proj.weight");
  k.bias = input_bias(Part::k);
  LinearSpec v = linear_of("v", "", s.out, s.out, false, {Space::kv, Space::value, "norm_kv"});
  v.weight = input(Part::v, "v_proj.weight");
  v.bias = input_bias(Part::v);
  block.linears.push_back(k);
  block.linears.push_back(v);
  block.steps.insert(
      block.steps.end(),
      {step(Op::linear, "m", {at}, "kv"), step(Op::norm, "m", {"m"}, "norm_kv"),
       step(Op::linear, "k", {"m"}, "k"), step(Op::linear, "v", {"m"}, "v"), step(Op::repeat, "q", {}, "q")});
  if (s.positions.empty()) {
    key_positions("k_rows", s.sincos_side, {.first_column = s.out / 2, .columns = s.out / 2});
    key_positions("k_columns", s.sincos_side, {.first_column = 0, .columns = s.out / 2});
    block.steps.push_back(looked_up_step(Op::add_table, "k", {"k"}, "k_rows", Lookup::by_row));
    block.steps.push_back(looked_up_step(Op::add_table, "k", {"k"}, "k_columns", Lookup::by_column));
  } else {
    key_positions("k_positions", s.queries, {});
    block.steps.push_back(looked_up_step(Op::add_table, "k", {"k"}, "k_positions", Lookup::bicubic));
  }

  block.linears.push_back(
      linear_of("o", names.attention + "out_proj", s.out, s.out, true, {Space::value, Space::resampled}));
  block.norms.push_back(norm_of("norm_out", names.norm_out, NormKind::layer, s.out, s.eps, Space::resampled));
  LinearSpec proj =
      linear_of("proj", "", s.out, s.out, false, {Space::resampled, Space::decoder, "norm_out"});
  proj.weight = stored(names.proj);
  proj.weight.transposed = true;
  block.linears.push_back(proj);
  block.steps.insert(block.steps.end(),
                     {step(Op::attention, "a", {"q", "k", "v"}), step(Op::linear, "b", {"a"}, "o"),
                      step(Op::norm, "b", {"b"}, "norm_out"), step(Op::linear, "visual", {"b"}, "proj")});
  block.keeps = {"visual"};
  return block;
}

void add_siglip_tower(ModelSpec& model, const Config& c, const std::string& prefix, const SiglipShape& s) {
  const std::string v = "vision_config.";
  const auto size = [&](const char* key, std::int64_t otherwise) {
    return otherwise > 0 ? c.positive_or(v + key, otherwise) : c.positive(v + key);
  };
  const std::int64_t patch = size("patch_size", s.patch), side = size("image_size", s.image) / patch;
  model.vision_width = size("hidden_size", s.width);
  model.blocks.push_back(stem_block(
      {prefix + "embeddings.patch_embedding", "", prefix + "embeddings.position_embedding.weight", ""},
      {.width = model.vision_width,
       .patch = patch,
       .channels = c.positive_or(v + "num_channels", 3),
       .places = checked_product({side, side}),
       .lookup = s.lookup}));
  const LayerShape layer =
      vision_shape(c, {.width = model.vision_width,
                       .mlp_width = size("intermediate_size", s.mlp_width),
                       .heads = size("num_attention_heads", s.heads),
                       .eps = c.positive_number_or(v + "layer_norm_eps", 1e-6),
                       .activation = activation(c, v + "hidden_act", "gelu_pytorch_tanh")});
  const std::string layers = v + "num_hidden_layers";
  const std::int64_t count = s.layers > 0 ? layer_count(c, layers, s.layers) : layer_count(c, layers);
  for (std::int64_t i = 0; i < count - s.left_out; ++i)
    model.blocks.push_back(transformer_layer(cat("vision.", i), Tower::vision, Space::vision,
                                             cat(prefix, "encoder.layers.", i, "."), clip_names(), layer));
}

namespace {

BlockSpec eva_adapter(const std::string& prefix, std::int64_t width, std::int64_t out, const EvaShape& s) {
  BlockSpec block;
  block.name = "projector";
  block.tower = Tower::projector;
  block.on_tokens = false;
  const std::string mlp = prefix + "linear_proj.";
  LinearSpec conv = linear_of("conv", prefix + "conv", s.conv_out, checked_product({4, width}), true,
                              {Space::vision, Space::none});
  conv.weight.stored_shape = {s.conv_out, width, 2, 2};
  conv.weight.channels_last = true;
  block.linears = {
      conv, linear_of("proj", mlp + "linear_proj", out, s.conv_out, false, {}),
      linear_of("gate", mlp + "gate_proj", s.mlp_width, out, false, {}),
      linear_of("up", mlp + "dense_h_to_4h", s.mlp_width, out, false, {}),
      linear_of("down", mlp + "dense_4h_to_h", out, s.mlp_width, false, {Space::hidden, Space::decoder})};
  block.norms = {norm_of("norm", mlp + "norm1", NormKind::layer, out, 1e-5, Space::none)};
  for (const char* name : {"boi", "eoi"}) {
    ParamSpec token{
        .name = name, .source = stored(prefix + name), .shape = {1, out}, .space = Space::decoder};
    token.source.stored_shape = {1, 1, out};
    block.params.push_back(token);
  }
  block.steps = {step(Op::drop_first, "y", {"x"}, "", 1),      step(Op::merge_grid, "y", {"y"}, "", 2),
                 step(Op::linear, "y", {"y"}, "conv"),         step(Op::linear, "y", {"y"}, "proj"),
                 step(Op::norm, "y", {"y"}, "norm"),           activate("y", "y", Activation::gelu),
                 step(Op::linear, "gate", {"y"}, "gate"),      step(Op::linear, "up", {"y"}, "up"),
                 activate("h", "gate", Activation::silu),      step(Op::multiply, "h", {"h", "up"}),
                 step(Op::linear, "visual", {"h"}, "down"),    step(Op::prepend, "visual", {"visual"}, "boi"),
                 step(Op::append, "visual", {"visual"}, "eoi")};
  if (s.divisor != 1) {
    block.steps.push_back(step(Op::scale, "visual", {"visual"}));
    block.steps.back().factor = 1 / s.divisor;
  }
  block.keeps = {"visual"};
  return block;
}

}  // namespace

void add_eva_tower(ModelSpec& model, const Config& c, const std::string& prefix, const EvaShape& shape) {
  const std::string v = "vision_config.";
  const std::int64_t width = c.positive(v + "hidden_size");
  model.vision_width = width;
  const std::string embedding = prefix + "patch_embedding.";
  model.blocks.push_back(stem_block(
      {embedding + "proj", embedding + "cls_embedding", embedding + "position_embedding.weight", ""},
      {.width = width,
       .patch = c.positive(v + "patch_size"),
       .channels = c.positive_or(v + "in_channels", 3),
       .places = c.positive(v + "num_positions") - 1}));
  const LayerShape layer = vision_shape(c, {.width = width,
                                            .mlp_width = c.positive(v + "intermediate_size"),
                                            .heads = c.positive(v + "num_heads"),
                                            .eps = c.positive_number_or(v + "layer_norm_eps", 1e-6),
                                            .activation = activation(c, v + "hidden_act", "gelu")});
  const LayerNames names{.q = "attention.query_key_value",
                         .o = "attention.dense",
                         .up = "mlp.fc1",
                         .down = "mlp.fc2",
                         .fused = Fused::chunks,
                         .post1 = "input_layernorm",
                         .post2 = "post_attention_layernorm"};
  for (std::int64_t i = 0; i < layer_count(c, v + "num_hidden_layers"); ++i)
    model.blocks.push_back(transformer_layer(cat("vision.", i), Tower::vision, Space::vision,
                                             cat(prefix, "transformer.layers.", i, "."), names, layer));
  model.blocks.push_back(eva_adapter(prefix, width, model.decoder_width, shape));
}

std::vector<Exemption> eva_exemptions() {
  const std::string reason = "post-norm layers: scales stand between the norms and the stream";
  return {{"bake-means", Tower::vision, reason}, {"rotate", Tower::vision, reason}};
}

}  // namespace mquant
