// The tensors of a forward pass, under the names by which other programs compare them.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/stack.h>

#include <cmath>

#include "eval/greedy.h"
#include "io/safetensors.h"
#include "mquant/compile.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "nn/tensors.h"
#include "pipeline/source.h"

namespace mquant {
namespace {

/// Tensors by name, and the file of them at the end.
class TensorBag {
 public:
  void put(const std::string& name, const at::Tensor& tensor) {
    const at::Tensor kept = tensor.contiguous();
    tensors_[name] = to_data(kept, dtype_of(kept.scalar_type()));
  }

  std::int64_t write(const std::filesystem::path& path) const {
    std::map<std::string, TensorView> views;
    for (const auto& [name, data] : tensors_) views[name] = {data.dtype, data.shape, data.bytes};
    if (const std::filesystem::path parent = path.parent_path(); !parent.empty())
      std::filesystem::create_directories(parent);
    write_safetensors(path, views);
    return static_cast<std::int64_t>(views.size());
  }

 private:
  std::map<std::string, TensorData> tensors_;
};

at::Tensor positions_of(const Features& features) {
  std::vector<std::int64_t> flat;
  for (int axis = 0; axis < features.position_axes; ++axis)
    for (const auto& position : features.positions) flat.push_back(position[static_cast<std::size_t>(axis)]);
  const at::Tensor positions = index_tensor(flat);
  return features.position_axes == 1 ? positions : positions.view({features.position_axes, -1});
}

/// Rows of one tile, [patches, 3 * patch * patch] in raster order, as a picture [3, height, width].
at::Tensor picture_of(const at::Tensor& rows, const Grid& grid) {
  const auto patch =
      static_cast<std::int64_t>(std::llround(std::sqrt(static_cast<double>(rows.size(1)) / 3)));
  return rows.view({grid.h, grid.w, 3, patch, patch})
      .permute({2, 0, 3, 1, 4})
      .reshape({3, grid.h * patch, grid.w * patch});
}

/// The same as one row of patches, [3, patch, patch * patches].
at::Tensor strip_of(const at::Tensor& rows) {
  const auto patch =
      static_cast<std::int64_t>(std::llround(std::sqrt(static_cast<double>(rows.size(1)) / 3)));
  return rows.view({-1, 3, patch, patch}).permute({1, 2, 0, 3}).reshape({3, patch, -1});
}

/// Pixels as the official code has them.
void put_pixels(const std::string& name, const Features& features, const at::Tensor& rows, TensorBag& bag) {
  if (features.pixel_layout == PixelLayout::rows) return bag.put(name, rows);
  std::vector<at::Tensor> pictures;
  std::int64_t begin = 0;
  for (const Grid& grid : features.grids) {
    const at::Tensor tile = rows.narrow(0, begin, grid.rows());
    begin += grid.rows();
    if (features.pixel_layout == PixelLayout::strips)
      bag.put(cat(name, ".", pictures.size()), strip_of(tile));
    pictures.push_back(picture_of(tile, grid));
  }
  if (features.pixel_layout == PixelLayout::strips) return;
  const at::Tensor all = at::stack(pictures);
  bag.put(name, features.pixel_layout == PixelLayout::batch ? all.unsqueeze(0) : all);
}

void put_inputs(const std::string& id, const Features& features, const SampleState& begin, TensorBag& bag) {
  bag.put(id + "/input_ids", index_tensor(features.input_ids));
  std::vector<std::int64_t> kinds, grids;
  for (const std::int64_t picture : features.picture) kinds.push_back(picture >= 0 ? 1 : 0);
  bag.put(id + "/token_kind", index_tensor(kinds).to(at::kByte));
  bag.put(id + "/position_ids", positions_of(features));
  if (!begin.registers.contains("pixels")) return;
  put_pixels(id + "/pixel_values", features, begin.registers.at("pixels"), bag);
  for (const Grid& grid : features.grids) grids.insert(grids.end(), {grid.t, grid.h, grid.w});
  bag.put(id + "/image_grid_thw", index_tensor(grids).view({-1, 3}));
}

/// Register "x" in the original order of tokens.
at::Tensor in_order(const SampleState& state) {
  SampleState copy = state;
  restore_order(copy);
  return copy.registers.at("x");
}

void forward_one(const LoadedModel& model, const std::string& id, const Features& features,
                 const ForwardOptions& options, TensorBag& bag) {
  put_inputs(id, features, start(features, at::kFloat), bag);
  std::int64_t vision = 0, tokens = 0;
  const auto after = [&](const BlockSpec& spec, const SampleState& state) {
    if (spec.writes("visual"))
      bag.put(id + "/vision_embeds", model.in_checkpoint_basis(state.registers.at("visual"), Space::decoder));
    for (const Step& step : spec.steps)
      if (step.out.starts_with("deepstack."))
        bag.put(cat(id, "/deepstack_embeds.", step.out.substr(10)),
                model.in_checkpoint_basis(state.registers.at(step.out), Space::decoder));
    if (!spec.writes("x") || !state.registers.contains("x")) return;
    if (spec.on_tokens)
      bag.put(cat(id, "/hidden.", tokens++), model.in_checkpoint_basis(in_order(state), Space::decoder));
    else
      bag.put(cat(id, "/vision.hidden.", vision++),
              model.in_checkpoint_basis(state.registers.at("x"), Space::vision));
  };
  std::vector<KvCache> caches;
  if (options.cache) caches = model.make_caches(static_cast<std::int64_t>(features.input_ids.size()));
  bag.put(id + "/logits", model.logits(features, caches, 0, LogitRows::all, after));
  if (options.greedy == 0) return;
  const GreedyOptions greedy_options{.max_new_tokens = options.greedy, .stop = false, .cache = options.cache};
  bag.put(id + "/greedy", index_tensor(greedy(model, features, greedy_options)));
}

}  // namespace

std::int64_t forward(const ForwardOptions& options) {
  const c10::InferenceMode no_gradients;
  apply(options.run);
  const LoadedModel model =
      LoadedModel::open(options.model, options.executor,
                        read_chat_template(options.run.chat_template, options.run.template_date));
  const std::vector<Sample> samples = read_samples(options.data, options.limit);
  TensorBag bag;
  Progress progress("forward", static_cast<std::int64_t>(samples.size()));
  for (const Sample& sample : samples) {
    check_interrupt();
    const Features features = model.features({sample}, WithAnswer::no).front();
    in_context(cat("sample '", sample.id, "'"),
               [&] { forward_one(model, sample.id, features, options, bag); });
    progress.advance(1, sample.id);
  }
  return bag.write(options.output);
}

}  // namespace mquant
