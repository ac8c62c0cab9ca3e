// Exact match, perplexity of the answers, and agreement with a reference model by token class.
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/headeronly/version.h>

#include <cmath>
#include <memory>
#include <mutex>
#include <set>

#include "eval/bounds.h"
#include "eval/journal.h"
#include "eval/loaded_model.h"
#include "eval/prepare.h"
#include "eval/sample_run.h"
#include "mquant/compile.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "mquant/version.h"
#include "pipeline/identity.h"
#include "pipeline/source.h"
#include "support/sha256.h"
#include "support/timer.h"

namespace mquant {
namespace {

std::string sha256_or_none(const std::string& text) { return text.empty() ? "none" : sha256_hex(text); }

std::string kv_cache_name(KvCacheType type) {
  switch (type) {
    case KvCacheType::automatic: return "auto";
    case KvCacheType::float32: return "float";
    case KvCacheType::int8: return "int8";
  }
  return {};
}

/// What decides the results of a sample, but for the sample.  Executors give the same bits.
EvalIdentity identity_of(const EvalOptions& options, const EvalWork& work) {
  const ChatTemplate stated = read_chat_template(options.run.chat_template, options.run.template_date);
  return {{"mquant", std::string(version())},
          {"libtorch", TORCH_VERSION},
          {"model", work.model.digest()},
          {"reference", work.reference ? work.reference->digest() : "none"},
          {"max_new_tokens", cat(options.max_new_tokens)},
          {"kv_cache", kv_cache_name(options.kv_cache)},
          {"chat_template", sha256_or_none(stated.text)},
          {"template_date", stated.date.empty() ? "none" : stated.date}};
}

std::unique_ptr<EvalJournal> open_journal(const EvalOptions& options, const EvalWork& work) {
  if (options.journal.empty()) return nullptr;
  std::vector<std::string> digests;
  for (const Sample& sample : work.samples) digests.push_back(data_digest({&sample, 1}));
  return std::make_unique<EvalJournal>(options.journal, identity_of(options, work), work.samples,
                                       std::move(digests));
}

class Evaluation {
 public:
  Evaluation(const EvalOptions& options, EvalWork work)
      : options_(options),
        journal_(open_journal(options, work)),  // refused before the weights are read
        model_(LoadedModel::load(std::move(work.model), options.executor)),
        samples_(std::move(work.samples)) {
    model_.use_kv_cache(options.kv_cache);
    if (work.reference) reference_.emplace(LoadedModel::load(std::move(*work.reference), options.executor));
  }

  EvalReport run() {
    const Stopwatch watch;
    std::vector<SampleResult> results(samples_.size());
    std::map<std::size_t, SampleResult> done;
    if (journal_) done = journal_->done();
    std::vector<std::size_t> left;
    for (std::size_t i = 0; i < samples_.size(); ++i) {
      if (const auto found = done.find(i); found != done.end())
        results[i] = found->second;
      else
        left.push_back(i);
    }
    Progress progress("evaluate", std::ssize(samples_));
    progress.advance(std::ssize(done));
    evaluate_all(left, results, progress);
    EvalReport report = sum(results);
    report.bounds = judge(options_.bounds, report);
    report.seconds = watch.seconds();
    return report;
  }

 private:
  void evaluate_all(const std::vector<std::size_t>& left, std::vector<SampleResult>& results,
                    Progress& progress) {
    std::vector<std::exception_ptr> errors(left.size());
    std::mutex mutex;
    // A loop of one is none to libtorch, and its operations would use all threads and sum in another order than for the
    // same sample among others: a second, empty turn keeps them on one.
    const std::int64_t turns = left.size() == 1 && journal_ ? 2 : std::ssize(left);
    at::parallel_for(0, turns, 1, [&](std::int64_t begin, std::int64_t end) {
      const c10::InferenceMode no_gradients;
      for (auto turn = static_cast<std::size_t>(begin); turn < static_cast<std::size_t>(end); ++turn) {
        if (turn >= left.size()) return;
        const std::size_t i = left[turn];
        try {
          check_interrupt();
          results[i] = evaluate_one(samples_[i]);
          const std::lock_guard lock(mutex);
          if (journal_) journal_->append(i, results[i]);
          progress.advance();
        } catch (...) {
          errors[turn] = std::current_exception();
          return;
        }
      }
    });
    for (const std::exception_ptr& error : errors)
      if (error) std::rethrow_exception(error);
  }

  SampleResult evaluate_one(const Sample& sample) const {
    const std::vector<Features> features = model_.features({sample}, WithAnswer::yes);
    const SampleRun run =
        run_sample(model_, reference_ ? &*reference_ : nullptr, features.front(), options_.max_new_tokens);
    SampleResult result{.found = model_.processor().decode(run.answer), .sums = run.sums};
    result.exact = sample.answer == result.found;
    return result;
  }

  EvalReport sum(const std::vector<SampleResult>& results) const {
    EvalReport report;
    report.kv_cache = model_.kv_cache();
    report.data_digest = data_digest(samples_);
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
  std::unique_ptr<EvalJournal> journal_;
  LoadedModel model_;
  std::optional<LoadedModel> reference_;
  std::vector<Sample> samples_;
};

}  // namespace

EvalReport evaluate(const EvalOptions& options) {
  const c10::InferenceMode no_gradients;
  apply(options.run);
  EvalReport report = Evaluation(options, prepare(options)).run();
  if (report.shared_with_calibration > 0)
    warn(cat(report.shared_with_calibration, " of ", report.answers.size(), " samples of ",
             options.data.string(), " were calibration samples of this model: its scores are flattered"));
  return report;
}

}  // namespace mquant
