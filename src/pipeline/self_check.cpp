#include "pipeline/self_check.h"

#include <ATen/ops/cat.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "model/ends.h"
#include "mquant/error.h"
#include "nn/for_all.h"
#include "nn/stored.h"
#include "nn/tensors.h"
#include "pipeline/agreement.h"
#include "pipeline/find_sinks.h"
#include "pipeline/frames.h"

namespace mquant {
namespace {

constexpr std::int64_t kLogitRows =
    128;  // of all samples: a vocabulary may hold more weights than the decoder
constexpr std::size_t kSamplesForOne = 8;  // samples of the calibration for each one of the check

/// The register by which a block's error is told: the stream, or what the projector hands to the decoder.
std::string output_of(const BlockSpec& spec) {
  for (const char* name : {"x", "visual"})
    if (spec.writes(name) && std::ranges::find(spec.keeps, name) != spec.keeps.end()) return name;
  return {};
}

bool quantizes_inputs(const Block& block) {
  return std::ranges::any_of(block.linears, [](const auto& entry) {
    return entry.second.quantized != nullptr && entry.second.quantized->scheme.activation_bits == 8;
  });
}

/// At most `most` tokens, evenly spread over those of each class.
std::vector<std::int64_t> spread_tokens(const Features& features, std::int64_t most) {
  std::array<std::vector<std::int64_t>, kTokenClasses> of_class;
  for (std::size_t t = 0; t < features.token_class.size(); ++t)
    of_class[static_cast<std::size_t>(features.token_class[t])].push_back(static_cast<std::int64_t>(t));
  std::ranges::sort(of_class, {},
                    [](const auto& tokens) { return tokens.size(); });  // few leave more to others
  std::vector<std::int64_t> chosen;
  for (std::size_t c = 0; c < of_class.size(); ++c) {
    const std::int64_t share = (most - std::ssize(chosen)) / static_cast<std::int64_t>(of_class.size() - c),
                       all = std::ssize(of_class[c]), count = std::min(share, all);
    for (std::int64_t i = 0; i < count; ++i)
      chosen.push_back(of_class[c][static_cast<std::size_t>(i * all / count)]);
  }
  std::ranges::sort(chosen);
  return chosen;
}

struct ErrorSums {
  std::array<double, kTokenClasses> error{};
  std::array<std::int64_t, kTokenClasses> rows{};
};

ErrorSums row_errors(const at::Tensor& found, const at::Tensor& wanted,
                     const std::vector<TokenClass>& classes) {
  const at::Tensor noise = (found - wanted).square().sum(1).to(at::kDouble).contiguous();
  const at::Tensor signal = wanted.square().sum(1).to(at::kDouble).contiguous();
  ErrorSums sums;
  for (std::size_t r = 0; r < classes.size(); ++r) {
    const double of_row = signal.const_data_ptr<double>()[r];
    if (of_row == 0) continue;
    const auto c = static_cast<std::size_t>(classes[r]);
    sums.error[c] += noise.const_data_ptr<double>()[r] / of_row;
    ++sums.rows[c];
  }
  return sums;
}

std::string key(const char* figure, TokenClass c) { return cat(figure, "_", token_class_name(c)); }

}  // namespace

SelfCheck::SelfCheck(const ModelSpec& model, const std::vector<Sample>& samples,
                     const std::vector<Features>& features, const PixelSource& pixels,
                     const Settings& settings)
    : model_(model), settings_(settings) {
  const std::size_t most = std::max<std::size_t>(1, samples.size() / kSamplesForOne);
  chosen_ = representatives(samples, std::min(most, static_cast<std::size_t>(settings.count)));
  for (const std::size_t i : chosen_) {
    samples_.push_back(&features[i]);
    float_states_.push_back(start_sample(features[i], i, pixels));
  }
  if (!settings.propagates) quantized_states_ = float_states_;
}

void SelfCheck::reorder(const std::function<void(SampleState&)>& reorder) {
  for (const auto& [name, states] : states())
    for (SampleState& state : *states) reorder(state);
}

std::map<std::string, std::vector<SampleState>*> SelfCheck::states() {
  std::map<std::string, std::vector<SampleState>*> states;
  if (!is_on()) return states;
  states["float"] = &float_states_;
  if (!settings_.propagates) states["quantized"] = &quantized_states_;
  return states;
}

void SelfCheck::take_from(const StateStore& states) {
  if (!settings_.propagates) return;
  quantized_states_.clear();
  for (const std::size_t i : chosen_) quantized_states_.push_back(states.sample(i));
}

void SelfCheck::begin_head(const StateStore& states) {
  take_from(states);  // a sweep over the head leaves its input nowhere
  const std::int64_t most =
      std::max<std::int64_t>(kAllTokenClasses.size(), kLogitRows / std::ssize(samples_));
  for (std::size_t i = 0; i < samples_.size(); ++i) {
    restore_order(float_states_[i]);
    restore_order(quantized_states_[i]);
    tokens_.push_back(spread_tokens(*samples_[i], most));
  }
  float_logits_.resize(samples_.size());
  logits_.resize(samples_.size());
}

namespace {

/// Logits of some tokens, [tokens, rows of the head].
at::Tensor logits_of(const Block& head, SampleState state, const std::vector<std::int64_t>& tokens) {
  const at::Tensor rows = index_tensor(tokens);
  at::Tensor& x = state.registers.at("x");
  const bool by_class = quantizes_inputs(head);  // rows alone do not tell theirs
  if (!by_class) x = x.index_select(0, rows);
  run_block(head, state);
  const at::Tensor all = state.registers.at("logits");
  return by_class ? all.index_select(0, rows) : all;
}

/// In float32, but for a table of embeddings in a narrower type, whose rows are widened when they are taken.
Block in_float(const Block& loaded) {
  const bool table = loaded.spec().linears.empty() && rows_of_end(loaded.spec()) > 0;
  const auto is_narrow = [](const auto& param) { return param.second.element_size() < 4; };
  return table && std::ranges::all_of(loaded.params, is_narrow) ? loaded : converted(loaded, at::kFloat);
}

}  // namespace

void SelfCheck::run_float(const Block& loaded, const StateStore& states) {
  if (!is_on()) return;
  const Block block = in_float(loaded);
  if (block.spec().name != model_.blocks.back().name) {
    for_all(samples_.size(), [&](std::size_t i) {
      if (takes_part(block.spec(), *samples_[i])) run_block(block, float_states_[i]);
    });
    return;
  }
  if (tokens_.empty()) begin_head(states);
  for_all(samples_.size(),
          [&](std::size_t i) { float_logits_[i].push_back(logits_of(block, float_states_[i], tokens_[i])); });
}

void SelfCheck::run_head(const Block& calibrated) {
  for_all(samples_.size(), [&](std::size_t i) {
    logits_[i].push_back(logits_of(calibrated, quantized_states_[i], tokens_[i]));
  });
}

std::map<std::string, double> SelfCheck::compare(const Block& calibrated, const StateStore& states) {
  if (!is_on()) return {};
  if (calibrated.spec().name == model_.blocks.back().name) return compare_logits();
  Block compiled = calibrated;  // shares its tensors
  compiled.run_float = false;   // whatever the samples of the calibration are propagated by
  take_from(states);
  if (!settings_.propagates)
    for_all(samples_.size(), [&](std::size_t i) {
      if (takes_part(compiled.spec(), *samples_[i])) run_block(compiled, quantized_states_[i]);
    });
  return compare_outputs(compiled);
}

std::map<std::string, double> SelfCheck::compare_outputs(const Block& compiled) const {
  const BlockSpec& spec = compiled.spec();
  const std::string name = output_of(spec);
  if (name.empty()) return {};
  const Frames frames(model_, spec, settings_.seed);
  std::vector<ErrorSums> of_sample(samples_.size());
  for_all(samples_.size(), [&](std::size_t i) {
    if (!takes_part(spec, *samples_[i]) || !float_states_[i].registers.contains(name)) return;
    const at::Tensor wanted = frames.into(compiled, name, float_states_[i].registers.at(name));
    const at::Tensor found = quantized_states_[i].registers.at(name);
    of_sample[i] =
        row_errors(found, wanted, row_classes(spec, RowSet::all, quantized_states_[i], found.size(0)));
  });
  ErrorSums sums;
  for (const ErrorSums& of_one : of_sample)
    for (std::size_t c = 0; c < sums.rows.size(); ++c) {
      sums.error[c] += of_one.error[c];
      sums.rows[c] += of_one.rows[c];
    }
  std::map<std::string, double> figures;
  for (const TokenClass c : kAllTokenClasses)
    if (const auto i = static_cast<std::size_t>(c); sums.rows[i] > 0)
      figures[key("error", c)] = sums.error[i] / static_cast<double>(sums.rows[i]);
  return figures;
}

std::map<std::string, double> SelfCheck::compare_logits() {
  std::vector<LogitSums> of_sample(samples_.size());
  for_all(samples_.size(), [&](std::size_t i) {
    const at::Tensor found = at::cat(std::exchange(logits_[i], {}), 1),
                     wanted = at::cat(std::exchange(float_logits_[i], {}), 1);
    add_logits(*samples_[i], tokens_[i], found, wanted, of_sample[i]);
  });
  LogitSums sums;
  for (const LogitSums& of_one : of_sample) sums.add(of_one);
  std::map<std::string, double> figures;
  for (const TokenClass c : kAllTokenClasses) {
    const AgreementRow& row = sums.agreement[static_cast<std::size_t>(c)];
    if (row.tokens == 0) continue;
    figures[key("tokens", c)] = static_cast<double>(row.tokens);
    figures[key("kl", c)] = row.kl / static_cast<double>(row.tokens);
    figures[key("top1", c)] = row.top1 / static_cast<double>(row.tokens);
  }
  figures["samples"] = static_cast<double>(samples_.size());
  if (sums.answer_tokens == 0) return figures;
  figures["answer_tokens"] = static_cast<double>(sums.answer_tokens);
  figures["float_nll"] = sums.reference_negative_log_likelihood;
  figures["quantized_nll"] = sums.negative_log_likelihood;
  return figures;
}

namespace {

using Figures = std::map<std::string, double>;

double figure(const Figures& figures, const std::string& name) {
  const auto it = figures.find(name);
  return it == figures.end() ? 0 : it->second;
}

/// The step from one block to the next, of one class, that adds most to the error.
void note_growth(const std::string& block, const Figures& before, const Figures& now, TokenClass c,
                 SelfCheckReport& report) {
  const double from = figure(before, key("error", c)), to = figure(now, key("error", c));
  if (to - from <= report.error_after - report.error_before) return;
  report.worst_block = block;
  report.worst_class = token_class_name(c);
  report.error_before = from;
  report.error_after = to;
}

}  // namespace

SelfCheckReport self_check_report(const std::vector<std::pair<std::string, Figures>>& blocks) {
  SelfCheckReport report;
  std::array<Figures, kTokenClasses> last;  // with an error of the class
  for (const auto& [name, figures] : blocks) {
    for (const TokenClass c : kAllTokenClasses) {
      if (figures.contains(key("error", c))) {
        report.errors[name][std::string(token_class_name(c))] = figure(figures, key("error", c));
        Figures& before = last[static_cast<std::size_t>(c)];
        if (c != TokenClass::sink) note_growth(name, before, figures, c, report);
        before = figures;
      }
      if (figures.contains(key("kl", c)))
        report.agreement[std::string(token_class_name(c))] = {
            static_cast<std::int64_t>(figure(figures, key("tokens", c))), figure(figures, key("kl", c)),
            figure(figures, key("top1", c))};
    }
    if (figures.contains("samples")) report.samples = static_cast<std::int64_t>(figure(figures, "samples"));
    if (!figures.contains("answer_tokens")) continue;
    const double tokens = figure(figures, "answer_tokens");
    report.answer_tokens = static_cast<std::int64_t>(tokens);
    report.float_perplexity = std::exp(figure(figures, "float_nll") / tokens);
    report.perplexity = std::exp(figure(figures, "quantized_nll") / tokens);
  }
  return report;
}

}  // namespace mquant
