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

Tower tower_of(Space space) {
  switch (space) {
    case Space::vision: return Tower::vision;
    case Space::kv:
    case Space::query:
    case Space::resampled: return Tower::projector;
    default: return Tower::decoder;
  }
}

bool exempted(const ModelSpec& model, std::string_view pass, Space space) {
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

Rotation rotation_of(const ModelSpec& model, const BlockSpec& block, Space space, std::uint64_t seed) {
  Rotation rotation{plan_hadamard(width_of(model, block, space)), {}};
  const std::string stream =
      cat("rotate/", space_name(space), space == Space::value ? "/" + block.name : std::string());
  rotation.signs = Rng(seed, stream).signs(static_cast<std::size_t>(rotation.plan.size));
  return rotation;
}

namespace {

at::Tensor turned(const at::Tensor& x, const Rotation& rotation, Direction direction) {
  at::Tensor y = x.contiguous().clone();
  const std::int64_t rows = y.numel() / rotation.plan.size;
  require(rows * rotation.plan.size == y.numel(), "a tensor of ", y.numel(), " values is no rows of ",
          rotation.plan.size);
  if (y.scalar_type() == at::kDouble)
    hadamard_rows(y.data_ptr<double>(), rows, rotation.plan, rotation.signs, direction);
  else
    hadamard_rows(y.data_ptr<float>(), rows, rotation.plan, rotation.signs, direction);
  return y;
}

}  // namespace

at::Tensor times(const at::Tensor& x, const Rotation& rotation) {
  return turned(x, rotation, Direction::forward);
}

at::Tensor times_inverse(const at::Tensor& x, const Rotation& rotation) {
  return turned(x, rotation, Direction::inverse);
}

}  // namespace mquant
