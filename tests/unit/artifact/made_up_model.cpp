#include "tests/unit/artifact/made_up_model.h"

#include <cmath>

#include "artifact/matrices.h"
#include "artifact/tensor_data.h"
#include "io/convert.h"
#include "io/sharded_writer.h"
#include "mquant/error.h"
#include "support/rng.h"
#include "support/sha256.h"
#include "tests/support/files.h"

namespace mquant::test {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t kVision = 8, kDecoder = 16, kWords = 24;

LayerShape vision_shape() {
  return {.width = kVision,
          .mlp_width = 12,
          .attention = {.heads = 2, .kv_heads = 2, .head_dim = 4, .rope = {}},
          .norm = NormKind::layer,
          .qkv_bias = true,
          .o_bias = true,
          .mlp_bias = true};
}

LayerShape decoder_shape() {
  return {.width = kDecoder,
          .mlp_width = 20,
          .attention = {.heads = 4, .kv_heads = 2, .head_dim = 4, .rope = {}},
          .qkv_bias = true};
}

BlockSpec projector() {
  BlockSpec block;
  block.name = "projector";
  block.tower = Tower::projector;
  NormSpec norm{.name = "norm",
                .width = kVision,
                .weight = {.name = "visual.ln.weight"},
                .bias = {.name = "visual.ln.bias"}};
  LinearSpec proj{.name = "proj",
                  .out = kDecoder,
                  .in = kVision,
                  .weight = {.name = "visual.proj"},
                  .bias = {},
                  .norm = "norm"};
  proj.weight.transposed = true;
  block.norms = {norm};
  block.linears = {proj};
  block.params = {{"query", {.name = "visual.query"}, {1, 2, kVision}, Space::none}};
  return block;
}

std::vector<float> numbers(Rng& rng, std::int64_t count, double scale) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = bfloat16_round(static_cast<float>((rng.uniform() - 0.5) * scale));
  return values;
}

TensorData random_tensor(Rng& rng, std::vector<std::int64_t> shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return float_tensor(numbers(rng, count, 2), std::move(shape), DType::bf16);
}

std::vector<float> scales(Rng& rng, std::int64_t count) {
  std::vector<float> values = numbers(rng, count, 0.125);
  for (float& value : values) value = bfloat16_round(std::abs(value) + 0.01F);
  return values;
}

std::vector<std::int8_t> codes(Rng& rng, std::int64_t count, int bits) {
  const int least = bits == 4 ? -8 : -127, most = bits == 4 ? 7 : 127;
  std::vector<std::int8_t> values(static_cast<std::size_t>(count));
  for (std::int8_t& value : values)
    value = static_cast<std::int8_t>(least +
                                     static_cast<int>(rng.next() % static_cast<unsigned>(most - least + 1)));
  return values;
}

/// Linears that share an input share its scales; of the vision tower only one class has been seen.
ClassScales class_scales(const BlockSpec& spec, const LinearSpec& linear, std::uint64_t seed) {
  Rng rng(seed, cat(spec.name, "/", linear.norm.empty() ? linear.name : linear.norm));
  ClassScales made;
  made.scale[1] = static_cast<float>(rng.uniform() + 0.01);
  if (spec.tower == Tower::decoder) made.scale[0] = static_cast<float>(rng.uniform() * 0.1 + 0.001);
  return made;
}

void add_split(Rng& rng, QuantizedLinear& q, bool quantized) {
  q.split.channels = {0, 3};
  q.split.quantized = quantized;
  if (!quantized) {
    q.split.values = numbers(rng, 2 * q.out, 1);
    return;
  }
  q.split.codes = codes(rng, 2 * q.out, 8);
  q.split.weight_scale = scales(rng, 2);
  if (q.scheme.activation_bits == 16) return;
  q.split.input_scales = {q.input_scales, q.input_scales};
  q.split.input_scales[1].scale[1] = std::nullopt;
}

StoredLinear made_up_linear(const BlockSpec& spec, const LinearSpec& linear, Contents contents,
                            std::uint64_t seed) {
  Rng rng(seed, cat(spec.name, ".", linear.name));
  StoredLinear made;
  const bool all = contents == Contents::all;
  const bool is_float =
      spec.name == "head" || spec.name == "projector" || (spec.name == "patch_embed" && !all);
  if (linear.bias) made.bias = random_tensor(rng, {linear.out});
  if (is_float) {
    made.weight = random_tensor(rng, {linear.out, linear.in});
    return made;
  }
  QuantizedLinear& q = made.quantized.emplace();
  q.out = linear.out;
  q.in = linear.in;
  q.scheme = spec.tower == Tower::vision ? QuantScheme{8, 8} : QuantScheme{4, 8};
  if (all && spec.name == "vision.1" && linear.name == "o") q.scheme = {16, 8};
  const bool float_inputs = all && spec.name == "decoder.0" && linear.name == "o";
  if (float_inputs) q.scheme = {4, 16};
  if (!float_inputs) q.input_scales = class_scales(spec, linear, seed);
  if (q.scheme.weight_bits == 16) {
    made.weight = random_tensor(rng, {linear.out, linear.in});
  } else {
    q.codes = codes(rng, q.out * q.in, q.scheme.weight_bits);
    q.weight_scale = scales(rng, q.out);
  }
  if (float_inputs) add_split(rng, q, true);
  if (all && linear.name == "down") {
    made.rotation = {
        q.in, spec.name == "vision.0" ? q.in : 4,
        spec.name == "decoder.0" ? std::vector<std::int8_t>{} : rng.signs(static_cast<std::size_t>(q.in))};
    add_split(rng, q, spec.name != "decoder.1");
  }
  return made;
}

void write_source(const fs::path& directory, const ModelSpec& model) {
  fs::create_directories(directory);
  Rng rng(7);
  const auto name_of = [](std::string name) {
    return name.starts_with("model.") ? "language." + name : name;
  };
  const OfficialNames names(model, [](const std::string& name) { return !name.starts_with("model."); });
  ShardedWriter writer(directory, 2000);
  const auto add = [&](const std::string& name, std::vector<std::int64_t> shape) {
    writer.add(name, view_of(random_tensor(rng, std::move(shape))));
  };
  for (const BlockSpec& block : model.blocks) {
    for (const Matrix& matrix : matrices_of(block, names)) {
      if (block.name == "head") continue;  // tied
      add(matrix.tensor, !matrix.stored_shape.empty() ? matrix.stored_shape
                         : matrix.transposed          ? std::vector{matrix.in, matrix.out}
                                                      : std::vector{matrix.out, matrix.in});
      if (matrix.describes_bias) add(matrix.bias, {matrix.out});
    }
    for (const NormSpec& norm : block.norms) {
      add(name_of(norm.weight.name), {norm.width});
      if (norm.bias) add(name_of(norm.bias.name), {norm.width});
    }
    for (const ParamSpec& param : block.params) add(name_of(param.source.name), param.shape);
  }
  add("visual.unused.inv_freq", {3});
  writer.finish();
  write_text(
      directory / "config.json",
      R"({"zebra": 1e-06, "model_type": "made_up", "tie_word_embeddings": true, "text_config": {"tie_word_embeddings": true}, "apple": [1]})");
  write_text(directory / "tokenizer.json", "{\"words\": 24}\n");
  write_text(directory / "modeling_made_up.py", "# code\n");
  write_text(directory / ".gitattributes", "hidden\n");
}

CalibrationStore calibrate(const fs::path& directory, const fs::path& source, const ModelSpec& model,
                           Contents contents) {
  CalibrationStore store = CalibrationStore::create(directory, made_up_identity(source));
  for (const BlockSpec& block : model.blocks) store.add(made_up_block(block, contents));
  store.finish("{}\n");
  return CalibrationStore::open(directory);
}

}  // namespace

ModelSpec made_up_model() {
  ModelSpec model;
  model.family = "made_up";
  model.renames = {{"model.", "language.model."}, {"visual.", "model.visual."}};
  model.tied_key = "tie_word_embeddings";
  const LayerNames vision{.norm1 = "norm1",
                          .q = "attn.qkv",
                          .o = "attn.proj",
                          .norm2 = "norm2",
                          .up = "mlp.fc1",
                          .down = "mlp.fc2",
                          .fused = Fused::per_head};
  LayerNames chunks = vision;
  chunks.fused = Fused::chunks;
  const LayerNames grouped{.norm1 = "norm1",
                           .q = "attention.wqkv",
                           .o = "attention.wo",
                           .norm2 = "norm2",
                           .gate = "mlp.gate_up",
                           .down = "mlp.down_proj",
                           .fused = Fused::per_group,
                           .fused_mlp = Fused::chunks};
  const LayerNames plain{.norm1 = "norm1",
                         .q = "attn.q_proj",
                         .k = "attn.k_proj",
                         .v = "attn.v_proj",
                         .o = "attn.o_proj",
                         .norm2 = "norm2",
                         .gate = "mlp.gate_proj",
                         .up = "mlp.up_proj",
                         .down = "mlp.down_proj"};
  model.blocks.push_back(patch_embed_block("visual.patch_embed", {kVision, 3, 2, 2}, true));
  model.blocks.push_back(transformer_layer("vision.0", Tower::vision, Space::vision, "visual.blocks.0.",
                                           vision, vision_shape()));
  model.blocks.push_back(transformer_layer("vision.1", Tower::vision, Space::vision, "visual.blocks.1.",
                                           chunks, vision_shape()));
  model.blocks.push_back(projector());
  model.blocks.push_back(embed_block("model.embed_tokens.weight", kWords, kDecoder));
  model.blocks.push_back(transformer_layer("decoder.0", Tower::decoder, Space::decoder, "model.layers.0.",
                                           grouped, decoder_shape()));
  model.blocks.push_back(transformer_layer("decoder.1", Tower::decoder, Space::decoder, "model.layers.1.",
                                           plain, decoder_shape()));
  model.blocks.push_back(
      head_block("model.norm", "lm_head", "model.embed_tokens.weight", kWords, kDecoder, 1e-6));
  return model;
}

StoredLinear made_up_embedding(const ParamSpec& param, std::uint64_t seed) {
  Rng rng(seed, param.name);
  StoredLinear table;
  QuantizedLinear& q = table.quantized.emplace();
  q.out = param.shape[0];
  q.in = param.shape[1];
  q.scheme = {8, 16};
  q.codes = codes(rng, q.out * q.in, 8);
  q.weight_scale = scales(rng, q.out);
  return table;
}

StoredBlock made_up_block(const BlockSpec& spec, Contents contents, std::uint64_t seed) {
  Rng rng(seed, spec.name);
  StoredBlock block;
  block.name = spec.name;
  for (const LinearSpec& linear : spec.linears) {
    block.linears[linear.name] = made_up_linear(spec, linear, contents, seed);
    if (block.linears[linear.name].quantized)
      block.figures[linear.name] = {{"output_sqnr_db", rng.uniform() * 40}, {"exact", HUGE_VAL}};
  }
  for (const NormSpec& norm : spec.norms) {
    StoredNorm& made = block.norms[norm.name];
    made.kind = contents == Contents::all ? NormKind::rms : norm.kind;
    made.eps = norm.eps;
    if (norm.name == "norm2") continue;  // folded
    made.scale = random_tensor(rng, {norm.width});
    if (made.kind == NormKind::layer) made.shift = random_tensor(rng, {norm.width});
  }
  for (const ParamSpec& param : spec.params) {
    if (contents == Contents::all && spec.name == "embed") {
      block.embeddings[param.name] = made_up_embedding(param, seed);
      block.figures[param.name] = {{"weight_sqnr_db", rng.uniform() * 40}};
    } else {
      block.params[param.name] = random_tensor(rng, param.shape);
    }
  }
  if (spec.has_kv_cache()) {  // keys by channel, values by head
    block.kv_scales = {spec.attention.kv_heads, spec.attention.head_dim, {}, {}};
    const auto fill = [&](std::vector<float>& scales, std::int64_t n) {
      while (std::ssize(scales) < n) scales.push_back(static_cast<float>(0.001 + rng.uniform()));
    };
    fill(block.kv_scales->keys, spec.attention.kv_heads * spec.attention.head_dim);
    fill(block.kv_scales->values, spec.attention.kv_heads);
  }
  return block;
}

RunIdentity made_up_identity(const fs::path& source) {
  RunIdentity identity;
  identity.tool_version = "0.1.0";
  identity.libraries = {{"libtorch", "2.13.0"}};
  identity.model = source;
  if (fs::exists(source / "config.json"))
    identity.source.opened["config.json"] = sha256_file(source / "config.json");
  identity.family = "made_up";
  identity.data_file = "calib.jsonl";
  identity.data_digest = sha256_hex("all");
  identity.sample_digests = {sha256_hex("1"), sha256_hex("2")};
  identity.samples = 2;
  identity.tokens = {{"text", 40}, {"visual", 60}};
  identity.recipe = R"({"passes": [{"pass": "round", "damping": 0.01}], "calibration": {"samples": 2}})";
  identity.seed = 42;
  return identity;
}

MadeUp::MadeUp(Contents contents)
    : model_(made_up_model()),
      contents_(contents),
      source_((write_source(directory_ / "source", model_), Checkpoint::open(directory_ / "source"))),
      calibration_(calibrate(directory_ / "calibration", directory_ / "source", model_, contents)) {}

ExportInput MadeUp::input() const {
  return {&calibration_, &model_, &source_, "", R"({"order": "visual, then text"})", 3000};
}

StoredBlock MadeUp::block(const std::string& name) const {
  for (const BlockSpec& spec : model_.blocks)
    if (spec.name == name) return made_up_block(spec, contents_);
  fail(ErrorKind::internal, "no block ", name);
}

namespace {

bool equal(const TensorData& a, const TensorData& b) {
  return a.dtype == b.dtype && a.shape == b.shape && a.bytes == b.bytes;
}
bool equal(const TensorData& a, const TensorData& b, bool may_be_empty) {
  return may_be_empty && !a && !b ? true : equal(a, b);
}

bool equal(const SplitColumns& a, const SplitColumns& b) {
  if (a.input_scales.size() != b.input_scales.size()) return false;
  for (std::size_t i = 0; i < a.input_scales.size(); ++i)
    if (a.input_scales[i].scale != b.input_scales[i].scale) return false;
  return a.channels == b.channels && a.quantized == b.quantized && a.codes == b.codes &&
         a.weight_scale == b.weight_scale && a.values == b.values;
}

std::string difference(const StoredLinear& a, const StoredLinear& b) {
  if (!equal(a.weight, b.weight, true)) return "weight";
  if (!equal(a.bias, b.bias, true)) return "bias";
  if (a.rotation.size != b.rotation.size || a.rotation.block != b.rotation.block ||
      a.rotation.signs != b.rotation.signs)
    return "rotation";
  if (a.quantized.has_value() != b.quantized.has_value()) return "quantized";
  if (!a.quantized) return {};
  const QuantizedLinear &p = *a.quantized, &q = *b.quantized;
  if (p.out != q.out || p.in != q.in || p.scheme.name() != q.scheme.name()) return "scheme";
  if (p.codes != q.codes) return "codes";
  if (p.weight_scale != q.weight_scale) return "weight_scale";
  if (p.input_scales.scale != q.input_scales.scale) return "input_scales";
  return equal(p.split, q.split) ? "" : "split";
}

}  // namespace

std::string difference(const StoredBlock& a, const StoredBlock& b) {
  if (a.name != b.name) return "name";
  if (a.linears.size() != b.linears.size() || a.norms.size() != b.norms.size() ||
      a.params.size() != b.params.size() || a.embeddings.size() != b.embeddings.size())
    return "parts";
  for (const auto& [name, linear] : a.linears) {
    if (!b.linears.contains(name)) return name;
    if (const std::string what = difference(linear, b.linears.at(name)); !what.empty())
      return cat(name, ": ", what);
  }
  for (const auto& [name, norm] : a.norms) {
    if (!b.norms.contains(name)) return name;
    const StoredNorm& other = b.norms.at(name);
    if (norm.kind != other.kind || norm.eps != other.eps) return cat(name, ": kind or eps");
    if (!equal(norm.scale, other.scale, true) || !equal(norm.shift, other.shift, true))
      return cat(name, ": tensors");
  }
  for (const auto& [name, param] : a.params)
    if (!b.params.contains(name) || !equal(param, b.params.at(name))) return name;
  for (const auto& [name, table] : a.embeddings) {
    if (!b.embeddings.contains(name)) return name;
    if (const std::string what = difference(table, b.embeddings.at(name)); !what.empty())
      return cat(name, ": ", what);
  }
  if (a.kv_scales.has_value() != b.kv_scales.has_value()) return "kv_scales";
  if (a.kv_scales &&
      (a.kv_scales->kv_heads != b.kv_scales->kv_heads || a.kv_scales->head_dim != b.kv_scales->head_dim ||
       a.kv_scales->keys != b.kv_scales->keys || a.kv_scales->values != b.kv_scales->values))
    return "kv_scales";
  return a.figures == b.figures ? "" : "figures";
}

std::map<std::string, std::string> contents_of(const fs::path& directory) {
  std::map<std::string, std::string> contents;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(directory))
    if (entry.is_regular_file())
      contents[entry.path().lexically_relative(directory).string()] = read_text(entry.path());
  return contents;
}

}  // namespace mquant::test
