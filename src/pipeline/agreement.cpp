#include "pipeline/agreement.h"

#include <ATen/ops/log_softmax.h>

#include <algorithm>

#include "mquant/error.h"

namespace mquant {
namespace {

constexpr std::int64_t kRows = 64;  // float64 copies of a vocabulary: so many rows at a time

at::Tensor log_probabilities(const at::Tensor& logits, std::int64_t begin, std::int64_t rows) {
  return at::log_softmax(logits.narrow(0, begin, rows).to(at::kDouble), -1);
}

/// -log p of the answer's tokens that rows [first, first + log_p.size(0)) predict.
double likelihood(const Features& f, std::int64_t first, const at::Tensor& log_p, std::int64_t& tokens) {
  double sum = 0;
  tokens = 0;
  if (f.answer_begin < 0) return 0;
  const std::int64_t end = std::min(first + log_p.size(0), std::ssize(f.input_ids) - 1);
  for (std::int64_t row = std::max(first, f.answer_begin - 1); row < end; ++row, ++tokens)
    sum -= log_p[row - first][f.input_ids[static_cast<std::size_t>(row + 1)]].item<double>();
  return sum;
}

}  // namespace

void LogitSums::add(const LogitSums& other) {
  for (std::size_t c = 0; c < agreement.size(); ++c) {
    agreement[c].tokens += other.agreement[c].tokens;
    agreement[c].kl += other.agreement[c].kl;
    agreement[c].top1 += other.agreement[c].top1;
  }
  negative_log_likelihood += other.negative_log_likelihood;
  reference_negative_log_likelihood += other.reference_negative_log_likelihood;
  answer_tokens += other.answer_tokens;
}

void add_logits(const Features& features, std::int64_t first, const at::Tensor& logits,
                const at::Tensor& reference, LogitSums& sums) {
  require(!reference.defined() || reference.sizes() == logits.sizes(), "logits of different shapes");
  for (std::int64_t begin = 0; begin < logits.size(0); begin += kRows) {
    const std::int64_t rows = std::min(kRows, logits.size(0) - begin);
    const at::Tensor log_p = log_probabilities(logits, begin, rows);
    std::int64_t tokens = 0;
    sums.negative_log_likelihood += likelihood(features, first + begin, log_p, tokens);
    sums.answer_tokens += tokens;
    if (!reference.defined()) continue;
    const at::Tensor wanted = log_probabilities(reference, begin, rows);
    sums.reference_negative_log_likelihood += likelihood(features, first + begin, wanted, tokens);
    const at::Tensor kl = (wanted.exp() * (wanted - log_p)).sum(-1).contiguous();
    const at::Tensor same = log_p.argmax(-1).eq(wanted.argmax(-1)).contiguous();
    for (std::int64_t r = 0; r < rows; ++r) {
      const TokenClass c = features.token_class[static_cast<std::size_t>(first + begin + r)];
      AgreementRow& row = sums.agreement[static_cast<std::size_t>(c)];
      ++row.tokens;
      row.kl += kl.const_data_ptr<double>()[r];
      row.top1 += same.const_data_ptr<bool>()[r] ? 1 : 0;
    }
  }
}

}  // namespace mquant
