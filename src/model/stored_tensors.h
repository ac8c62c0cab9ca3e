// The tensors of a checkpoint that a description reads: names and shapes, the one place that knows them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "mquant/model.h"

namespace mquant {

/// What a stored tensor is to the model.
enum class TensorUse {
  weight,
  bias,
  scale,       ///< of a norm or a layer scale: about 1
  scale_less,  ///< of a norm that multiplies by 1 + weight: about 0
  table,       ///< embeddings, positions, learned tokens
};

struct StoredTensor {
  std::string name;       // as described
  std::string otherwise;  // what is read where `name` is absent: a tied head; "" for none
  std::vector<std::int64_t> shape;
  TensorUse use = TensorUse::weight;
  bool optional = false;
  std::int64_t in = 0;  // columns of a weight [out, in]; 0 for others
};

/// All that `block` reads, each name once, in the order of linears, norms and parameters.
/// @throws Error{input} for sizes whose product leaves 63 bits
std::vector<StoredTensor> stored_tensors(const BlockSpec& block);

/// Height of the tensor of which `source` is `out` rows.
std::int64_t stored_rows(const Source& source, std::int64_t out, const BlockSpec& block);
/// Shape of the tensor that holds a weight [out, in].
std::vector<std::int64_t> stored_shape(const Source& weight, std::int64_t out, std::int64_t in,
                                       const BlockSpec& block);
/// Shape in which a parameter's rows are read, before it is folded; and that of the tensor that holds them.
std::vector<std::int64_t> unfolded_shape(const ParamSpec& param);
std::vector<std::int64_t> stored_shape(const ParamSpec& param);

/// The name under which the checkpoint has the tensor, or its stand-in; the described one if it has neither.
std::string name_in(const ModelSpec& model, const std::string& name, const std::string& otherwise,
                    const std::function<bool(const std::string&)>& exists);

}  // namespace mquant
