// Exact match, perplexity of the answers, and agreement with a reference model by token class.
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/log_softmax.h>

#include <cmath>
#include <mutex>
#include <set>

#include "eval/greedy.h"
#include "eval/loaded_model.h"
#include "mquant/compile.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "pipeline/source.h"
#include "support/timer.h"

namespace mquant {
namespace {

/// What one sample adds to the report.
struct SampleResult {
  std::string found;
  bool exact = false;
  double negative_log_likelihood = 0;
  std::int64_t answer_tokens = 0;
  std::array<AgreementRow, kTokenClasses> agreement;  // sums, not means yet
};

/// log p of every token [T, vocabulary], float64.
at::Tensor log_probabilities(const LoadedModel& model, const Features& features) {
  std::vector<KvCache> none;
  return at::log_softmax(model.logits(features, none, 0, LogitRows::all).to(at::kDouble), -1);
}

/// Sum of -log p over the answer's tokens: row t - 1 predicts token t.
void add_likelihood(const Features& features, const at::Tensor& log_p, SampleResult& result) {
  const auto tokens = static_cast<std::int64_t>(features.input_ids.size());
  for (std::int64_t t = features.answer_begin; t < tokens; ++t) {
    const std::int64_t id = features.input_ids[static_cast<std::size_t>(t)];
    result.negative_log_likelihood -= log_p[t - 1][id].item<double>();
    ++result.answer_tokens;
  }
}

/// KL(reference || model) and equal argmax, row by row.
void add_agreement(const Features& features, const at::Tensor& log_p, const at::Tensor& reference,
                   SampleResult& result) {
  const at::Tensor kl = (reference.exp() * (reference - log_p)).sum(-1).contiguous();
  const at::Tensor same = log_p.argmax(-1).eq(reference.argmax(-1)).contiguous();
  for (std::size_t t = 0; t < features.token_class.size(); ++t) {
    AgreementRow& row = result.agreement[static_cast<std::size_t>(features.token_class[t])];
    ++row.tokens;
    row.kl += kl.data_ptr<double>()[t];
    row.top1 += same.data_ptr<bool>()[t] ? 1 : 0;
  }
}

class Evaluation {
 public:
  explicit Evaluation(const EvalOptions& options)
      : options_(options), model_(LoadedModel::open(options.model, options.executor)) {
    if (options.reference) reference_.emplace(LoadedModel::open(*options.reference, options.executor));
    samples_ = read_samples(options.data, options.limit);
    if (samples_.empty()) fail(ErrorKind::input, options.data.string(), ": no samples");
  }

  EvalReport run() {
    const Stopwatch watch;
    const std::vector<Features> prompts = model_.features(samples_, WithAnswer::no);
    const std::vector<Features> whole = model_.features(samples_, WithAnswer::yes);
    std::vector<SampleResult> results(samples_.size());
    Progress progress("evaluate", static_cast<std::int64_t>(samples_.size()));
    std::vector<std::exception_ptr> errors(samples_.size());
    std::mutex mutex;
    at::parallel_for(
        0, static_cast<std::int64_t>(samples_.size()), 1, [&](std::int64_t begin, std::int64_t end) {
          const c10::InferenceMode no_gradients;
          for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
            try {
              check_interrupt();
              results[i] = evaluate_one(samples_[i], prompts[i], whole[i]);
            } catch (...) {
              errors[i] = std::current_exception();
              return;
            }
            const std::lock_guard lock(mutex);
            progress.advance();
          }
        });
    for (const std::exception_ptr& error : errors)
      if (error) std::rethrow_exception(error);
    EvalReport report = sum(results);
    report.seconds = watch.seconds();
    return report;
  }

 private:
  SampleResult evaluate_one(const Sample& sample, const Features& prompt, const Features& whole) const {
    SampleResult result;
    const GreedyOptions greedy_options{.max_new_tokens = options_.max_new_tokens};
    result.found = model_.processor().decode(greedy(model_, prompt, greedy_options));
    result.exact = sample.answer && result.found == *sample.answer;
    if (!sample.answer && !reference_) return result;
    const at::Tensor log_p = log_probabilities(model_, whole);
    if (sample.answer) add_likelihood(whole, log_p, result);
    if (reference_) add_agreement(whole, log_p, log_probabilities(*reference_, whole), result);
    return result;
  }

  EvalReport sum(const std::vector<SampleResult>& results) const {
    EvalReport report;
    const std::set<std::string> seen(model_.calibration_digests().begin(),
                                     model_.calibration_digests().end());
    double likelihood = 0;
    std::array<AgreementRow, kTokenClasses> agreement;
    for (std::size_t i = 0; i < results.size(); ++i) {
      const Sample& sample = samples_[i];
      for (EvalRow* row : {&report.all, &report.by_kind[sample.kind]}) {
        row->samples += sample.answer ? 1 : 0;
        row->exact += results[i].exact ? 1 : 0;
      }
      likelihood += results[i].negative_log_likelihood;
      report.answer_tokens += results[i].answer_tokens;
      report.shared_with_calibration += seen.contains(sample.digest) ? 1 : 0;
      report.answers.push_back({sample.id, sample.kind, sample.answer.value_or(""), results[i].found});
      for (std::size_t c = 0; c < agreement.size(); ++c) {
        agreement[c].tokens += results[i].agreement[c].tokens;
        agreement[c].kl += results[i].agreement[c].kl;
        agreement[c].top1 += results[i].agreement[c].top1;
      }
    }
    if (report.answer_tokens > 0)
      report.perplexity = std::exp(likelihood / static_cast<double>(report.answer_tokens));
    for (std::size_t c = 0; c < agreement.size(); ++c) {
      AgreementRow row = agreement[c];
      if (row.tokens == 0) continue;
      row.kl /= static_cast<double>(row.tokens);
      row.top1 /= static_cast<double>(row.tokens);
      report.agreement[std::string(token_class_name(static_cast<TokenClass>(c)))] = row;
    }
    return report;
  }

  const EvalOptions& options_;
  LoadedModel model_;
  std::optional<LoadedModel> reference_;
  std::vector<Sample> samples_;
};

}  // namespace

EvalReport evaluate(const EvalOptions& options) {
  const c10::InferenceMode no_gradients;
  apply(options.run);
  EvalReport report = Evaluation(options).run();
  if (report.shared_with_calibration > 0)
    warn(cat(report.shared_with_calibration, " of ", report.answers.size(), " samples of ",
             options.data.string(), " were calibration samples of this model: its scores are flattered"));
  return report;
}

}  // namespace mquant
