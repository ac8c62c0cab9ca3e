#include "bench/kernel_rates.h"

#include <ATen/Parallel.h>
#include <ATen/ops/_int_mm.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <tuple>

#include "bench/machine.h"
#include "kernels/cpu.h"
#include "kernels/gemm_packed.h"
#include "runtime/row_runner.h"
#include "support/rng.h"
#include "support/timer.h"

namespace mquant {
namespace {

constexpr double kSeconds = 0.1;  // about, for a shape
constexpr std::size_t kLeastProducts = 5, kMostProducts = 1000;
// Bytes of a weight's copies: more than the caches hold.
constexpr std::int64_t kCopies = std::int64_t{512} << 20;
constexpr std::int64_t kRowsToProbe = 32;
constexpr double kLongestProduct = 2;  // seconds, of the library

struct Shape {
  std::string linear;
  bool vision = false;
  std::int64_t out = 0, in = 0, count = 0;
  int bits = 0;
  auto key() const { return std::tuple(vision, out, in, bits); }
};

/// Shapes of linears with integer products, in the order of the model.
std::vector<Shape> shapes_of(const Artifact& artifact, const ModelSpec& model) {
  std::vector<Shape> shapes;
  for (const BlockSpec& block : model.blocks) {
    if (!block.quantizable) continue;
    const StoredBlock stored = artifact.read(block.name);
    for (const LinearSpec& linear : block.linears) {
      const std::optional<QuantizedLinear>& q = stored.linears.at(linear.name).quantized;
      if (!q || q->scheme.weight_bits == 16 || q->scheme.activation_bits == 16) continue;
      const Shape shape{block.name + "." + linear.name, !block.on_tokens, q->out, q->in, 1,
                        q->scheme.weight_bits};
      const auto known = std::ranges::find(shapes, shape.key(), &Shape::key);
      if (known == shapes.end())
        shapes.push_back(shape);
      else
        ++known->count;
    }
  }
  return shapes;
}

std::vector<std::int8_t> random_codes(std::int64_t count, int bits, Rng& rng) {
  std::vector<std::int8_t> codes(static_cast<std::size_t>(count));
  const std::int64_t least = bits == 4 ? -8 : -127, values = bits == 4 ? 16 : 255;
  for (std::int8_t& code : codes)
    code = static_cast<std::int8_t>(
        least + static_cast<std::int64_t>(rng.next() % static_cast<std::uint64_t>(values)));
  return codes;
}

/// Rows with one scale: what a class of tokens is.
struct Activations {
  Activations(std::int64_t rows, const Shape& shape, Rng& rng)
      : codes(random_codes(rows * padded_inputs(shape.in), 8, rng)),
        sums(static_cast<std::size_t>(rows)),
        scale(static_cast<std::size_t>(shape.out), 1e-4),
        y(static_cast<std::size_t>(rows * shape.out)) {
    const std::int64_t columns = padded_inputs(shape.in);
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto row = codes.begin() + r * columns;
      std::fill(row + shape.in, row + columns, std::int8_t{0});
      for (std::int64_t i = 0; i < shape.in; ++i) sums[static_cast<std::size_t>(r)] += row[i];
    }
  }
  std::vector<std::int8_t> codes;
  std::vector<std::int32_t> sums;
  std::vector<double> scale;
  std::vector<float> y;
};

/// Rows [begin, end) by the outputs of panels [first, last).
void part_of_product(const PackedWeight& weight, Activations& x, std::int64_t begin, std::int64_t end,
                     std::int64_t first, std::int64_t last) {
  thread_local GemmScratch scratch;
  const ScaleRun run{end - begin, x.scale.data()};
  const CodeRows a{x.codes.data() + begin * padded_inputs(weight.in()), x.sums.data() + begin, end - begin};
  gemm_packed(a, weight, first, last, {.runs = {&run, 1}}, x.y.data() + begin * weight.out(), weight.out(),
              scratch);
}

/// As the executor shares it out.
void product(const PackedWeight& weight, Activations& x, std::int64_t rows) {
  const RowShares shares = share_rows(rows, at::get_num_threads());
  const auto chunk = [&](std::int64_t c, std::int64_t first, std::int64_t last) {
    part_of_product(weight, x, shares.begin(c, rows), shares.begin(c + 1, rows), first, last);
  };
  if (shares.by_outputs)
    for (std::int64_t c = 0; c < shares.chunks; ++c)
      at::parallel_for(0, weight.panels(), 1,
                       [&](std::int64_t first, std::int64_t last) { chunk(c, first, last); });
  else
    at::parallel_for(0, shares.chunks, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t c = begin; c < end; ++c) chunk(c, 0, weight.panels());
    });
}

/// As many copies of a weight as do not fit into the caches: one after another, as in a model, each is read from memory.
/// No more than there are products.
std::vector<PackedWeight> make_weights(const Shape& shape, Rng& rng) {
  const std::vector<std::int8_t> codes = random_codes(shape.out * shape.in, shape.bits, rng);
  std::vector<PackedWeight> weights;
  std::int64_t bytes = 0;
  do {
    weights.emplace_back(codes, shape.out, shape.in, shape.bits);
    bytes += weights.back().bytes();
  } while (bytes < kCopies && weights.size() < kMostProducts);
  return weights;
}

/// Median over about kSeconds of product(0), product(1), ...
double median_product(const std::function<void(std::size_t)>& product) {
  std::vector<double> seconds;
  const Stopwatch all;
  for (std::size_t i = 0; i < kMostProducts && (i < kLeastProducts || all.seconds() < kSeconds); ++i) {
    const Stopwatch watch;
    product(i);
    seconds.push_back(watch.seconds());
  }
  return median(seconds);
}

/// Some of the sums, against those of float64.
bool is_exact(const at::Tensor& sums, const at::Tensor& codes, const at::Tensor& weight) {
  constexpr std::int64_t kChecked = 32;
  const std::int64_t outputs = std::min(kChecked, weight.size(1));
  const at::Tensor expected =
      codes.narrow(0, 0, sums.size(0)).to(at::kDouble).matmul(weight.narrow(1, 0, outputs).to(at::kDouble));
  return sums.narrow(1, 0, outputs).to(at::kDouble).equal(expected);
}

/// The same product of such codes by libtorch, int8 to int32 and no further, its weight in a byte each.  NaN where it takes
/// too long, for want of instructions, and where sums come out wrong: on AVX2 it saturates.
double median_of_library(Activations& x, std::int64_t rows, const Shape& shape, Rng& rng) {
  const at::Tensor codes = at::from_blob(x.codes.data(), {rows, padded_inputs(shape.in)}, at::kChar)
                               .narrow(1, 0, shape.in)
                               .contiguous();
  std::vector<std::int8_t> weight_codes = random_codes(shape.out * shape.in, shape.bits, rng);
  const at::Tensor weight = at::from_blob(weight_codes.data(), {shape.out, shape.in}, at::kChar).t();
  const at::Tensor few = codes.narrow(0, 0, std::min(rows, kRowsToProbe));
  const bool exact = is_exact(at::_int_mm(few, weight), few, weight);
  const Stopwatch watch;
  at::_int_mm(few, weight);
  const double expected = watch.seconds() * static_cast<double>(rows) / static_cast<double>(few.size(0));
  if (!exact || expected > kLongestProduct) return std::numeric_limits<double>::quiet_NaN();
  return median_product([&](std::size_t) { at::_int_mm(codes, weight); });
}

}  // namespace

std::vector<KernelReport> kernel_rates(const Artifact& artifact, const ModelSpec& model,
                                       const std::vector<KernelRows>& phases) {
  std::vector<KernelReport> reports;
  for (const Shape& shape : shapes_of(artifact, model)) {
    Rng rng(0, shape.linear);
    const std::vector<PackedWeight> weights = make_weights(shape, rng);
    for (const KernelRows& phase : phases) {
      const std::int64_t rows = shape.vision ? phase.vision : phase.tokens;
      if (rows == 0) continue;
      Activations x(rows, shape, rng);
      const double operations = 2.0 * static_cast<double>(rows * shape.out) * static_cast<double>(shape.in);
      const int products = cpu_level() == CpuLevel::avx2 ? shape.bits / 4 : 1;
      const double seconds =
          median_product([&](std::size_t i) { product(weights[i % weights.size()], x, rows); });
      reports.push_back({.linear = shape.linear,
                         .phase = phase.phase,
                         .out = shape.out,
                         .in = shape.in,
                         .rows = rows,
                         .linears = shape.count,
                         .weight_bits = shape.bits,
                         .seconds = seconds,
                         .library_seconds = phase.phase == BenchPhase::prefill
                                                ? median_of_library(x, rows, shape, rng)
                                                : std::numeric_limits<double>::quiet_NaN(),
                         .operations = operations,
                         .executed = products * operations,
                         .bytes = static_cast<double>(weights[0].bytes())});
    }
  }
  return reports;
}

}  // namespace mquant
