#include "pipeline/agreement.h"

#include <optional>

#include "kernels/softmax_rows.h"
#include "mquant/error.h"

namespace mquant {
namespace {

/// The token after `token`, if it is of the answer.
std::optional<std::int64_t> answer_token_after(const Features& f, std::int64_t token) {
  if (f.answer_begin < 0 || token + 1 < f.answer_begin || token + 1 >= std::ssize(f.input_ids)) return {};
  return f.input_ids[static_cast<std::size_t>(token + 1)];
}

std::span<const float> row_of(const at::Tensor& logits, std::int64_t row) {
  const std::int64_t vocabulary = logits.size(1);
  return {logits.const_data_ptr<float>() + row * vocabulary, static_cast<std::size_t>(vocabulary)};
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

std::vector<std::int64_t> add_logits(const Features& features, std::span<const std::int64_t> tokens,
                                     const at::Tensor& logits, const at::Tensor& reference, LogitSums& sums) {
  require(logits.size(0) == std::ssize(tokens), "logits of ", logits.size(0), " rows for ", tokens.size(),
          " tokens");
  require(!reference.defined() || reference.sizes() == logits.sizes(), "logits of different shapes");
  const at::Tensor found = logits.contiguous(),
                   wanted = reference.defined() ? reference.contiguous() : reference;
  std::vector<std::int64_t> most_likely;
  for (std::int64_t r = 0; r < found.size(0); ++r) {
    const std::int64_t token = tokens[static_cast<std::size_t>(r)];
    const auto next = answer_token_after(features, token);
    const std::span<const float> q = row_of(found, r);
    const SoftmaxRow of_q = softmax_of(q);
    most_likely.push_back(of_q.largest);
    if (next) {
      ++sums.answer_tokens;
      sums.negative_log_likelihood += of_q.surprise(q[static_cast<std::size_t>(*next)]);
    }
    if (!wanted.defined()) continue;
    const std::span<const float> p = row_of(wanted, r);
    const SoftmaxRow of_p = softmax_of(p);
    if (next) sums.reference_negative_log_likelihood += of_p.surprise(p[static_cast<std::size_t>(*next)]);
    const TokenClass c = features.token_class[static_cast<std::size_t>(token)];
    AgreementRow& row = sums.agreement[static_cast<std::size_t>(c)];
    ++row.tokens;
    row.kl += kl_divergence(p, of_p, q, of_q);
    row.top1 += of_p.largest == of_q.largest ? 1 : 0;
  }
  return most_likely;
}

}  // namespace mquant
