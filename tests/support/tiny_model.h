// A two-layer model with everything that a pass must not trip over: LayerNorm tower with biases, class token and
// position table, a merging projector, a grouped-query decoder with biases, and a head tied to the embeddings.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mquant/block.h"
#include "mquant/checkpoint.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {

struct TinyModel {
  std::unique_ptr<TempDir> directory;
  ModelSpec spec;
  Checkpoint checkpoint;
};

/// Random weights, float32, from a fixed seed; norm scales near 1 but not 1.
std::unique_ptr<TinyModel> tiny_model();

/// A prompt of `layout`: 't' a text token, 'v' one picture (4 patches rows after merging); pixels from a fixed seed.
Features tiny_features(const ModelSpec& spec, const std::string& layout, std::uint64_t seed);

/// Logits of all tokens in their original order, every block run from first to last.
/// @param reorder  AIFS after the embeddings
at::Tensor run_model(const std::vector<Block>& blocks, const Features& features, at::ScalarType dtype,
                     bool reorder);

/// The largest difference relative to the largest magnitude of `expected`.
double relative_difference(const at::Tensor& found, const at::Tensor& expected);

}  // namespace mquant::test
