#include "kernels/hadamard_matrix.h"

#include <cstddef>

#include "mquant/error.h"

namespace mquant {
namespace {

struct PrimePower {
  std::int64_t prime = 0, exponent = 0;
};

std::optional<PrimePower> as_prime_power(std::int64_t q) {
  if (q < 3) return std::nullopt;
  std::int64_t prime = q;
  for (std::int64_t d = 2; d * d <= q; ++d)
    if (q % d == 0) {
      prime = d;
      break;
    }
  std::int64_t exponent = 0;
  while (q % prime == 0) {
    q /= prime;
    ++exponent;
  }
  if (q != 1) return std::nullopt;
  return PrimePower{prime, exponent};
}

/// GF(q) for q = p^m: an element is a polynomial over GF(p), its coefficients the digits of a number in base p.
class Field {
 public:
  Field(std::int64_t q, PrimePower power) : q_(q), p_(power.prime), m_(power.exponent) {
    // Some monic polynomial of degree m has x as a generator of the whole group; the first one in order of its digits
    // is taken.  Its powers then list all elements, squares first, third, fifth, ...
    for (std::int64_t tail = 1; tail < q_; ++tail)
      if (list_powers(tail)) return;
    fail(ErrorKind::internal, "no primitive polynomial over GF(", p_, ") of degree ", m_);
  }

  /// The quadratic character: 0, +1 for squares, -1 for the others.
  int character(std::int64_t a) const { return character_[static_cast<std::size_t>(a)]; }

  std::int64_t difference(std::int64_t a, std::int64_t b) const {
    std::int64_t result = 0, place = 1;
    for (std::int64_t i = 0; i < m_; ++i, place *= p_, a /= p_, b /= p_)
      result += (a % p_ - b % p_ + p_) % p_ * place;
    return result;
  }

 private:
  /// a x modulo x^m - tail, tail a polynomial of lower degree.
  std::int64_t times_x(std::int64_t a, std::int64_t tail) const {
    const std::int64_t top_place = q_ / p_, top = a / top_place;
    std::int64_t low = a % top_place * p_, result = 0, place = 1;
    for (std::int64_t i = 0; i < m_; ++i, place *= p_, low /= p_, tail /= p_)
      result += (low + top * (tail % p_)) % p_ * place;
    return result;
  }

  bool list_powers(std::int64_t tail) {
    character_.assign(static_cast<std::size_t>(q_), 0);
    std::int64_t power = 1;
    for (std::int64_t i = 0; i < q_ - 1; ++i) {
      if (power == 0 || character_[static_cast<std::size_t>(power)] != 0) return false;
      character_[static_cast<std::size_t>(power)] = i % 2 == 0 ? 1 : -1;
      power = times_x(power, tail);
    }
    return power == 1;
  }

  std::int64_t q_, p_, m_;
  std::vector<int> character_;
};

/// [q + 1, q + 1]: a border around the characters of all differences; 0 on the diagonal.  The left border is +1 where
/// -1 is a square (the matrix is symmetric), else -1 (skew).
std::vector<int> conference_matrix(std::int64_t q, PrimePower power) {
  const Field field(q, power);
  const std::int64_t n = q + 1;
  std::vector<int> matrix(static_cast<std::size_t>(n * n));
  const auto at = [&](std::int64_t i, std::int64_t j) -> int& {
    return matrix[static_cast<std::size_t>(i * n + j)];
  };
  for (std::int64_t i = 1; i < n; ++i) {
    at(0, i) = 1;
    at(i, 0) = q % 4 == 1 ? 1 : -1;
    for (std::int64_t j = 1; j < n; ++j) at(i, j) = field.character(field.difference(i - 1, j - 1));
  }
  return matrix;
}

void make_first_row_and_column_positive(std::vector<std::int8_t>& matrix, std::int64_t n) {
  const auto at = [&](std::int64_t i, std::int64_t j) -> std::int8_t& {
    return matrix[static_cast<std::size_t>(i * n + j)];
  };
  for (std::int64_t i = 0; i < n; ++i)
    if (at(i, 0) < 0)
      for (std::int64_t j = 0; j < n; ++j) at(i, j) = static_cast<std::int8_t>(-at(i, j));
  for (std::int64_t j = 0; j < n; ++j)
    if (at(0, j) < 0)
      for (std::int64_t i = 0; i < n; ++i) at(i, j) = static_cast<std::int8_t>(-at(i, j));
}

/// I + S, S the skew conference matrix.
std::vector<std::int8_t> paley_one(std::int64_t q, PrimePower power) {
  const std::vector<int> s = conference_matrix(q, power);
  const std::int64_t n = q + 1;
  std::vector<std::int8_t> h(s.begin(), s.end());
  for (std::int64_t i = 0; i < n; ++i) h[static_cast<std::size_t>(i * n + i)] = 1;
  return h;
}

/// C (x) [1 1; 1 -1] + I (x) [1 -1; -1 -1], C the symmetric conference matrix.
std::vector<std::int8_t> paley_two(std::int64_t q, PrimePower power) {
  const std::vector<int> c = conference_matrix(q, power);
  const std::int64_t half = q + 1, n = 2 * half;
  constexpr int kOff[2][2] = {{1, 1}, {1, -1}}, kDiagonal[2][2] = {{1, -1}, {-1, -1}};
  std::vector<std::int8_t> h(static_cast<std::size_t>(n * n));
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      const int value = i / 2 == j / 2
                            ? kDiagonal[i % 2][j % 2]
                            : c[static_cast<std::size_t>(i / 2 * half + j / 2)] * kOff[i % 2][j % 2];
      h[static_cast<std::size_t>(i * n + j)] = static_cast<std::int8_t>(value);
    }
  return h;
}

/// The prime power of the construction that gives this order, Paley I first.
std::optional<PrimePower> power_of_order(std::int64_t order, bool second) {
  if (order < 4 || order % 4 != 0) return std::nullopt;
  const std::int64_t q = second ? order / 2 - 1 : order - 1;
  if (q % 4 != (second ? 1 : 3)) return std::nullopt;
  return as_prime_power(q);
}

}  // namespace

bool has_paley_matrix(std::int64_t order) {
  return power_of_order(order, false) || power_of_order(order, true);
}

std::optional<std::vector<std::int8_t>> paley_matrix(std::int64_t order) {
  std::vector<std::int8_t> matrix;
  if (const auto first = power_of_order(order, false))
    matrix = paley_one(order - 1, *first);
  else if (const auto second = power_of_order(order, true))
    matrix = paley_two(order / 2 - 1, *second);
  else
    return std::nullopt;
  make_first_row_and_column_positive(matrix, order);
  return matrix;
}

}  // namespace mquant
