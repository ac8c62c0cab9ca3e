// Spaces, their widths and their rotations.
#include "passes/facts.h"

#include <algorithm>

#include "mquant/error.h"
#include "support/rng.h"

namespace mquant {

bool has_layer_norm(const ModelSpec& model, Space space) {
  for (const BlockSpec& block : model.blocks)
    for (const NormSpec& norm : block.norms)
      if (norm.space == space && norm.kind == NormKind::layer) return true;
  return false;
}

bool is_stream(Space space) {
  return space == Space::vision || space == Space::decoder || space == Space::kv || space == Space::resampled;
}

std::vector<Space> streams_to_rotate(const RotateOptions& options) {
  std::vector<Space> streams;
  if (options.vision) streams = {Space::vision, Space::kv, Space::resampled};
  if (options.decoder) streams.push_back(Space::decoder);
  return streams;
}

bool bakes_means(const ModelSpec& model, const std::set<Space>& rotated, Space space) {
  return space != Space::decoder && rotated.contains(space) && has_layer_norm(model, space) &&
         !exempted(model, "bake-means", space);
}

bool folds_norm(const FoldNormsOptions& options, const std::set<Space>& rotated, const BlockSpec& block,
                std::string_view norm) {
  return options.where == FoldNormsOptions::Where::everywhere ||
         std::ranges::all_of(block.linears, [&](const LinearSpec& linear) {
           return linear.norm != norm || rotated.contains(linear.reads);
         });
}

bool rotates_online(const RotateOnlineOptions& options, const ModelSpec& model, const BlockSpec& block,
                    const LinearSpec& linear) {
  const bool in_tower = block.tower == Tower::vision      ? options.vision
                        : block.tower == Tower::projector ? options.projector
                                                          : options.decoder;
  const bool reads_exempted = is_stream(linear.reads) && exempted(model, "rotate", linear.reads);
  return (linear.reads == Space::hidden && in_tower) || (options.streams && reads_exempted);
}

Tower tower_of(Space space) {
  switch (space) {
    case Space::vision: return Tower::vision;
    case Space::kv:
    case Space::resampled: return Tower::projector;
    default: return Tower::decoder;
  }
}

bool exempted(const ModelSpec& model, std::string_view pass, Space space) {
  if (space == Space::value) return false;
  return std::ranges::any_of(model.exemptions, [&](const Exemption& exemption) {
    return exemption.pass == pass && exemption.tower == tower_of(space);
  });
}

std::int64_t width_of(const ModelSpec& model, const BlockSpec& block, Space space) {
  switch (space) {
    case Space::vision: return model.vision_width;
    case Space::decoder: return model.decoder_width;
    case Space::value: return block.attention.head_dim;
    default: break;
  }
  for (const LinearSpec& linear : block.linears) {
    if (linear.writes == space) return linear.out;
    if (linear.reads == space) return linear.in;
  }
  fail(ErrorKind::internal, "block '", block.name, "' has no space '", space_name(space), "'");
}

bool keeps_means(const ModelSpec& model, Space space) {
  return has_layer_norm(model, space) && exempted(model, "bake-means", space);
}

namespace {

template <class Real>
void transform(Real* x, std::int64_t rows, const Rotation& r, Direction direction) {
  if (!r.keeps_means) return hadamard_rows(x, rows, r.plan, r.signs, direction);
  // D H diag(signs) H^T D is symmetric, hence its own inverse: the direction does not matter.
  hadamard_rows(x, rows, r.plan, r.first_column, Direction::forward);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < r.plan.size; ++j)
      x[i * r.plan.size + j] *= static_cast<Real>(r.signs[static_cast<std::size_t>(j)]);
  hadamard_rows(x, rows, r.plan, r.first_column, Direction::inverse);
}

at::Tensor turned(const at::Tensor& x, const Rotation& rotation, Direction direction) {
  at::Tensor y = x.contiguous().clone();
  const std::int64_t rows = y.numel() / rotation.plan.size;
  require(rows * rotation.plan.size == y.numel(), "a tensor of ", y.numel(), " values is no rows of ",
          rotation.plan.size);
  if (y.scalar_type() == at::kDouble)
    transform(y.data_ptr<double>(), rows, rotation, direction);
  else
    transform(y.data_ptr<float>(), rows, rotation, direction);
  return y;
}

/// Signs of the first column of each block of H: what row i has there.
std::vector<std::int8_t> first_column(const HadamardPlan& plan) {
  std::vector<std::int8_t> column(static_cast<std::size_t>(plan.size));
  for (std::int64_t i = 0; i < plan.block; ++i) {
    std::vector<double> unit(static_cast<std::size_t>(plan.size));
    unit[static_cast<std::size_t>(i)] = 1;
    hadamard_rows(unit.data(), 1, plan, {}, Direction::forward);
    for (std::int64_t begin = 0; begin < plan.size; begin += plan.block)
      column[static_cast<std::size_t>(begin + i)] = unit[0] < 0 ? -1 : 1;
  }
  return column;
}

}  // namespace

Rotation rotation_of(const ModelSpec& model, const BlockSpec& block, Space space, std::uint64_t seed) {
  Rotation rotation{.plan = plan_hadamard(width_of(model, block, space)), .signs = {}, .first_column = {}};
  const std::string stream =
      cat("rotate/", space_name(space), space == Space::value ? "/" + block.name : std::string());
  rotation.signs = Rng(seed, stream).signs(static_cast<std::size_t>(rotation.plan.size));
  if (!keeps_means(model, space)) return rotation;
  rotation.keeps_means = true;
  rotation.first_column = first_column(rotation.plan);
  for (std::int64_t begin = 0; begin < rotation.plan.size; begin += rotation.plan.block)
    rotation.signs[static_cast<std::size_t>(begin)] = 1;
  return rotation;
}

at::Tensor times(const at::Tensor& x, const Rotation& rotation) {
  return turned(x, rotation, Direction::forward);
}

at::Tensor times_inverse(const at::Tensor& x, const Rotation& rotation) {
  return turned(x, rotation, Direction::inverse);
}

}  // namespace mquant
