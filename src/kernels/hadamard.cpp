// The fast transform: butterflies for the power of two, table look-ups for the dense factors.
#include "kernels/hadamard.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu.h"
#include "kernels/vector.h"
#include "mquant/error.h"

namespace mquant {
namespace {

/// Values of the power-of-two part that are done at a time by a dense factor: the lanes of a tile.
constexpr std::int64_t kTile = 16;

/// The first log2(lanes) stages, within one vector.
[[gnu::always_inline]] inline void butterflies_within(Vector<float>& v) {
  const Vector<float> one = {1, -1, 1, -1, 1, -1, 1, -1}, two = {1, 1, -1, -1, 1, 1, -1, -1},
                      four = {1, 1, 1, 1, -1, -1, -1, -1};
  v = __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6) + v * one;
  v = __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5) + v * two;
  v = __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3) + v * four;
}
[[gnu::always_inline]] inline void butterflies_within(Vector<double>& v) {
  const Vector<double> one = {1, -1, 1, -1}, two = {1, 1, -1, -1};
  v = __builtin_shufflevector(v, v, 1, 0, 3, 2) + v * one;
  v = __builtin_shufflevector(v, v, 2, 3, 0, 1) + v * two;
}

template <class T>
[[gnu::always_inline]] inline void sylvester_scalar(T* x, std::int64_t n) {
  for (std::int64_t h = 1; h < n; h *= 2)
    for (std::int64_t i = 0; i < n; ++i) {
      if ((i & h) != 0) continue;
      const T a = x[i], b = x[i + h];
      x[i] = a + b;
      x[i + h] = a - b;
    }
}

/// x H for H = Sylvester(n), n a power of two; two stages at a time where two are left.
template <class T>
[[gnu::always_inline]] inline void sylvester(T* x, std::int64_t n) {
  constexpr std::int64_t kLanes = VectorOf<T>::lanes;
  if (n < kLanes) return sylvester_scalar(x, n);
  for (std::int64_t i = 0; i < n; i += kLanes) {
    Vector<T> v = load(x + i);
    butterflies_within(v);
    store(x + i, v);
  }
  std::int64_t h = kLanes;
  for (; h * 2 < n; h *= 4)
    for (std::int64_t base = 0; base < n; base += 4 * h)
      for (T* at = x + base; at < x + base + h; at += kLanes) {
        const Vector<T> a = load(at), b = load(at + h), c = load(at + 2 * h), d = load(at + 3 * h);
        const Vector<T> s = a + b, t = a - b, u = c + d, v = c - d;
        store<T>(at, s + u);
        store<T>(at + h, t + v);
        store<T>(at + 2 * h, s - u);
        store<T>(at + 3 * h, t - v);
      }
  if (h < n)
    for (T* at = x; at < x + h; at += kLanes) {
      const Vector<T> a = load(at), b = load(at + h);
      store<T>(at, a + b);
      store<T>(at + h, a - b);
    }
}

/// All 16 sums +-a +-b +-c +-d of four inputs, by their sign pattern; each kTile values wide.
template <class T>
[[gnu::always_inline]] inline void fill_table(const T* in, T* table) {
  constexpr std::int64_t kLanes = VectorOf<T>::lanes;
  for (std::int64_t l = 0; l < kTile; l += kLanes) {
    const Vector<T> a = load(in + l), b = load(in + kTile + l), c = load(in + 2 * kTile + l),
                    d = load(in + 3 * kTile + l);
    const Vector<T> low[4] = {a + b, b - a, a - b, -a - b}, high[4] = {c + d, d - c, c - d, -c - d};
    for (int p = 0; p < 16; ++p) store<T>(table + p * kTile + l, low[p & 3] + high[p >> 2]);
  }
}

/// out += the sums of `Groups` groups of four inputs, for each output.
template <int Groups, class T>
[[gnu::always_inline]] inline void add_groups(const T* in, const std::uint8_t* patterns, std::int64_t order,
                                              T* out) {
  constexpr std::int64_t kLanes = VectorOf<T>::lanes;
  alignas(64) T tables[Groups * 16 * kTile];
  for (int g = 0; g < Groups; ++g) fill_table(in + g * 4 * kTile, tables + g * 16 * kTile);
  for (std::int64_t j = 0; j < order; ++j)
    for (std::int64_t l = 0; l < kTile; l += kLanes) {
      Vector<T> sum = load(out + j * kTile + l);
      for (int g = 0; g < Groups; ++g) sum += load(tables + (g * 16 + patterns[g * order + j]) * kTile + l);
      store(out + j * kTile + l, sum);
    }
}

/// out[j] = sum_i in[i] F[i, j] for kTile independent columns: in and out are [order, kTile].
template <class T>
[[gnu::always_inline]] inline void dense_tile(const T* in, const std::uint8_t* patterns, std::int64_t order,
                                              T* out) {
  std::fill(out, out + order * kTile, T{0});
  std::int64_t group = 0;
  for (; group + 4 <= order / 4; group += 4)
    add_groups<4>(in + group * 4 * kTile, patterns + group * order, order, out);
  for (; group < order / 4; ++group)
    add_groups<1>(in + group * 4 * kTile, patterns + group * order, order, out);
}

/// Where the lanes of a tile lie: lane l of row i is x[offset[l] + i * inner].
struct Lanes {
  std::int64_t offset[kTile];
  std::int64_t count = 0;
  bool contiguous = false;
};

[[gnu::always_inline]] inline Lanes lanes_from(std::int64_t first, std::int64_t all, std::int64_t order,
                                               std::int64_t inner) {
  Lanes lanes;
  lanes.count = std::min(kTile, all - first);
  for (std::int64_t l = 0; l < lanes.count; ++l)
    lanes.offset[l] = (first + l) / inner * order * inner + (first + l) % inner;
  lanes.contiguous = lanes.count == kTile && inner % kTile == 0;
  return lanes;
}

/// x viewed as [outer, order, inner]: the dense factor is applied to the middle axis.
template <class T>
[[gnu::always_inline]] inline void apply_factor(T* x, std::int64_t outer, std::int64_t order,
                                                std::int64_t inner, const std::uint8_t* patterns) {
  alignas(64) T in[kLargestHadamardFactor * kTile];
  alignas(64) T out[kLargestHadamardFactor * kTile];
  const std::int64_t all = outer * inner;
  for (std::int64_t first = 0; first < all; first += kTile) {
    const Lanes lanes = lanes_from(first, all, order, inner);
    for (std::int64_t i = 0; i < order; ++i) {
      T* row = in + i * kTile;
      if (lanes.contiguous) {
        std::copy_n(x + lanes.offset[0] + i * inner, kTile, row);
      } else {
        std::fill_n(row, kTile, T{0});
        for (std::int64_t l = 0; l < lanes.count; ++l) row[l] = x[lanes.offset[l] + i * inner];
      }
    }
    dense_tile(in, patterns, order, out);
    for (std::int64_t i = 0; i < order; ++i)
      for (std::int64_t l = 0; l < lanes.count; ++l) x[lanes.offset[l] + i * inner] = out[i * kTile + l];
  }
}

template <class T>
[[gnu::always_inline]] inline void scale_row(T* x, std::int64_t n, T scale, const std::int8_t* signs) {
  if (signs)
    for (std::int64_t i = 0; i < n; ++i) x[i] *= signs[i] < 0 ? -scale : scale;
  else
    for (std::int64_t i = 0; i < n; ++i) x[i] *= scale;
}

/// `rows` whole rows; few enough to stay in the cache from one factor to the next.
template <class T>
[[gnu::always_inline]] inline void transform(T* x, std::int64_t rows, const HadamardPlan& plan,
                                             const std::int8_t* signs, Direction direction) {
  const bool forward = direction == Direction::forward;
  const T scale = static_cast<T>(1.0 / std::sqrt(static_cast<double>(plan.block)));
  const std::int64_t n = rows * plan.size;
  if (forward)
    for (std::int64_t r = 0; r < rows; ++r) scale_row(x + r * plan.size, plan.size, scale, signs);
  for (std::int64_t i = 0; i < n; i += plan.power) sylvester(x + i, plan.power);
  std::int64_t inner = plan.power;
  for (std::size_t f = plan.factors.size(); f-- > 0;) {
    const HadamardFactor& factor = *plan.factors[f];
    apply_factor(x, n / (factor.order * inner), factor.order, inner,
                 forward ? factor.columns.data() : factor.rows.data());
    inner *= factor.order;
  }
  if (!forward)
    for (std::int64_t r = 0; r < rows; ++r) scale_row(x + r * plan.size, plan.size, scale, signs);
}

template <class T>
void transform_portable(T* x, std::int64_t rows, const HadamardPlan& plan, const std::int8_t* signs,
                        Direction direction) {
  transform(x, rows, plan, signs, direction);
}

#if defined(__x86_64__)
template <class T>
[[gnu::target("avx2")]] void transform_avx2(T* x, std::int64_t rows, const HadamardPlan& plan,
                                            const std::int8_t* signs, Direction direction) {
  transform(x, rows, plan, signs, direction);
}
#endif

template <class T>
void rotate_rows(T* x, std::int64_t rows, const HadamardPlan& plan, std::span<const std::int8_t> signs,
                 Direction direction) {
  require(plan.block > 0 && plan.size % plan.block == 0, "a Hadamard plan of size ", plan.size, ", block ",
          plan.block);
  require(signs.empty() || std::ssize(signs) == plan.size, "hadamard_rows: ", signs.size(), " signs for ",
          plan.size, " columns");
  auto* run = transform_portable<T>;
#if defined(__x86_64__)
  if (cpu_level() >= CpuLevel::avx2) run = transform_avx2<T>;
#endif
  constexpr std::int64_t kCached = 1 << 15;  // values
  const std::int64_t step = std::max<std::int64_t>(1, kCached / plan.size);
  for (std::int64_t r = 0; r < rows; r += step)
    run(x + r * plan.size, std::min(step, rows - r), plan, signs.empty() ? nullptr : signs.data(), direction);
}

}  // namespace

void hadamard_rows(float* x, std::int64_t rows, const HadamardPlan& plan, std::span<const std::int8_t> signs,
                   Direction direction) {
  rotate_rows(x, rows, plan, signs, direction);
}

void hadamard_rows(double* x, std::int64_t rows, const HadamardPlan& plan, std::span<const std::int8_t> signs,
                   Direction direction) {
  rotate_rows(x, rows, plan, signs, direction);
}

}  // namespace mquant
