// GPTQ: rounds a linear's columns one after another, each with the errors of those already rounded
// compensated.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "mquant/scheme.h"
#include "mquant/tensor.h"
#include "quant/round_to_nearest.h"
#include "quant/second_moment.h"

namespace mquant {

struct GptqOptions {
  double damping = 0.01;  ///< of the mean of H's diagonal, added to it
  bool act_order = true;  ///< columns with the largest diagonal first
};

/// H made ready: columns without input taken as independent of all others, damped, put in order,
/// factored.  Linears that share their input share it.
struct GptqFactor {
  std::int64_t in = 0;
  /// L, lower triangular, [in, in], L L^T = H in the order of `column_at`; undefined if no damping
  /// helped.
  at::Tensor lower;
  /// [in]: columns are rounded from the last of these to the first.
  std::vector<std::int64_t> column_at;
  std::vector<std::int64_t> excluded;  ///< columns that are left out: all their codes are 0
  double damping = 0;                  ///< that was used, as a part of the mean diagonal
  /// [in], in the order of `column_at`: what L L^T has on its diagonal beyond H, damping above
  /// all.
  std::vector<double> added;

  bool usable() const { return lower.defined(); }
};

/// A column whose diagonal is 0 had no input in calibration: it is taken as independent of all
/// others, which rounds it to nearest, since inputs to come may have a value there.  A singular H
/// is not an error: the damping is raised tenfold, at most twice, with a warning.  If that does
/// not help, the factor is not usable and gptq rounds to nearest.
///
/// @param H         sum x x^T, [in, in], symmetric; consumed.  Its scale does not matter
/// @param excluded  columns to be left out as if they had no input: split channels, whose weights
///                  are zero
/// @throws          Error{input} naming the place if H has a NaN or an infinity; Error{internal}
///                  for a wrong shape
/// Cost             in^3 / 3 operations; in^2 floats beyond H, and H itself is freed before the
///                  factorization if nobody else holds it
GptqFactor prepare_hessian(at::Tensor H, const GptqOptions& options,
                           std::span<const std::int64_t> excluded = {});

/// The same of H = unit * moments.
/// @param moments  consumed, and freed before the factorization
/// @param unit     positive and finite, as moment_weights gives it
/// @throws         Error{input} if H is too large for float32
GptqFactor prepare_hessian(CodeMoments moments, double unit, const GptqOptions& options,
                           std::span<const std::int64_t> excluded = {});

struct GptqResult {
  QuantizedLinear linear;  ///< columns in the weight's own order
  bool fell_back = false;  ///< rounded to nearest: the factor was not usable
  /// tr(E (H + damping) E^T), E = W - codes * scale; 0 after a fallback.
  double squared_error = 0;
  /// Signal to noise of the output over the inputs that H stands for, tr(W H W^T) / tr(E H E^T),
  /// in dB; +infinity without noise.  Of all outputs, or of 256 evenly spread ones where there are
  /// more.  From the errors that the rounding sums up anyway, without what damping adds to them;
  /// nothing after a fallback.
  std::optional<double> output_sqnr_db;
};

/// Rounds one linear.  Scales are those of the original W; each row is rounded on its own.
///
/// Column j is rounded to the code nearest to  w_j + sum_i e_i L_ij / L_jj,  i over the columns
/// already rounded and e_i = w_i - q_i: what the usual updates of the remaining weights, by rows
/// of the inverse's factor, amount to.
///
/// @param W  weight, [out, in]
/// @return   the same bytes for any number of threads and on every processor
/// @throws   Error{input} if W has a NaN or an infinity
/// Cost      out * in^2 operations; a copy of W, in pieces, and the codes
/// Source    GPTQ, arXiv 2210.17323, algorithm 1; column order: the authors' code; in terms of the
///           factor of H, not of its inverse: arXiv 2507.18553 (GPTQ is Babai's nearest plane
///           algorithm)
GptqResult gptq(const at::Tensor& W, const GptqFactor& factor, const QuantScheme& scheme,
                const RoundingOptions& options);

}  // namespace mquant
