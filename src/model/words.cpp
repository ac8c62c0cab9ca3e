// The words of the description language: common blocks spelled out as tensors, spaces and steps.
#include "mquant/error.h"
#include "mquant/model.h"
#include "support/checked.h"

namespace mquant {

Source stored(const std::string& name, Fused fused, Part part) {
  Source source;
  source.name = name;
  source.fused = fused;
  source.part = part;
  return source;
}

Step step(Op op, std::string out, std::vector<std::string> in, std::string name, std::int64_t count) {
  return {.op = op, .out = std::move(out), .in = std::move(in), .name = std::move(name), .count = count};
}

Step activate(std::string out, std::string in, Activation activation) {
  return {.op = Op::activation, .out = std::move(out), .in = {std::move(in)}, .activation = activation};
}

NormSpec norm_of(std::string role, const std::string& name, NormKind kind, std::int64_t width, double eps,
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

LinearSpec linear_of(std::string role, const std::string& name, std::int64_t out, std::int64_t in, bool bias,
                     const Wiring& wiring) {
  LinearSpec linear{.name = std::move(role),
                    .out = out,
                    .in = in,
                    .weight = stored(name + ".weight", wiring.fused, wiring.part),
                    .bias = {},
                    .reads = wiring.reads,
                    .writes = wiring.writes,
                    .norm = wiring.norm,
                    .rows = wiring.rows};
  if (bias) linear.bias = stored(name + ".bias", wiring.fused, wiring.part);
  return linear;
}

LinearSpec basis_of(std::string role, const std::string& name, std::int64_t width, const Wiring& wiring) {
  LinearSpec linear = linear_of(std::move(role), name, width, width, false, wiring);
  linear.weight.identity = true;
  linear.stays_float = true;
  return linear;
}

namespace {

/// One set of linears of a layer.
struct Branch {
  const LayerNames& names;
  const LayerShape& shape;
  RowSet rows = RowSet::all;

  /// "q", or "visual_q" where there are two sets.
  std::string role(const std::string& name) const {
    return rows == RowSet::all ? name : (rows == RowSet::visual ? "visual_" : "text_") + name;
  }
};

/// Builds a layer half by half; the stream is register "x".
class LayerWords {
 public:
  LayerWords(BlockSpec& block, Space residual, std::string prefix, std::vector<Branch> branches)
      : block_(block), residual_(residual), prefix_(std::move(prefix)), branches_(std::move(branches)) {}

  void attention() {
    const std::string in = norm_before("norm1", names().norm1);
    for (const Branch& branch : branches_) heads_of(branch, rows_for(branch, in), norm_role("norm1"));
    for (const char* part : {"q", "k", "v"}) join(part);
    head_norm("q", names().q_norm);
    head_norm("k", names().k_norm);
    add(step(Op::attention, "a", {"q", "k", "v"}));
    for (const Branch& branch : branches_) {
      const LayerShape& s = branch.shape;
      linear(branch, "o", branch.names.o, s.width, checked_product({s.attention.heads, s.attention.head_dim}),
             s.o_bias, rows_for(branch, "a"), {.reads = Space::value, .writes = stream_side(names().post1)},
             names().scale1);
    }
    sum("o", "post1", names().post1);
  }

  void mlp() {
    const std::string in = norm_before("norm2", names().norm2);
    for (const Branch& branch : branches_) mlp_of(branch, rows_for(branch, in), norm_role("norm2"));
    sum("down", "post2", names().post2);
  }

 private:
  const LayerNames& names() const { return branches_.back().names; }
  const LayerShape& shape() const { return branches_.back().shape; }
  void add(Step next) { block_.steps.push_back(std::move(next)); }

  std::string norm_role(const std::string& role) const {
    return (role == "norm1" ? names().norm1 : names().norm2).empty() ? "" : role;
  }
  /// A branch that ends in a norm writes no stream: the norm stands between.
  Space stream_side(const std::string& post) const { return post.empty() ? residual_ : Space::none; }

  void norm(const std::string& role, const std::string& name, std::int64_t width, Space space) {
    block_.norms.push_back(norm_of(role, prefix_ + name, shape().norm, width, shape().eps, space));
    block_.norms.back().one_plus = shape().one_plus;
  }

  /// The register that a half's linears read.
  std::string norm_before(const std::string& role, const std::string& name) {
    if (name.empty()) return "x";
    norm(role, name, shape().width, residual_);
    add(step(Op::norm, "n", {"x"}, role));
    return "n";
  }

  std::string rows_for(const Branch& branch, const std::string& in) {
    if (branch.rows == RowSet::all) return in;
    Step take = step(Op::take, branch.role(in), {in});
    take.rows = branch.rows;
    add(take);
    return take.out;
  }

  void join(const std::string& name) {
    if (branches_.size() > 1) add(step(Op::join, name, {branches_[0].role(name), branches_[1].role(name)}));
  }

  void linear(const Branch& branch, const std::string& role, const std::string& name, std::int64_t out,
              std::int64_t in, bool bias, const std::string& input, Wiring wiring,
              const std::string& row_scale = {}) {
    wiring.rows = branch.rows;
    block_.linears.push_back(linear_of(branch.role(role), prefix_ + name, out, in, bias, wiring));
    if (!row_scale.empty()) {
      block_.linears.back().weight.row_scale = prefix_ + row_scale;
      if (bias) block_.linears.back().bias.row_scale = prefix_ + row_scale;
    }
    add(step(Op::linear, branch.role(role), {input}, branch.role(role)));
  }

  void heads_of(const Branch& branch, const std::string& in, const std::string& norm_name) {
    const LayerNames& n = branch.names;
    const LayerShape& s = branch.shape;
    const AttentionSpec& a = s.attention;
    const bool fused = n.fused != Fused::none;
    const auto head = [&](const std::string& role, const std::string& own, Part part, std::int64_t count,
                          Space writes) {
      linear(branch, role, fused ? n.q : own, checked_product({count, a.head_dim}), s.width, s.qkv_bias, in,
             {residual_, writes, norm_name, n.fused, fused ? part : Part::whole});
    };
    head("q", n.q, Part::q, a.heads, Space::none);
    head("k", n.k, Part::k, a.kv_heads, Space::none);
    head("v", n.v, Part::v, a.kv_heads, Space::value);
  }

  void head_norm(const std::string& reg, const std::string& name) {
    if (name.empty()) return;
    const LayerShape& s = shape();
    block_.norms.push_back(norm_of(reg + "_norm", prefix_ + name, NormKind::rms,
                                   s.qk_norm_width > 0 ? s.qk_norm_width : s.attention.head_dim,
                                   s.qk_norm_eps > 0 ? s.qk_norm_eps : s.eps, Space::none));
    block_.norms.back().one_plus = s.one_plus;
    add(step(Op::norm, reg, {reg}, reg + "_norm"));
  }

  void mlp_of(const Branch& branch, const std::string& in, const std::string& norm_name) {
    const LayerNames& n = branch.names;
    const LayerShape& s = branch.shape;
    const bool gated = !n.gate.empty(), fused = n.fused_mlp != Fused::none;
    const auto reader = [&](const std::string& role, const std::string& name, Part part) {
      linear(branch, role, name, s.mlp_width, s.width, s.mlp_bias, in,
             {residual_, Space::none, norm_name, n.fused_mlp, fused ? part : Part::whole});
    };
    if (gated) reader("gate", n.gate, Part::gate);
    reader("up", fused ? n.gate : n.up, Part::up);
    const std::string h = branch.role("h");
    add(activate(h, branch.role(gated ? "gate" : "up"), s.activation));
    if (gated) add(step(Op::multiply, h, {h, branch.role("up")}));
    linear(branch, "down", n.down, s.width, s.mlp_width, s.mlp_bias, h,
           {.reads = Space::hidden, .writes = stream_side(names().post2)}, names().scale2);
  }

  /// x += post(branch)
  void sum(const std::string& reg, const std::string& role, const std::string& post) {
    join(reg);
    if (!post.empty()) {
      norm(role, post, shape().width, Space::none);
      add(step(Op::norm, reg, {reg}, role));
    }
    add(step(Op::add, "x", {"x", reg}));
  }

  BlockSpec& block_;
  Space residual_;
  std::string prefix_;
  std::vector<Branch> branches_;
};

}  // namespace

BlockSpec transformer_layer(std::string block_name, Tower tower, Space residual, const std::string& prefix,
                            const LayerNames& names, const LayerShape& shape) {
  BlockSpec block;
  block.name = std::move(block_name);
  block.tower = tower;
  block.on_tokens = tower == Tower::decoder;
  block.attention = shape.attention;
  LayerWords words(block, residual, prefix, {{names, shape}});
  words.attention();
  words.mlp();
  block.keeps = {"x"};
  return block;
}

BlockSpec expert_layer(std::string block_name, const std::string& prefix, const LayerNames& visual,
                       const LayerNames& others, const LayerShape& visual_shape, const LayerShape& shape) {
  BlockSpec block;
  block.name = std::move(block_name);
  block.attention = shape.attention;
  LayerWords words(block, Space::decoder, prefix,
                   {{visual, visual_shape, RowSet::visual}, {others, shape, RowSet::others}});
  words.attention();
  words.mlp();
  block.keeps = {"x"};
  return block;
}

BlockSpec embed_block(const std::string& table, std::int64_t vocabulary, std::int64_t width, double factor) {
  BlockSpec block;
  block.name = "embed";
  block.quantizable = false;
  block.params.push_back(
      {.name = "table", .source = stored(table), .shape = {vocabulary, width}, .space = Space::decoder});
  block.steps = {step(Op::embed, "x", {}, "table")};
  if (factor != 1) {
    block.steps.push_back(step(Op::scale, "x", {"x"}));
    block.steps.back().factor = factor;
  }
  block.steps.push_back(step(Op::place_visual, "x", {"x", "visual"}));
  block.keeps = {"x"};
  return block;
}

BlockSpec head_block(const std::string& norm, const std::string& head, const std::string& tied_to,
                     std::int64_t vocabulary, std::int64_t width, double eps, bool one_plus) {
  BlockSpec block;
  block.name = "head";
  block.norms.push_back(norm_of("norm", norm, NormKind::rms, width, eps, Space::decoder));
  block.norms[0].one_plus = one_plus;
  block.linears.push_back(
      linear_of("head", head, vocabulary, width, false, {Space::decoder, Space::none, "norm"}));
  block.linears[0].weight.otherwise = tied_to;
  block.steps = {step(Op::norm, "n", {"x"}, "norm"), step(Op::linear, "logits", {"n"}, "head")};
  block.keeps = {"logits"};
  return block;
}

BlockSpec patch_embed_block(const std::string& name, std::vector<std::int64_t> kernel_shape, bool bias) {
  BlockSpec block;
  block.name = "patch_embed";
  block.tower = Tower::vision;
  block.on_tokens = false;
  require(!kernel_shape.empty(), "a patch embedding needs the shape of its kernel");
  const std::int64_t columns = checked_product(std::span(kernel_shape).subspan(1));
  block.linears.push_back(
      linear_of("proj", name, kernel_shape[0], columns, bias, {Space::none, Space::vision}));
  block.linears[0].weight.stored_shape = std::move(kernel_shape);
  block.steps = {step(Op::linear, "x", {"pixels"}, "proj")};
  block.keeps = {"x"};
  return block;
}

}  // namespace mquant
