// Which factors make up a Hadamard matrix of a given order.
#include <algorithm>
#include <bit>
#include <functional>
#include <map>
#include <mutex>
#include <optional>

#include "kernels/hadamard.h"
#include "kernels/hadamard_matrix.h"
#include "mquant/error.h"

namespace mquant {
namespace {

constexpr std::int64_t kLargestSize = std::int64_t{1} << 24;

struct Factoring {
  std::vector<std::int64_t> orders;  // descending
  std::int64_t power = 1;
  std::int64_t cost = 0;  // additions a value when done densely
};

bool is_power_of_two(std::int64_t n) { return std::has_single_bit(static_cast<std::uint64_t>(n)); }

/// The cheapest way to write n as a product of Paley orders, none above `largest`, and a power of two.
std::optional<Factoring> cheapest(std::int64_t n, std::int64_t largest) {
  std::optional<Factoring> best;
  if (is_power_of_two(n)) best = Factoring{{}, n, std::countr_zero(static_cast<std::uint64_t>(n))};
  for (std::int64_t order = 12; order <= std::min(n, largest); order += 4) {
    if (n % order != 0 || is_power_of_two(order) || (best && order >= best->cost) || !has_paley_matrix(order))
      continue;
    const std::optional<Factoring> rest = cheapest(n / order, order);
    if (!rest || (best && rest->cost + order >= best->cost)) continue;
    best = rest;
    best->orders.insert(best->orders.begin(), order);
    best->cost += order;
  }
  return best;
}

/// Bit b of [group * n + output]: the sign of entry (4 group + b, output) of `entry`.
template <class Entry>
std::vector<std::uint8_t> sign_patterns(std::int64_t n, const Entry& entry) {
  std::vector<std::uint8_t> patterns(static_cast<std::size_t>(n / 4 * n));
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      if (entry(i, j) < 0)
        patterns[static_cast<std::size_t>(i / 4 * n + j)] |= static_cast<std::uint8_t>(1 << (i % 4));
  return patterns;
}

std::shared_ptr<const HadamardFactor> make_factor(std::int64_t order) {
  HadamardFactor factor{order, paley_matrix(order).value(), {}, {}};
  const auto at = [&](std::int64_t i, std::int64_t j) {
    return factor.matrix[static_cast<std::size_t>(i * order + j)];
  };
  factor.columns = sign_patterns(order, at);
  factor.rows = sign_patterns(order, [&](std::int64_t i, std::int64_t j) { return at(j, i); });
  return std::make_shared<const HadamardFactor>(std::move(factor));
}

/// Made once for each order: a model asks for the same few again and again.
std::shared_ptr<const HadamardFactor> shared_factor(std::int64_t order) {
  static std::mutex mutex;
  static std::map<std::int64_t, std::shared_ptr<const HadamardFactor>> made;
  const std::scoped_lock lock(mutex);
  auto& factor = made[order];
  if (!factor) factor = make_factor(order);
  return factor;
}

HadamardPlan plan_of(std::int64_t size, std::int64_t block, const Factoring& factoring) {
  HadamardPlan plan{size, block, factoring.power, {}};
  for (const std::int64_t order : factoring.orders) plan.factors.push_back(shared_factor(order));
  return plan;
}

void check_size(std::int64_t size) {
  if (size < 1 || size > kLargestSize)
    fail(ErrorKind::input, "a rotation of ", size, " columns: expected 1 to ", kLargestSize);
}

}  // namespace

HadamardPlan plan_hadamard(std::int64_t size) {
  check_size(size);
  for (std::int64_t blocks = 1; blocks <= size; ++blocks) {
    if (size % blocks != 0) continue;
    if (const auto factoring = cheapest(size / blocks, kLargestHadamardFactor))
      return plan_of(size, size / blocks, *factoring);
  }
  fail(ErrorKind::internal, "no Hadamard matrix of order 1");
}

HadamardPlan plan_hadamard(std::int64_t size, std::int64_t block) {
  check_size(size);
  if (block < 1 || size % block != 0)
    fail(ErrorKind::input, "a rotation of ", size, " columns in blocks of ", block, ": expected a divisor");
  const auto factoring = cheapest(block, kLargestHadamardFactor);
  if (!factoring)
    fail(ErrorKind::input, "a rotation in blocks of ", block, ": no Hadamard matrix of that order is known");
  return plan_of(size, block, *factoring);
}

std::vector<std::int8_t> hadamard_matrix(const HadamardPlan& plan) {
  const std::int64_t n = plan.block;
  std::vector<std::int8_t> matrix(static_cast<std::size_t>(n * n));
  const auto entry = [&](std::int64_t i, std::int64_t j) {
    std::int64_t size = n;
    int sign = 1;
    for (const auto& factor : plan.factors) {
      size /= factor->order;
      sign *= factor->matrix[static_cast<std::size_t>(i / size * factor->order + j / size)];
      i %= size;
      j %= size;
    }
    return std::popcount(static_cast<std::uint64_t>(i & j)) % 2 == 0 ? sign : -sign;
  };
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      matrix[static_cast<std::size_t>(i * n + j)] = static_cast<std::int8_t>(entry(i, j));
  return matrix;
}

}  // namespace mquant
