// The loops around an int8 micro-kernel, for gemm_int8_*.cpp.  A panel of b is widened once and met by all rows of a.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace mquant::int8 {

struct Problem {
  const std::int8_t *a = nullptr, *b = nullptr;
  std::int32_t* c = nullptr;
  std::int64_t m = 0, n = 0, k = 0, c_stride = 0;
};

void gemm_portable(const Problem& problem);
void gemm_avx2(const Problem& problem);
void gemm_avx512(const Problem& problem);

/// Kernel gives: kRows and kColumns of a tile of c; kDepth, the terms that one step of it takes; Wide, the type that
/// codes are widened to; kOffsetA and kOffsetB, added to codes when widened, the loops take them out again; and
///   tile(a, b, steps, out): out[kRows][kColumns] = sums of a[steps][kRows][kDepth] * b[steps][kColumns][kDepth].
template <class Kernel>
class Blocked {
  using A = typename Kernel::WideA;
  using B = typename Kernel::WideB;
  static constexpr std::int64_t kRows = Kernel::kRows, kColumns = Kernel::kColumns, kDepth = Kernel::kDepth;
  // Columns of a and b in a panel, and rows of a at a time: that panel, 360 kB, stays in the L2 cache.
  static constexpr std::int64_t kTerms = 512 / static_cast<std::int64_t>(sizeof(A));
  static constexpr std::int64_t kBlock = 720 / kRows * kRows;

 public:
  explicit Blocked(const Problem& p)
      : p_(p),
        a_(static_cast<std::size_t>(std::min(kBlock, p.m + kRows) * kTerms)),
        b_(static_cast<std::size_t>(kColumns * kTerms)),
        row_offset_(static_cast<std::size_t>(Kernel::kOffsetB != 0 ? kBlock : 0)) {}

  void run() {
    for (std::int64_t i = 0; i < p_.m; i += kBlock)
      for (std::int64_t k = 0; k < p_.k; k += kTerms) {
        const std::int64_t rows = std::min(kBlock, p_.m - i), terms = std::min(kTerms, p_.k - k);
        pack_a(i, rows, k, terms);
        for (std::int64_t j = 0; j < p_.n; j += kColumns) {
          pack_b(j, std::min(kColumns, p_.n - j), k, terms);
          for (std::int64_t r = 0; r < rows; r += kRows) add_tile(i + r, r, j, terms, k == 0);
        }
      }
  }

 private:
  static std::int64_t steps_of(std::int64_t terms) { return (terms + kDepth - 1) / kDepth; }

  /// [rows / kRows][steps][kRows][kDepth], and what kOffsetB will add to each row; beyond the matrix is code 0.
  void pack_a(std::int64_t first, std::int64_t rows, std::int64_t k, std::int64_t terms) {
    const std::int64_t steps = steps_of(terms);
    for (std::int64_t r = 0; r < (rows + kRows - 1) / kRows * kRows; ++r) {
      A* out = a_.data() + r / kRows * kRows * steps * kDepth + r % kRows * kDepth;
      const std::int8_t* in = p_.a + (first + r) * p_.k + k;
      for (std::int64_t s = 0; s < steps; ++s)
        for (std::int64_t d = 0; d < kDepth; ++d) {
          const std::int64_t t = s * kDepth + d;
          out[s * kRows * kDepth + d] =
              static_cast<A>((r < rows && t < terms ? in[t] : 0) + Kernel::kOffsetA);
        }
      if (Kernel::kOffsetB != 0 && r < rows)
        row_offset_[static_cast<std::size_t>(r)] =
            Kernel::kOffsetB * std::accumulate(in, in + terms, std::int32_t{0});
    }
  }

  /// [steps][kColumns][kDepth], and what kOffsetA will add to each column.
  void pack_b(std::int64_t first, std::int64_t columns, std::int64_t k, std::int64_t terms) {
    const std::int64_t steps = steps_of(terms), whole = terms / kDepth;
    if (columns < kColumns || whole < steps) std::fill(b_.begin(), b_.end(), B{0});
    for (std::int64_t j = 0; j < columns; ++j) {
      const std::int8_t* in = p_.b + (first + j) * p_.k + k;
      B* out = b_.data() + j * kDepth;
      for (std::int64_t s = 0; s < whole; ++s)
        for (std::int64_t d = 0; d < kDepth; ++d)
          out[s * kColumns * kDepth + d] = static_cast<B>(in[s * kDepth + d] + Kernel::kOffsetB);
      for (std::int64_t t = whole * kDepth; t < terms; ++t)
        out[whole * kColumns * kDepth + t % kDepth] = static_cast<B>(in[t] + Kernel::kOffsetB);
      if (Kernel::kOffsetA != 0)
        column_offset_[j] = Kernel::kOffsetA * std::accumulate(in, in + terms, std::int32_t{0});
    }
  }

  void add_tile(std::int64_t row, std::int64_t r, std::int64_t j, std::int64_t terms, bool first) {
    const std::int64_t steps = steps_of(terms);
    alignas(64) std::int32_t tile[kRows * kColumns];
    Kernel::tile(a_.data() + r * steps * kDepth, b_.data(), steps, tile);
    const std::int64_t rows = std::min(kRows, p_.m - row), columns = std::min(kColumns, p_.n - j);
    for (std::int64_t x = 0; x < rows; ++x) {
      std::int32_t* c = p_.c + (row + x) * p_.c_stride + j;
      const std::int32_t row_offset =
          Kernel::kOffsetB != 0 ? row_offset_[static_cast<std::size_t>(r + x)] : 0;
      if (first) std::fill_n(c, columns, 0);
      if (columns == kColumns)  // a loop of known length
        add_row(c, tile + x * kColumns, row_offset, kColumns);
      else
        add_row(c, tile + x * kColumns, row_offset, columns);
    }
  }

  [[gnu::always_inline]] void add_row(std::int32_t* c, const std::int32_t* sums, std::int32_t row_offset,
                                      std::int64_t columns) const {
    for (std::int64_t y = 0; y < columns; ++y) c[y] += sums[y] - (column_offset_[y] + row_offset);
  }

  const Problem& p_;
  std::vector<A> a_;
  std::vector<B> b_;
  std::int32_t column_offset_[kColumns] = {};  // what kOffsetA added to the sums of this panel
  std::vector<std::int32_t> row_offset_;       // what kOffsetB did
};

}  // namespace mquant::int8
