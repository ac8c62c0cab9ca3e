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

/// -log p of what follows the token at `row`, if that is of the answer.
bool likelihood(const Features& f, std::int64_t token, const at::Tensor& log_p, std::int64_t row,
                double& sum) {
  if (f.answer_begin < 0 || token + 1 < f.answer_begin || token + 1 >= std::ssize(f.input_ids)) return false;
  sum -= log_p[row][f.input_ids[static_cast<std::size_t>(token + 1)]].item<double>();
  return true;
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

void add_logits(const Features& features, std::span<const std::int64_t> tokens, const at::Tensor& logits,
                const at::Tensor& reference, LogitSums& sums) {
  require(logits.size(0) == std::ssize(tokens), "logits of ", logits.size(0), " rows for ", tokens.size(),
          " tokens");
  require(!reference.defined() || reference.sizes() == logits.sizes(), "logits of different shapes");
  for (std::int64_t begin = 0; begin < logits.size(0); begin += kRows) {
    const std::int64_t rows = std::min(kRows, logits.size(0) - begin);
    const auto token = [&](std::int64_t r) { return tokens[static_cast<std::size_t>(begin + r)]; };
    const at::Tensor log_p = log_probabilities(logits, begin, rows);
    for (std::int64_t r = 0; r < rows; ++r)
      sums.answer_tokens += likelihood(features, token(r), log_p, r, sums.negative_log_likelihood) ? 1 : 0;
    if (!reference.defined()) continue;
    const at::Tensor wanted = log_probabilities(reference, begin, rows);
    const at::Tensor kl = (wanted.exp() * (wanted - log_p)).sum(-1).contiguous();
    const at::Tensor same = log_p.argmax(-1).eq(wanted.argmax(-1)).contiguous();
    for (std::int64_t r = 0; r < rows; ++r) {
      likelihood(features, token(r), wanted, r, sums.reference_negative_log_likelihood);
      const TokenClass c = features.token_class[static_cast<std::size_t>(token(r))];
      AgreementRow& row = sums.agreement[static_cast<std::size_t>(c)];
      ++row.tokens;
      row.kl += kl.const_data_ptr<double>()[r];
      row.top1 += same.const_data_ptr<bool>()[r] ? 1 : 0;
    }
  }
}

}  // namespace mquant
