#include "tests/support/tiny_model.h"

#include <cmath>
#include <map>
#include <numbers>

#include "io/safetensors.h"
#include "support/rng.h"

namespace mquant::test {
namespace {

constexpr std::int64_t kVision = 20, kVisionMlp = 40, kDecoder = 24, kDecoderMlp = 48, kVocabulary = 50;
constexpr std::int64_t kSide = 4, kPatches = kSide * kSide, kPatchValues = 3 * 2 * 2, kMerge = 4;

ModelSpec describe() {
  ModelSpec model;
  model.family = "tiny";
  model.vision_width = kVision;
  model.decoder_width = kDecoder;
  model.vocabulary = kVocabulary;
  model.tied_key = "tie_word_embeddings";

  BlockSpec patches = patch_embed_block("vision.conv", {kVision, 3, 2, 2}, true);
  patches.params = {
      {.name = "class", .source = {.name = "vision.class"}, .shape = {1, kVision}, .space = Space::vision},
      {.name = "positions",
       .source = {.name = "vision.positions"},
       .shape = {kPatches + 1, kVision},
       .space = Space::vision}};
  patches.steps.push_back(step(Op::prepend, "x", {"x"}, "class"));
  patches.steps.push_back(step(Op::add_table, "x", {"x"}, "positions", 1));
  model.blocks.push_back(patches);

  const LayerNames fused{.norm1 = "ln1",
                         .q = "qkv",
                         .o = "proj",
                         .norm2 = "ln2",
                         .up = "fc1",
                         .down = "fc2",
                         .fused = Fused::per_head};
  const LayerShape vision{
      .width = kVision,
      .mlp_width = kVisionMlp,
      .attention = {.heads = 5, .kv_heads = 5, .head_dim = 4, .scale = 0.5, .sees = Sees::picture},
      .norm = NormKind::layer,
      .eps = 1e-5,
      .activation = Activation::gelu,
      .qkv_bias = true,
      .o_bias = true,
      .mlp_bias = true};
  for (int i = 0; i < 2; ++i)
    model.blocks.push_back(transformer_layer("vision." + std::to_string(i), Tower::vision, Space::vision,
                                             "vision." + std::to_string(i) + ".", fused, vision));

  BlockSpec projector;
  projector.name = "projector";
  projector.tower = Tower::projector;
  projector.on_tokens = false;
  projector.norms = {{.name = "norm",
                      .kind = NormKind::layer,
                      .width = kVision,
                      .eps = 1e-5,
                      .weight = {.name = "projector.norm.weight"},
                      .bias = {.name = "projector.norm.bias"},
                      .space = Space::vision}};
  const std::int64_t wide = kVision * kMerge;
  projector.linears = {{"fc1",
                        wide,
                        wide,
                        {.name = "projector.fc1.weight"},
                        {.name = "projector.fc1.bias"},
                        Space::vision,
                        Space::none,
                        "norm"},
                       {"fc2",
                        kDecoder,
                        wide,
                        {.name = "projector.fc2.weight"},
                        {.name = "projector.fc2.bias"},
                        Space::hidden,
                        Space::decoder,
                        ""}};
  Step act = step(Op::activation, "h", {"h"});
  act.activation = Activation::gelu_tanh;
  projector.steps = {step(Op::drop_first, "x", {"x"}, "", 1),
                     step(Op::norm, "n", {"x"}, "norm"),
                     step(Op::merge_rows, "m", {"n"}, "", kMerge),
                     step(Op::linear, "h", {"m"}, "fc1"),
                     act,
                     step(Op::linear, "visual", {"h"}, "fc2")};
  projector.keeps = {"visual"};
  model.blocks.push_back(projector);

  model.blocks.push_back(embed_block("embed", kVocabulary, kDecoder));
  const LayerNames split{.norm1 = "norm1",
                         .q = "q",
                         .k = "k",
                         .v = "v",
                         .o = "o",
                         .norm2 = "norm2",
                         .gate = "gate",
                         .up = "up",
                         .down = "down"};
  const LayerShape decoder{.width = kDecoder,
                           .mlp_width = kDecoderMlp,
                           .attention = {.heads = 6,
                                         .kv_heads = 2,
                                         .head_dim = 4,
                                         .scale = 0.5,
                                         .rope = {.pairs = RopePairs::halves,
                                                  .axes = RopeAxes::sections,
                                                  .base = 100,
                                                  .dims = 4,
                                                  .sections = {1, 1, 0}}},
                           .qkv_bias = true,
                           .mlp_bias = true};
  for (int i = 0; i < 2; ++i)
    model.blocks.push_back(transformer_layer("decoder." + std::to_string(i), Tower::decoder, Space::decoder,
                                             "decoder." + std::to_string(i) + ".", split, decoder));
  model.blocks.push_back(head_block("norm", "head", "embed", kVocabulary, kDecoder, 1e-6));
  return model;
}

/// A number of about unit spread: the sum of four uniform ones.
float spread(Rng& rng) {
  double sum = -2;
  for (int i = 0; i < 4; ++i) sum += rng.uniform();
  return static_cast<float>(sum * std::numbers::sqrt3);
}

using Weights = std::map<std::string, std::pair<std::vector<std::int64_t>, std::vector<float>>>;

void add(Weights& weights, Rng& rng, const std::string& name, const std::vector<std::int64_t>& shape,
         float mean, float deviation) {
  std::int64_t n = 1;
  for (const std::int64_t s : shape) n *= s;
  auto& [stored_shape, values] = weights[name];
  if (!values.empty()) return;  // a part of a fused tensor that is there already
  stored_shape = shape;
  for (std::int64_t i = 0; i < n; ++i) values.push_back(mean + deviation * spread(rng));
}

Weights random_weights(const ModelSpec& spec) {
  Rng rng(1);
  Weights weights;
  for (const BlockSpec& block : spec.blocks) {
    for (const LinearSpec& linear : block.linears) {
      if (!linear.weight.otherwise.empty()) continue;  // tied
      const std::int64_t rows =
          linear.weight.fused == Fused::none
              ? linear.out
              : (block.attention.heads + 2 * block.attention.kv_heads) * block.attention.head_dim;
      const auto shape =
          linear.weight.stored_shape.empty() ? std::vector{rows, linear.in} : linear.weight.stored_shape;
      add(weights, rng, linear.weight.name, shape, 0.02F, 0.8F / std::sqrt(static_cast<float>(linear.in)));
      if (linear.bias) add(weights, rng, linear.bias.name, {rows}, 0.1F, 0.2F);
    }
    for (const NormSpec& norm : block.norms) {
      add(weights, rng, norm.weight.name, {norm.width}, 1.0F, 0.3F);
      if (norm.bias) add(weights, rng, norm.bias.name, {norm.width}, 0.1F, 0.2F);
    }
    for (const ParamSpec& param : block.params) add(weights, rng, param.source.name, param.shape, 0.3F, 1.0F);
  }
  return weights;
}

}  // namespace

std::unique_ptr<TinyModel> tiny_model() {
  auto directory = std::make_unique<TempDir>();
  ModelSpec spec = describe();
  const Weights weights = random_weights(spec);
  std::map<std::string, TensorView> views;
  for (const auto& [name, tensor] : weights)
    views[name] = {DType::f32, tensor.first, std::as_bytes(std::span(tensor.second))};
  write_safetensors(*directory / "model.safetensors", views);
  Checkpoint checkpoint = Checkpoint::open(directory->path());
  return std::unique_ptr<TinyModel>(
      new TinyModel{std::move(directory), std::move(spec), std::move(checkpoint)});
}

Features tiny_features(const ModelSpec& spec, const std::string& layout, std::uint64_t seed) {
  Rng rng(seed);
  Features f;
  f.position_axes = 3;
  f.pixel_columns = kPatchValues;
  std::int64_t position = 0, picture = 0;
  const auto token = [&](std::int64_t of_picture, std::array<std::int64_t, 3> at) {
    f.input_ids.push_back(
        static_cast<std::int64_t>(rng.next() % static_cast<std::uint64_t>(spec.vocabulary)));
    f.token_class.push_back(of_picture < 0 ? TokenClass::text : TokenClass::visual);
    f.picture.push_back(of_picture);
    f.positions.push_back(at);
  };
  for (const char c : layout) {
    if (c == 't') {
      token(-1, {position, position, position});
      ++position;
      continue;
    }
    for (std::int64_t i = 0; i < kPatches / kMerge; ++i)
      token(picture, {position, position + i / 2, position + i % 2});
    for (std::int64_t i = 0; i < kPatches; ++i) f.patches.push_back({i / kSide, i % kSide});
    for (std::int64_t i = 0; i < kPatches * kPatchValues; ++i) f.pixels.push_back(spread(rng));
    f.grids.push_back({1, kSide, kSide});
    position += 2;
    ++picture;
  }
  f.next_position = position;
  return f;
}

at::Tensor run_model(const std::vector<Block>& blocks, const Features& features, at::ScalarType dtype,
                     bool reorder) {
  SampleState state = start(features, dtype);
  for (const Block& block : blocks) {
    if (!takes_part(block.spec(), features)) continue;
    if (block.spec().name == "head") restore_order(state);
    run_block(block, state);
    if (block.spec().name == "embed" && reorder) order_tokens(state);
  }
  return state.registers.at("logits");
}

double relative_difference(const at::Tensor& found, const at::Tensor& expected) {
  return ((found - expected).abs().max() / expected.abs().max()).item<double>();
}

}  // namespace mquant::test
