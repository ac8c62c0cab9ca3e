#include "quant/second_moment.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "mquant/error.h"
#include "quant/parallel.h"

namespace mquant {
namespace {

constexpr std::int64_t kTileValues = kMomentTile * kMomentTile;
/// Rows, each as often as its multiplier says, whose sums fit into int64 whatever the codes are.
constexpr std::int64_t kMostWeightedRows = std::numeric_limits<std::int64_t>::max() / kMostInt8Square;

std::int64_t tiles_of(std::int64_t in) { return (in + kMomentTile - 1) / kMomentTile; }

std::int64_t tile_number(std::int64_t row_tile, std::int64_t column_tile) {
  return row_tile * (row_tile + 1) / 2 + column_tile;
}

}  // namespace

CodeMoments::CodeMoments(std::int64_t in)
    : in_(in), values_(static_cast<std::size_t>(tile_number(tiles_of(in), 0) * kTileValues)), chunk_(in) {}

void CodeMoments::reserve(std::int64_t weighted_rows) {
  if (weighted_rows > kMostWeightedRows - weighted_rows_)
    fail(ErrorKind::unsupported, "second moments of ", rows_,
         " rows of codes and more to come may not fit into 64 bits; calibrate with fewer tokens");
  weighted_rows_ += weighted_rows;
}

void CodeMoments::add(const std::int8_t* codes, std::int64_t rows, std::int64_t stride,
                      std::int64_t multiplier) {
  require(rows >= 0 && stride >= in_ && multiplier >= 1 && multiplier <= kMostMultiplier,
          "second moments of ", rows, " rows at ", stride, ", width ", in_, ", times ", multiplier);
  const bool fits = rows <= kMostWeightedRows / multiplier;
  reserve(fits ? rows * multiplier : kMostWeightedRows + 1);
  rows_ += rows;
  enqueue(codes, rows, stride, multiplier);
}

/// Whole chunks are added from where they are, the rest is copied.
void CodeMoments::enqueue(const std::int8_t* codes, std::int64_t rows, std::int64_t stride,
                          std::int64_t multiplier) {
  if (rows == 0) return;
  Waiting& waiting = waiting_[multiplier];
  for (std::int64_t r = 0; r < rows;) {
    const std::int64_t left = rows - r, room = kMomentRows - waiting.rows, taken = std::min(left, room);
    const std::int8_t* from = codes + r * stride;
    r += taken;
    if (taken == kMomentRows) {
      add_chunk(from, taken, stride, multiplier);
      continue;
    }
    waiting.codes.resize(static_cast<std::size_t>(kMomentRows * in_));
    for (std::int64_t i = 0; i < taken; ++i)
      std::copy_n(from + i * stride, in_, waiting.codes.data() + (waiting.rows + i) * in_);
    waiting.rows += taken;
    if (waiting.rows < kMomentRows) continue;
    add_chunk(waiting.codes.data(), waiting.rows, in_, multiplier);
    waiting.rows = 0;
  }
}

/// Tile (i, j), j <= i, of the sums; each task writes one.
void CodeMoments::add_chunk(const std::int8_t* codes, std::int64_t rows, std::int64_t stride,
                            std::int64_t multiplier) {
  chunk_.resize(rows);
  for_each_task(chunk_.tiles(), [&](std::int64_t tile) { chunk_.lay_out(tile, codes, stride); });
  for_each_task(tile_number(chunk_.tiles(), 0), [&](std::int64_t task) {
    std::int64_t i = 0;
    while (tile_number(i + 1, 0) <= task) ++i;
    chunk_.add_products(i, task - tile_number(i, 0), multiplier, values_.data() + task * kTileValues);
  });
}

void CodeMoments::flush() {
  for (const auto& [multiplier, waiting] : waiting_)
    if (waiting.rows > 0) add_chunk(waiting.codes.data(), waiting.rows, in_, multiplier);
  waiting_.clear();
}

void CodeMoments::merge(const CodeMoments& other) {
  require(other.in_ == in_, "second moments of ", other.in_, " columns added to those of ", in_);
  reserve(other.weighted_rows_);
  rows_ += other.rows_;
  for (const auto& [multiplier, waiting] : other.waiting_)
    enqueue(waiting.codes.data(), waiting.rows, in_, multiplier);
  for_each_task(std::ssize(values_) / kTileValues, [&](std::int64_t tile) {
    const std::int64_t* from = other.values_.data() + tile * kTileValues;
    std::int64_t* to = values_.data() + tile * kTileValues;
    for (std::int64_t k = 0; k < kTileValues; ++k) to[k] += from[k];
  });
}

std::int64_t CodeMoments::entry(std::int64_t i, std::int64_t j) {
  require(std::min(i, j) >= 0 && std::max(i, j) < in_, "entry ", i, ", ", j, " of ", in_);
  const auto [column, row] = std::minmax(i, j);
  const std::int64_t tile = tile_number(row / kMomentTile, column / kMomentTile);
  return values()[static_cast<std::size_t>((tile * kMomentTile + row % kMomentTile) * kMomentTile +
                                           column % kMomentTile)];
}

/// Left of the diagonal a row lies in its own row of tiles, right of it in its column of them.
void CodeMoments::copy_rows(std::int64_t first, std::int64_t count, double unit, float* out) const {
  require(waiting_.empty() && first >= 0 && count >= 0 && first + count <= in_, "rows ", first, " to ",
          first + count, " of ", in_);
  const auto scaled = [unit](std::int64_t x) { return static_cast<float>(unit * static_cast<double>(x)); };
  const auto line = [this](std::int64_t row, std::int64_t column_tile) {
    return values_.data() + tile_number(row / kMomentTile, column_tile) * kTileValues +
           row % kMomentTile * kMomentTile;
  };
  for (std::int64_t r = first; r < first + count; ++r)
    for (std::int64_t tile = 0; tile <= r / kMomentTile; ++tile) {
      const std::int64_t begin = tile * kMomentTile, end = std::min(begin + kMomentTile, r + 1);
      std::transform(line(r, tile), line(r, tile) + end - begin, out + (r - first) * in_ + begin, scaled);
    }
  for (std::int64_t row = first; row < in_; ++row)
    for (std::int64_t r = first; r < std::min(row, first + count); ++r)
      out[(r - first) * in_ + row] = scaled(line(row, r / kMomentTile)[r % kMomentTile]);
}

std::span<std::int64_t> CodeMoments::values() {
  flush();
  return values_;
}

namespace {

constexpr double kAccuracy = 1e-4;

/// Multiples of the unit nearest to the weights; none where sums might overflow.
std::optional<MomentWeights> in_units_of(double unit, std::span<const double> weights,
                                         std::span<const std::int64_t> rows) {
  MomentWeights result{.unit = unit};
  std::int64_t room = kMostWeightedRows;
  for (std::size_t c = 0; c < weights.size(); ++c) {
    const double multiple = std::max(1.0, std::nearbyint(weights[c] / unit));
    if (multiple > static_cast<double>(kMostMultiplier)) return std::nullopt;
    const auto multiplier = static_cast<std::int64_t>(multiple);
    if (rows[c] > room / multiplier) return std::nullopt;
    room -= rows[c] * multiplier;
    result.multipliers.push_back(multiplier);
  }
  return result;
}

bool is_accurate(const MomentWeights& got, std::span<const double> weights) {
  for (std::size_t c = 0; c < weights.size(); ++c) {
    const double weight = static_cast<double>(got.multipliers[c]) * got.unit;
    if (std::abs(weight - weights[c]) > kAccuracy * weights[c]) return false;
  }
  return true;
}

}  // namespace

MomentWeights moment_weights(std::span<const double> weights, std::span<const std::int64_t> rows) {
  require(!weights.empty() && weights.size() == rows.size(), weights.size(), " weights of classes, ",
          rows.size(), " numbers of rows");
  for (std::size_t c = 0; c < weights.size(); ++c)
    require(weights[c] > 0 && std::isfinite(weights[c]) && rows[c] >= 0, "weight ", weights[c], " of ",
            rows[c], " rows");
  const auto [least, most] = std::ranges::minmax(weights);
  // From half of 1 / kAccuracy on, rounding to an integer is accurate enough.
  for (int steps = 1; steps <= 5001; ++steps) {
    const std::optional<MomentWeights> got = in_units_of(least / steps, weights, rows);
    if (!got) break;
    if (is_accurate(*got, weights)) return *got;
  }
  for (std::int64_t multiplier = kMostMultiplier; multiplier > 0; multiplier /= 2)
    if (const auto got = in_units_of(most / static_cast<double>(multiplier), weights, rows)) return *got;
  fail(ErrorKind::unsupported, "second moments of that many rows do not fit into 64 bits");
}

}  // namespace mquant
