// A matrix, a norm or a parameter as named tensors of an artifact, and back.  docs/format.md describes them.
#pragma once

#include <string>
#include <vector>

#include "artifact/fields.h"
#include "artifact/matrices.h"
#include "artifact/tensor_data.h"
#include "mquant/checkpoint.h"

namespace mquant {

/// How the two formats differ in their tensors.
struct Dialect {
  bool ours =
      true;  ///< the mquant format: class scales, split columns and signs are stored; scales in float32
  /// Of weight and input scales in the other one: the type of the source's weights.
  DType scale_dtype = DType::f32;
};

/// The tensors of one matrix.
std::vector<NamedTensor> encode_matrix(const Matrix& matrix, StoredLinear linear, const Dialect& dialect);

/// What the manifest says of one matrix: {"scheme", "out", "in", "input_scales", "rotation", "split", ...}.
OrderedJson matrix_entry(const Matrix& matrix, const StoredLinear& linear, const Dialect& dialect);

/// The matrix again, from its tensors and its entry in the manifest.
/// @throws Error{input} naming the tensor for every contradiction
StoredLinear decode_matrix(const Checkpoint& artifact, const Matrix& matrix, const Fields& entry,
                           const Dialect& dialect);

/// Official names and the types that stand in where a norm stores ones and zeros.
struct NormNames {
  std::string weight, bias;  // "" for none
  DType dtype = DType::f32, bias_dtype = DType::f32;
};
std::vector<NamedTensor> encode_norm(const NormSpec& spec, const StoredNorm& norm, const NormNames& names);
/// `entry`: of the manifest's "norms", null if the norm is as described.
StoredNorm decode_norm(const Checkpoint& artifact, const NormSpec& spec, const NormNames& names,
                       const Json& entry);

/// The smallest number that `dtype` has and that is not below `value`.
float rounded_up(float value, DType dtype);

}  // namespace mquant
