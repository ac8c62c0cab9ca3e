#include "pipeline/find_sinks.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "mquant/block.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "nn/for_all.h"
#include "pipeline/end_rows.h"
#include "support/mapped_file.h"

namespace mquant {
namespace {

constexpr std::size_t kProbes = 4;
constexpr double kFirstTokenExcess = 16, kOtherExcess = 1000, kWithinSinks = 64;

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::ranges::nth_element(values, middle);
  return *middle;
}

/// By group: the excess of a candidate; 0 where it does not occur.
using Excess = std::vector<double>;

class Probe {
 public:
  Probe(const SourceModel& source, const std::vector<Sample>& samples, const std::vector<Features>& features,
        const PixelSource& pixels)
      : source_(source) {
    for (const std::size_t i : representatives(samples, kProbes)) {
      samples_.push_back(&features[i]);
      states_.push_back(start_sample(features[i], i, pixels));
    }
  }

  void run() {
    std::vector<SampleState> states = std::move(states_);
    const auto& blocks = source_.model.blocks;
    std::size_t end = blocks.size();  // nothing is looked at after the last decoder block
    while (end > 0 && !blocks[end - 1].has_kv_cache()) --end;
    Progress progress("find sinks", static_cast<std::int64_t>(end));
    for (std::size_t b = 0; b < end; ++b) {
      check_interrupt();
      run_block_and_look(blocks[b], states);
      forget_mapped_pages();
      progress.advance(1, blocks[b].name);
    }
  }

  SinkRule rule() const {
    SinkRule rule;
    Excess most(excess_.size(), 0);  // of any sink
    const auto take = [&](const Excess& e) {
      for (std::size_t g = 0; g < e.size(); ++g) most[g] = std::max(most[g], e[g]);
    };
    const Excess first = excess_of({.first_token = true});
    rule.first_token = reaches(first, kFirstTokenExcess);
    if (rule.first_token) take(first);
    const auto joins = [&](const SinkRule& candidate) {
      const Excess e = excess_of(candidate);
      if (!reaches(e, kOtherExcess)) return false;
      for (std::size_t g = 0; g < e.size(); ++g)
        if (most[g] > kWithinSinks * std::max(1.0, e[g])) return false;
      take(e);
      return true;
    };
    for (const std::int64_t id : prompt_ids())
      if (joins({.first_of = {id}})) rule.first_of.push_back(id);
    // Visual experts are chosen by the class `visual`: their rows keep it.
    rule.first_visual = !has_experts() && joins({.first_visual = true});
    return rule;
  }

 private:
  std::set<std::int64_t> prompt_ids() const {
    std::set<std::int64_t> ids;
    for (const Features* f : samples_)
      for (std::size_t t = 0; t < f->input_ids.size(); ++t)
        if (f->answer_begin < 0 || static_cast<std::int64_t>(t) < f->answer_begin)
          ids.insert(f->input_ids[t]);
    return ids;
  }

  bool has_experts() const {
    for (const BlockSpec& block : source_.model.blocks)
      for (const LinearSpec& linear : block.linears)
        if (linear.rows == RowSet::visual) return true;
    return false;
  }

  static bool reaches(const Excess& e, double least) {
    return std::ranges::any_of(e, [=](double x) { return x >= least; });
  }

  Excess excess_of(const SinkRule& candidate) const {
    std::vector<std::vector<std::size_t>> positions;
    for (const Features* f : samples_) positions.push_back(sink_positions(candidate, *f));
    Excess excess;
    for (const std::vector<std::vector<double>>& of_group : excess_) {
      std::vector<double> seen;
      for (std::size_t s = 0; s < positions.size(); ++s)
        for (const std::size_t t : positions[s])
          if (!of_group[s].empty() && of_group[s][t] >= 0) seen.push_back(of_group[s][t]);
      excess.push_back(seen.empty() ? 0 : median(seen));
    }
    return excess;
  }

  void run_block_and_look(const BlockSpec& spec, std::vector<SampleState>& states) {
    const Block block = load_to_run(source_.checkpoint, source_.model, spec);
    std::vector<std::size_t> part;
    for (std::size_t s = 0; s < states.size(); ++s)
      if (takes_part(spec, *samples_[s])) part.push_back(s);
    std::size_t step = 0;
    const auto advance = [&](std::size_t to) {
      for_all(part.size(), [&](std::size_t i) { run_steps(block, states[part[i]], step, to); });
      step = to;
    };
    if (spec.has_kv_cache())
      for (const LinearGroup& group : linear_groups(spec)) {
        advance(group.step);
        look(spec, group, part, states);
      }
    advance(spec.steps.size());
  }

  /// Remembers the excess of every token at this group; -1 for those that it does not see.
  void look(const BlockSpec& spec, const LinearGroup& group, const std::vector<std::size_t>& part,
            const std::vector<SampleState>& states) {
    const RowSet set = spec.linear(group.linears[0]).rows;
    std::map<TokenClass, std::vector<double>> energies;
    std::vector<std::vector<double>> by_sample(samples_.size());
    for (const std::size_t s : part) {
      const at::Tensor x = states[s].registers.at(group.input);
      const at::Tensor energy = x.square().sum(1).to(at::kDouble).contiguous();
      const std::vector<TokenClass>& classes = samples_[s]->token_class;
      std::vector<double>& of_token = by_sample[s];
      std::int64_t row = 0;
      for (const TokenClass c : classes) {
        const bool sees = set == RowSet::all || (c == TokenClass::visual) == (set == RowSet::visual);
        of_token.push_back(sees ? energy.const_data_ptr<double>()[row++] : -1);
        if (sees) energies[c].push_back(of_token.back());
      }
      require(row == x.size(0), "group '", group.linears[0], "' of ", spec.name, " sees ", x.size(0),
              " rows; ", row, " tokens are its own");
    }
    std::map<TokenClass, double> middle;
    for (const auto& [c, values] : energies) middle[c] = std::max(median(values), 1e-30);
    for (const std::size_t s : part)
      for (std::size_t t = 0; t < by_sample[s].size(); ++t)
        if (by_sample[s][t] >= 0) by_sample[s][t] /= middle[samples_[s]->token_class[t]];
    excess_.push_back(std::move(by_sample));
  }

  const SourceModel& source_;
  std::vector<const Features*> samples_;
  std::vector<SampleState> states_;                       // before the first block
  std::vector<std::vector<std::vector<double>>> excess_;  // by group, sample and token; no tokens: no part
};

/// `count` of `from`, evenly spread.
void pick(const std::vector<std::size_t>& from, std::size_t count, std::vector<std::size_t>& out) {
  count = std::min(count, from.size());
  for (std::size_t i = 0; i < count; ++i) out.push_back(from[i * from.size() / count]);
}

}  // namespace

std::vector<std::size_t> representatives(const std::vector<Sample>& samples, std::size_t count) {
  std::vector<std::size_t> by_content(samples.size());
  std::iota(by_content.begin(), by_content.end(), 0);
  std::ranges::stable_sort(by_content, {}, [&](std::size_t i) { return samples[i].digest; });
  const auto has_picture = [&](std::size_t i) {
    return std::ranges::any_of(samples[i].messages, [](const Message& message) {
      return std::ranges::any_of(
          message.content, [](const ContentPart& part) { return part.kind == ContentPart::Kind::image; });
    });
  };
  std::vector<std::size_t> with, without, chosen;
  for (const std::size_t i : by_content) (has_picture(i) ? with : without).push_back(i);
  const std::size_t of_fewer = std::min({count / 2, with.size(), without.size()});
  pick(with, with.size() <= without.size() ? of_fewer : count - of_fewer, chosen);
  pick(without, with.size() <= without.size() ? count - of_fewer : of_fewer, chosen);
  return chosen;
}

SinkRule find_sinks(const SourceModel& source, const std::vector<Sample>& samples,
                    const std::vector<Features>& features, const PixelSource& pixels) {
  Probe probe(source, samples, features, pixels);
  probe.run();
  return probe.rule();
}

}  // namespace mquant
