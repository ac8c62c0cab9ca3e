#include "kernels/second_moment.h"

#include "kernels/cpu.h"
#include "kernels/second_moment_bodies.h"
#include "mquant/error.h"

namespace mquant {
namespace moments {
namespace {

constexpr int kPanel = 8;  // columns, of pairs of rows in int16

}  // namespace

/// Pairs of rows, widened to int16: the layout of AVX2 and of plain loops.
void lay_out_pairs(const LayoutProblem& p) {
  for_each_group<kPanel, 2>(p, kPanel * 2 * sizeof(std::int16_t),
                            [](const std::int8_t* const* rows, std::uint8_t* out, std::int64_t) {
                              auto* pairs = reinterpret_cast<std::int16_t*>(out);
                              for (int c = 0; c < kPanel; ++c) {
                                pairs[2 * c] = rows[0][c];
                                pairs[2 * c + 1] = rows[1][c];
                              }
                            });
}

namespace {

/// One panel against another.
void add_panels(const std::int16_t* a, const std::int16_t* b, const BlockProblem& p, std::int64_t* out) {
  std::int32_t sums[kPanel][kPanel] = {};
  for (std::int64_t g = 0; g < p.groups; ++g, a += kPanel * 2, b += kPanel * 2)
    for (int i = 0; i < kPanel; ++i)
      for (int j = 0; j < kPanel; ++j) sums[i][j] += a[2 * i] * b[2 * j] + a[2 * i + 1] * b[2 * j + 1];
  for (int i = 0; i < kPanel; ++i)
    for (int j = 0; j < kPanel; ++j) out[i * kMomentTile + j] += p.multiplier * sums[i][j];
}

void add_block_portable(const BlockProblem& p) {
  const auto *a = reinterpret_cast<const std::int16_t*>(p.a), *b = reinterpret_cast<const std::int16_t*>(p.b);
  for (std::int64_t i = 0; i < kBlock; i += kPanel)
    for (std::int64_t j = 0; j < kBlock; j += kPanel)
      add_panels(a + i * p.groups * 2, b + j * p.groups * 2, p, p.out + i * kMomentTile + j);
}

constexpr Body kPortable = {kPanel, 2, sizeof(std::int16_t), lay_out_pairs, add_block_portable};

const Body& body_in_use() {
#if defined(__x86_64__)
  switch (cpu_level()) {
    case CpuLevel::avx512: return avx512;
    case CpuLevel::avx2: return avx2;
    case CpuLevel::portable: break;
  }
#endif
  return kPortable;
}

}  // namespace
}  // namespace moments

MomentChunk::MomentChunk(std::int64_t width) : width_(width) {
  require(width > 0, "second moments of ", width, " columns");
}

std::int64_t MomentChunk::tile_bytes() const { return kMomentTile * body_->column_bytes(rows_); }

void MomentChunk::resize(std::int64_t rows) {
  require(rows > 0 && rows <= kMomentRows, "second moments of ", rows, " rows");
  body_ = &moments::body_in_use();
  rows_ = rows;
  laid_out_.resize(static_cast<std::size_t>(tiles() * tile_bytes()));
  column_sums_.resize(static_cast<std::size_t>(tiles() * kMomentTile));
}

void MomentChunk::lay_out(std::int64_t tile, const std::int8_t* codes, std::int64_t stride) {
  require(tile >= 0 && tile < tiles() && rows_ > 0 && stride >= width_, "second moments: tile ", tile, " of ",
          tiles(), ", stride ", stride);
  body_->lay_out({.codes = codes + tile * kMomentTile,
                  .rows = rows_,
                  .columns = std::min(kMomentTile, width_ - tile * kMomentTile),
                  .stride = stride,
                  .out = laid_out_.data() + tile * tile_bytes(),
                  .sums = column_sums_.data() + tile * kMomentTile});
}

void MomentChunk::add_products(std::int64_t row_tile, std::int64_t column_tile, std::int64_t multiplier,
                               std::int64_t* sums) const {
  using moments::kBlock;
  require(column_tile >= 0 && column_tile <= row_tile && row_tile < tiles() && rows_ > 0,
          "second moments: tile ", row_tile, ", ", column_tile, " of ", tiles());
  require(multiplier >= 1 && multiplier <= kMostMultiplier, "second moments times ", multiplier);
  const std::int64_t column = body_->column_bytes(rows_);
  const std::uint8_t *a = laid_out_.data() + row_tile * tile_bytes(),
                     *b = laid_out_.data() + column_tile * tile_bytes();
  for (std::int64_t j = 0; j < kMomentTile; j += kBlock)  // a block of b is met by all of a
    for (std::int64_t i = row_tile == column_tile ? j : 0; i < kMomentTile; i += kBlock)
      body_->add_block({.a = a + i * column,
                        .b = b + j * column,
                        .a_sums = column_sums_.data() + row_tile * kMomentTile + i,
                        .groups = body_->groups(rows_),
                        .multiplier = multiplier,
                        .out = sums + i * kMomentTile + j});
}

}  // namespace mquant
