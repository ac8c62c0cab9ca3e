// The words of the description language: common blocks spelled out as tensors, spaces and steps.
#include "mquant/error.h"
#include "mquant/model.h"

namespace mquant {
namespace {

Source stored(const std::string& name, Fused fused = Fused::none, Part part = Part::whole) {
  Source source;
  source.name = name;
  source.fused = fused;
  source.part = part;
  return source;
}

NormSpec norm_at(std::string role, const std::string& name, NormKind kind, std::int64_t width, double eps,
                 Space space) {
  NormSpec norm{.name = std::move(role),
                .kind = kind,
                .width = width,
                .eps = eps,
                .weight = stored(name + ".weight"),
                .bias = {},
                .space = space};
  if (kind == NormKind::layer) norm.bias = stored(name + ".bias");
  return norm;
}

/// What a linear of a layer needs beyond its shape.
struct Wiring {
  Space reads, writes;
  std::string norm;
  Fused fused = Fused::none;
  Part part = Part::whole;
};

LinearSpec linear_at(std::string role, const std::string& name, std::int64_t out, std::int64_t in, bool bias,
                     const Wiring& wiring) {
  LinearSpec linear{.name = std::move(role),
                    .out = out,
                    .in = in,
                    .weight = stored(name + ".weight", wiring.fused, wiring.part),
                    .bias = {},
                    .reads = wiring.reads,
                    .writes = wiring.writes,
                    .norm = wiring.norm};
  if (bias) linear.bias = stored(name + ".bias", wiring.fused, wiring.part);
  return linear;
}

Step call(Op op, std::string out, std::vector<std::string> in, std::string name = {}) {
  return {.op = op, .out = std::move(out), .in = std::move(in), .name = std::move(name)};
}

void add_attention(BlockSpec& block, Space residual, const std::string& prefix, const LayerNames& names,
                   const LayerShape& s) {
  const bool fused = names.fused != Fused::none;
  const auto source = [&](const std::string& own) { return prefix + (fused ? names.q : own); };
  const auto part = [&](Part p) { return fused ? p : Part::whole; };
  const AttentionSpec& a = s.attention;
  const std::int64_t q = a.heads * a.head_dim, kv = a.kv_heads * a.head_dim;
  block.norms.push_back(norm_at("norm1", prefix + names.norm1, s.norm, s.width, s.eps, residual));
  block.linears.push_back(linear_at("q", source(names.q), q, s.width, s.qkv_bias,
                                    {residual, Space::none, "norm1", names.fused, part(Part::q)}));
  block.linears.push_back(linear_at("k", source(names.k), kv, s.width, s.qkv_bias,
                                    {residual, Space::none, "norm1", names.fused, part(Part::k)}));
  block.linears.push_back(linear_at("v", source(names.v), kv, s.width, s.qkv_bias,
                                    {residual, Space::value, "norm1", names.fused, part(Part::v)}));
  block.linears.push_back(
      linear_at("o", prefix + names.o, s.width, q, s.o_bias, {Space::value, residual, ""}));
  block.steps.insert(block.steps.end(),
                     {call(Op::norm, "n", {"x"}, "norm1"), call(Op::linear, "q", {"n"}, "q"),
                      call(Op::linear, "k", {"n"}, "k"), call(Op::linear, "v", {"n"}, "v"),
                      call(Op::attention, "a", {"q", "k", "v"}), call(Op::linear, "b", {"a"}, "o"),
                      call(Op::add, "x", {"x", "b"})});
}

void add_mlp(BlockSpec& block, Space residual, const std::string& prefix, const LayerNames& names,
             const LayerShape& s) {
  const bool gated = !names.gate.empty(), fused = names.fused_mlp != Fused::none;
  block.norms.push_back(norm_at("norm2", prefix + names.norm2, s.norm, s.width, s.eps, residual));
  block.steps.push_back(call(Op::norm, "n", {"x"}, "norm2"));
  const auto reader = [&](const std::string& role, const std::string& name, Part part) {
    block.linears.push_back(
        linear_at(role, prefix + name, s.mlp_width, s.width, s.mlp_bias,
                  {residual, Space::none, "norm2", names.fused_mlp, fused ? part : Part::whole}));
    block.steps.push_back(call(Op::linear, role, {"n"}, role));
  };
  if (gated) reader("gate", names.gate, Part::gate);
  reader("up", fused ? names.gate : names.up, Part::up);
  Step act = call(Op::activation, "h", {gated ? "gate" : "up"});
  act.activation = s.activation;
  block.steps.push_back(act);
  if (gated) block.steps.push_back(call(Op::multiply, "h", {"h", "up"}));
  block.linears.push_back(linear_at("down", prefix + names.down, s.width, s.mlp_width, s.mlp_bias,
                                    {Space::hidden, residual, ""}));
  block.steps.push_back(call(Op::linear, "b", {"h"}, "down"));
  block.steps.push_back(call(Op::add, "x", {"x", "b"}));
}

}  // namespace

BlockSpec pre_norm_layer(std::string block_name, Tower tower, Space residual, const std::string& prefix,
                         const LayerNames& names, const LayerShape& shape) {
  BlockSpec block;
  block.name = std::move(block_name);
  block.tower = tower;
  block.on_tokens = tower == Tower::decoder;
  block.attention = shape.attention;
  add_attention(block, residual, prefix, names, shape);
  add_mlp(block, residual, prefix, names, shape);
  block.keeps = {"x"};
  return block;
}

BlockSpec embed_block(const std::string& table, std::int64_t vocabulary, std::int64_t width) {
  BlockSpec block;
  block.name = "embed";
  block.quantizable = false;
  block.params.push_back({"table", stored(table), {vocabulary, width}, Space::decoder});
  block.steps = {call(Op::embed, "x", {}, "table"), call(Op::place_visual, "x", {"x", "visual"})};
  block.keeps = {"x"};
  return block;
}

BlockSpec head_block(const std::string& norm, const std::string& head, const std::string& tied_to,
                     std::int64_t vocabulary, std::int64_t width, double eps) {
  BlockSpec block;
  block.name = "head";
  block.norms.push_back(norm_at("norm", norm, NormKind::rms, width, eps, Space::decoder));
  block.linears.push_back(
      linear_at("head", head, vocabulary, width, false, {Space::decoder, Space::none, "norm"}));
  block.linears[0].weight.otherwise = tied_to;
  block.steps = {call(Op::norm, "n", {"x"}, "norm"), call(Op::linear, "logits", {"n"}, "head")};
  block.keeps = {"logits"};
  return block;
}

BlockSpec patch_embed_block(const std::string& name, std::vector<std::int64_t> kernel_shape, bool bias) {
  BlockSpec block;
  block.name = "patch_embed";
  block.tower = Tower::vision;
  block.on_tokens = false;
  require(!kernel_shape.empty(), "a patch embedding needs the shape of its kernel");
  std::int64_t columns = 1;
  for (std::size_t i = 1; i < kernel_shape.size(); ++i) columns *= kernel_shape[i];
  block.linears.push_back(
      linear_at("proj", name, kernel_shape[0], columns, bias, {Space::none, Space::vision, ""}));
  block.linears[0].weight.stored_shape = std::move(kernel_shape);
  block.steps = {call(Op::linear, "x", {"pixels"}, "proj")};
  block.keeps = {"x"};
  return block;
}

}  // namespace mquant
