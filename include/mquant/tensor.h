// The one door to libtorch.  Operators are included one by one (<ATen/ops/x.h>) where methods do not suffice.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
