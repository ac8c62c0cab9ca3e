// Every tensor that a model reads from its checkpoint: name, shape, and what its values are like.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mquant/model.h"

namespace mquant {

struct RandomTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  float mean = 0, deviation = 0;
};

/// In the order in which the blocks read them, each once, fused tensors whole.  Optional ones are left out.
/// @param tied  the head reads the embeddings: it is no tensor of its own
std::vector<RandomTensor> tensors_of(const ModelSpec& model, bool tied);

}  // namespace mquant
