// The matrices of a block as a checkpoint holds them: under their official names, fused linears as one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "mquant/artifact.h"
#include "mquant/model.h"

namespace mquant {

/// Official names: those of the description, under the prefixes that a checkpoint or artifact uses.
class OfficialNames {
 public:
  /// `has`: does the checkpoint hold a tensor of that name, plain or quantized?
  OfficialNames(const ModelSpec& model, std::function<bool(const std::string&)> has)
      : model_(&model), has_(std::move(has)) {}

  std::string of(const std::string& described) const { return resolve(described, *model_, has_); }
  bool has(const std::string& described) const { return has_(of(described)); }
  /// Where an artifact holds a parameter.
  std::string of(const ParamSpec& param) const {
    return param.source.stored_as.empty() ? of(param.source.name) : param.source.stored_as;
  }

 private:
  const ModelSpec* model_;
  std::function<bool(const std::string&)> has_;
};

/// "model.layers.0.mlp.up_proj.weight" -> "model.layers.0.mlp.up_proj": what quantized tensors hang their names on.
std::string module_of(const std::string& tensor);

/// One stored matrix: a linear, or all those that are rows of one tensor.
struct Matrix {
  std::string tensor, module;  // official name of the weight, and module_of it
  std::string bias;            // official name; MODULE.bias if the description has none
  std::string tied_to;         // official name of the tensor that is read when `tensor` is absent, or ""
  bool describes_bias = false;
  std::vector<const LinearSpec*> parts;
  std::int64_t out = 0, in = 0;
  bool transposed = false;
  std::vector<std::int64_t> stored_shape;  // of a convolution; else empty
};

/// In the order of their first linears.  @throws Error{internal} if the parts do not fill their tensor.
std::vector<Matrix> matrices_of(const BlockSpec& block, const OfficialNames& names);

/// What a table of embeddings [vocabulary, width] is stored as when it is codes: a matrix without parts.
Matrix embedding_matrix(const ParamSpec& table, const OfficialNames& names);

/// The linears of `matrix` as one, taken out of `block`.
/// @throws Error{input} if the parts differ in scheme, input scales, rotation, or in channels or scales of split columns
StoredLinear join(const Matrix& matrix, const BlockSpec& spec, StoredBlock& block);

/// The reverse: each part with its rows, into `block`.
void separate(const Matrix& matrix, const BlockSpec& spec, StoredLinear whole, StoredBlock& block);

}  // namespace mquant
