// Tensors from and to bytes.
#pragma once

#include <cstdint>
#include <vector>

#include "mquant/artifact.h"
#include "mquant/checkpoint.h"
#include "mquant/tensor.h"

namespace mquant {

at::ScalarType scalar_type(DType dtype);
DType dtype_of(at::ScalarType type);

/// Copies the bytes and converts.
at::Tensor to_tensor(const TensorView& view, at::ScalarType dtype);
at::Tensor to_tensor(const TensorData& data, at::ScalarType dtype);
/// The bytes of `tensor`, first converted to `dtype` (round to nearest even); empty if it is undefined.
TensorData to_data(const at::Tensor& tensor, DType dtype);

/// [n] int64.
at::Tensor index_tensor(const std::vector<std::int64_t>& values);

}  // namespace mquant
