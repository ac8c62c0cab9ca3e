#include "artifact/matrices.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>

#include "artifact/tensor_data.h"
#include "mquant/error.h"

namespace mquant {
namespace {

/// Rows of the joined tensor that belong to `part`.
std::vector<std::int64_t> rows_of(const Matrix& matrix, const LinearSpec& part, const BlockSpec& spec) {
  return fused_rows(part.weight.stored_as.empty() ? part.weight : Source{}, spec.attention, matrix.out);
}

void expect_partition(const Matrix& matrix, const BlockSpec& spec) {
  std::vector<std::int64_t> all;
  for (const LinearSpec* part : matrix.parts) {
    const std::vector<std::int64_t> rows = rows_of(matrix, *part, spec);
    require(static_cast<std::int64_t>(rows.size()) == part->out, "block '", spec.name, "': '", part->name,
            "' has ", rows.size(), " rows of '", matrix.tensor, "', not ", part->out);
    all.insert(all.end(), rows.begin(), rows.end());
  }
  std::sort(all.begin(), all.end());
  for (std::size_t i = 0; i < all.size(); ++i)
    require(all[i] == static_cast<std::int64_t>(i), "block '", spec.name, "': its linears do not fill '",
            matrix.tensor, "': row ", i, " is missing or there twice");
}

/// whole[rows[i]] = part[i], rows of `size` elements.
template <class T>
void put_rows(std::vector<T>& whole, const std::vector<T>& part, const std::vector<std::int64_t>& rows,
              std::size_t size) {
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::memcpy(&whole[static_cast<std::size_t>(rows[i]) * size], &part[i * size], size * sizeof(T));
}

/// part[i] = whole[rows[i]].
template <class T>
std::vector<T> take_rows(const std::vector<T>& whole, const std::vector<std::int64_t>& rows,
                         std::size_t size) {
  std::vector<T> part(rows.size() * size);
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::memcpy(&part[i * size], &whole[static_cast<std::size_t>(rows[i]) * size], size * sizeof(T));
  return part;
}

TensorData take_rows(const TensorData& whole, const std::vector<std::int64_t>& rows) {
  if (!whole) return {};
  TensorData part{whole.dtype, whole.shape, {}};
  part.shape[0] = static_cast<std::int64_t>(rows.size());
  part.bytes = take_rows(whole.bytes, rows, whole.bytes.size() / static_cast<std::size_t>(whole.shape[0]));
  return part;
}

/// whole[k, rows[i]] = part[k, i]; `whole` [k, out].
template <class T>
void put_outputs(std::vector<T>& whole, const std::vector<T>& part, const std::vector<std::int64_t>& rows,
                 std::size_t out) {
  for (std::size_t i = 0; i < part.size(); ++i)
    whole[i / rows.size() * out + static_cast<std::size_t>(rows[i % rows.size()])] = part[i];
}

/// part[k, i] = whole[k, rows[i]]; `whole` [k, out].
template <class T>
std::vector<T> take_outputs(const std::vector<T>& whole, const std::vector<std::int64_t>& rows,
                            std::size_t out) {
  std::vector<T> part(whole.size() / out * rows.size());
  for (std::size_t i = 0; i < part.size(); ++i)
    part[i] = whole[i / rows.size() * out + static_cast<std::size_t>(rows[i % rows.size()])];
  return part;
}

/// What the linears of one matrix have in common: all but codes and values, which are [channels, out].
SplitColumns shared_part(const SplitColumns& split) {
  return {.channels = split.channels,
          .quantized = split.quantized,
          .weight_scale = split.weight_scale,
          .input_scales = split.input_scales};
}

void join_split(SplitColumns& whole, const SplitColumns& part, const std::vector<std::int64_t>& rows,
                std::int64_t out) {
  put_outputs(whole.codes, part.codes, rows, static_cast<std::size_t>(out));
  put_outputs(whole.values, part.values, rows, static_cast<std::size_t>(out));
}

SplitColumns split_of_rows(const SplitColumns& whole, const std::vector<std::int64_t>& rows,
                           std::int64_t out) {
  SplitColumns part = shared_part(whole);
  part.codes = take_outputs(whole.codes, rows, static_cast<std::size_t>(out));
  part.values = take_outputs(whole.values, rows, static_cast<std::size_t>(out));
  return part;
}

bool same_scales(const ClassScales& a, const ClassScales& b) { return a.scale == b.scale; }

/// What is wrong here is wrong in the calibration's files: calibrate gives linears of one tensor what they share.
void expect(bool holds, const std::string& where, const char* found) {
  if (!holds) fail(ErrorKind::input, where, found);
}

void expect_alike(const StoredLinear& a, const StoredLinear& b, const std::string& where) {
  expect(a.quantized.has_value() == b.quantized.has_value(), where, "quantized and float linears");
  expect(a.rotation.size == b.rotation.size && a.rotation.block == b.rotation.block &&
             a.rotation.signs == b.rotation.signs,
         where, "linears with different input rotations");
  expect(a.weight.dtype == b.weight.dtype, where, "weights of different types");
  expect(!a.bias || !b.bias || a.bias.dtype == b.bias.dtype, where, "biases of different types");
  if (!a.quantized) return;
  const QuantizedLinear &p = *a.quantized, &q = *b.quantized;
  expect(p.scheme.weight_bits == q.scheme.weight_bits && p.scheme.activation_bits == q.scheme.activation_bits,
         where, "linears of different schemes");
  expect(same_scales(p.input_scales, q.input_scales), where, "linears with different input scales");
  expect(p.split.channels == q.split.channels && p.split.quantized == q.split.quantized &&
             p.split.weight_scale == q.split.weight_scale &&
             std::ranges::equal(p.split.input_scales, q.split.input_scales, same_scales),
         where, "linears with different split columns");
}

void join_tensor(TensorData& whole, const TensorData& part, const std::vector<std::int64_t>& rows,
                 std::int64_t out) {
  if (!part) return;  // a bias that this part does not have: zeros
  const std::size_t size = part.bytes.size() / rows.size();
  if (!whole) {
    whole = {part.dtype, part.shape, std::vector<std::byte>(static_cast<std::size_t>(out) * size)};
    whole.shape[0] = out;
  }
  put_rows(whole.bytes, part.bytes, rows, size);
}

StoredLinear take(StoredBlock& block, const std::string& name) {
  const auto it = block.linears.find(name);
  if (it == block.linears.end())
    fail(ErrorKind::input, "block '", block.name, "': no linear '", name, "' is stored");
  return std::move(it->second);
}

}  // namespace

std::string module_of(const std::string& tensor) {
  constexpr std::string_view kEnding = ".weight";
  return tensor.ends_with(kEnding) ? tensor.substr(0, tensor.size() - kEnding.size()) : tensor;
}

std::vector<Matrix> matrices_of(const BlockSpec& block, const OfficialNames& names) {
  std::vector<Matrix> matrices;
  for (const LinearSpec& linear : block.linears) {
    const bool apart = !linear.weight.stored_as.empty();
    const std::string tensor = apart ? linear.weight.stored_as : names.of(linear.weight.name);
    auto it =
        std::find_if(matrices.begin(), matrices.end(), [&](const Matrix& m) { return m.tensor == tensor; });
    if (it == matrices.end()) {
      Matrix matrix;
      matrix.tensor = tensor;
      matrix.module = module_of(tensor);
      matrix.describes_bias = static_cast<bool>(linear.bias);
      matrix.bias = linear.bias && !apart ? names.of(linear.bias.name) : matrix.module + ".bias";
      if (!linear.weight.otherwise.empty()) matrix.tied_to = names.of(linear.weight.otherwise);
      matrix.in = linear.in;
      matrix.transposed = linear.weight.transposed;
      matrix.stored_shape = linear.weight.stored_shape;
      if (linear.weight.channels_last)
        std::rotate(matrix.stored_shape.begin() + 1, matrix.stored_shape.begin() + 2,
                    matrix.stored_shape.end());
      it = matrices.insert(it, std::move(matrix));
    }
    it->parts.push_back(&linear);
    it->out += linear.out;
    require(it->in == linear.in, "block '", block.name, "': linears of different widths share '", tensor,
            "'");
  }
  for (const Matrix& matrix : matrices) expect_partition(matrix, block);
  return matrices;
}

Matrix embedding_matrix(const ParamSpec& table, const OfficialNames& names) {
  require(table.shape.size() == 2 && table.source.stored_shape.empty(), "parameter '", table.name,
          "' is not a matrix, and was made one");
  Matrix matrix;
  matrix.tensor = names.of(table);
  matrix.module = module_of(matrix.tensor);
  matrix.bias = matrix.module + ".bias";
  matrix.out = table.shape[0];
  matrix.in = table.shape[1];
  return matrix;
}

StoredLinear join(const Matrix& matrix, const BlockSpec& spec, StoredBlock& block) {
  StoredLinear whole = take(block, matrix.parts[0]->name);
  if (matrix.parts.size() == 1) return whole;
  std::vector<StoredLinear> parts;
  parts.push_back(std::move(whole));
  for (std::size_t i = 1; i < matrix.parts.size(); ++i) {
    parts.push_back(take(block, matrix.parts[i]->name));
    expect_alike(parts[0], parts[i], cat("block '", spec.name, "': '", matrix.tensor, "' cannot hold "));
  }
  StoredLinear joined;
  joined.rotation = parts[0].rotation;
  if (parts[0].quantized) {
    QuantizedLinear& q = joined.quantized.emplace();
    q.scheme = parts[0].quantized->scheme;
    q.input_scales = parts[0].quantized->input_scales;
    q.out = matrix.out;
    q.in = matrix.in;
    if (q.scheme.weight_bits != 16) {
      q.codes.resize(static_cast<std::size_t>(q.out * q.in));
      q.weight_scale.resize(static_cast<std::size_t>(q.out));
    }
    q.split = shared_part(parts[0].quantized->split);
    const std::size_t values = q.split.channels.size() * static_cast<std::size_t>(q.out);
    if (q.split.quantized)
      q.split.codes.resize(values);
    else
      q.split.values.resize(values);
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::vector<std::int64_t> rows = rows_of(matrix, *matrix.parts[i], spec);
    if (joined.quantized && !joined.quantized->codes.empty()) {
      put_rows(joined.quantized->codes, parts[i].quantized->codes, rows, static_cast<std::size_t>(matrix.in));
      put_rows(joined.quantized->weight_scale, parts[i].quantized->weight_scale, rows, 1);
    }
    if (joined.quantized) join_split(joined.quantized->split, parts[i].quantized->split, rows, matrix.out);
    join_tensor(joined.weight, parts[i].weight, rows, matrix.out);
    join_tensor(joined.bias, parts[i].bias, rows, matrix.out);
    parts[i] = {};
  }
  return joined;
}

void separate(const Matrix& matrix, const BlockSpec& spec, StoredLinear whole, StoredBlock& block) {
  if (matrix.parts.size() == 1) {
    if (whole.bias && all_equal(view_of(whole.bias), 0)) whole.bias = {};
    block.linears[matrix.parts[0]->name] = std::move(whole);
    return;
  }
  for (const LinearSpec* spec_of_part : matrix.parts) {
    const std::vector<std::int64_t> rows = rows_of(matrix, *spec_of_part, spec);
    StoredLinear& part = block.linears[spec_of_part->name];
    part.rotation = whole.rotation;
    part.weight = take_rows(whole.weight, rows);
    part.bias = take_rows(whole.bias, rows);
    if (part.bias && all_equal(view_of(part.bias), 0)) part.bias = {};
    if (!whole.quantized) continue;
    QuantizedLinear& q = part.quantized.emplace();
    q.scheme = whole.quantized->scheme;
    q.input_scales = whole.quantized->input_scales;
    q.out = spec_of_part->out;
    q.in = matrix.in;
    q.split = split_of_rows(whole.quantized->split, rows, matrix.out);
    if (q.scheme.weight_bits == 16) continue;
    q.codes = take_rows(whole.quantized->codes, rows, static_cast<std::size_t>(matrix.in));
    q.weight_scale = take_rows(whole.quantized->weight_scale, rows, 1);
  }
}

}  // namespace mquant
