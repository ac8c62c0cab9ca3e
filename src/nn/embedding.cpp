#include "nn/embedding.h"

#include <ATen/ops/empty.h>

#include "mquant/error.h"

namespace mquant {

at::Tensor embedding_rows(const QuantizedLinear& table, const std::vector<std::int64_t>& ids) {
  at::Tensor rows = at::empty({static_cast<std::int64_t>(ids.size()), table.in}, at::kFloat);
  float* to = rows.data_ptr<float>();
  for (const std::int64_t id : ids) {
    if (id < 0 || id >= table.out)
      fail(ErrorKind::input, "token ", id, ": expected one of a vocabulary of ", table.out);
    const std::int8_t* codes = table.codes.data() + id * table.in;
    const float scale = table.weight_scale[static_cast<std::size_t>(id)];
    for (std::int64_t i = 0; i < table.in; ++i) *to++ = static_cast<float>(codes[i]) * scale;
  }
  return rows;
}

}  // namespace mquant
