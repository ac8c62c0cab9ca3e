// Exact match, perplexity of the answers, and agreement with a reference model by token class.
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <mutex>
#include <numeric>
#include <set>

#include "eval/greedy.h"
#include "eval/loaded_model.h"
#include "mquant/compile.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "pipeline/agreement.h"
#include "pipeline/source.h"
#include "support/timer.h"

namespace mquant {
namespace {

/// What one sample adds to the report.
struct SampleResult {
  std::string found;
  bool exact = false;
  LogitSums sums;
};

/// Of every token, [T, vocabulary].
at::Tensor all_logits(const LoadedModel& model, const Features& features) {
  std::vector<KvCache> none;
  return model.logits(features, none, 0, LogitRows::all);
}

class Evaluation {
 public:
  explicit Evaluation(const EvalOptions& options) : options_(options), model_(open(options.model)) {
    model_.use_kv_cache(options.kv_cache);
    if (options.reference) reference_.emplace(open(*options.reference));
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
  LoadedModel open(const std::filesystem::path& model) const {
    return LoadedModel::open(model, options_.executor,
                             read_chat_template(options_.run.chat_template, options_.run.template_date));
  }

  SampleResult evaluate_one(const Sample& sample, const Features& prompt, const Features& whole) const {
    SampleResult result;
    const GreedyOptions greedy_options{.max_new_tokens = options_.max_new_tokens};
    result.found = model_.processor().decode(greedy(model_, prompt, greedy_options));
    result.exact = sample.answer && result.found == *sample.answer;
    if (!sample.answer && !reference_) return result;
    std::vector<std::int64_t> tokens(whole.input_ids.size());
    std::iota(tokens.begin(), tokens.end(), 0);
    add_logits(whole, tokens, all_logits(model_, whole),
               reference_ ? all_logits(*reference_, whole) : at::Tensor(), result.sums);
    return result;
  }

  EvalReport sum(const std::vector<SampleResult>& results) const {
    EvalReport report;
    report.kv_cache = model_.kv_cache();
    const std::set<std::string> seen(model_.calibration_digests().begin(),
                                     model_.calibration_digests().end());
    LogitSums sums;
    for (std::size_t i = 0; i < results.size(); ++i) {
      const Sample& sample = samples_[i];
      for (EvalRow* row : {&report.all, &report.by_kind[sample.kind]}) {
        row->samples += sample.answer ? 1 : 0;
        row->exact += results[i].exact ? 1 : 0;
      }
      sums.add(results[i].sums);
      report.shared_with_calibration += seen.contains(sample.digest) ? 1 : 0;
      report.answers.push_back({sample.id, sample.kind, sample.answer.value_or(""), results[i].found});
    }
    report.answer_tokens = sums.answer_tokens;
    if (report.answer_tokens > 0)
      report.perplexity = std::exp(sums.negative_log_likelihood / static_cast<double>(report.answer_tokens));
    for (std::size_t c = 0; c < sums.agreement.size(); ++c) {
      AgreementRow row = sums.agreement[c];
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
