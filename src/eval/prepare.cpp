#include "eval/prepare.h"

#include <algorithm>
#include <iterator>

#include "eval/bounds.h"
#include "mquant/error.h"
#include "pipeline/obstacles.h"

namespace mquant {
namespace {

OpenedModel open(const EvalOptions& options, const std::filesystem::path& path) {
  return OpenedModel::open(path, read_chat_template(options.run.chat_template, options.run.template_date));
}

/// The reference sees the model's tokens and pixels, and its logits are compared one by one.
void expect_comparable(const ModelFacts& model, const ModelFacts& reference) {
  if (model.spec->family != reference.spec->family)
    fail(ErrorKind::input, "--reference ", reference.path.string(), " is of the family ",
         reference.spec->family, ", and ", model.path.string(), " of ", model.spec->family,
         ": their inputs differ; give the model that it was made from");
  if (model.spec->vocabulary != reference.spec->vocabulary)
    fail(ErrorKind::input, "--reference ", reference.path.string(), " has a vocabulary of ",
         reference.spec->vocabulary, " tokens, and ", model.path.string(), " of ", model.spec->vocabulary,
         "; give the model that it was made from");
}

void count(const std::vector<Features>& whole, EvalWork& work) {
  for (const Features& f : whole)
    work.sizes.push_back({std::ssize(f.input_ids), std::ssize(f.patches), std::ssize(f.pixels)});
  for (const auto& [name, n] : count_tokens(whole))
    if (name != "visual_rows" && n > 0) work.tokens[name] += n;
}

void make_features(Keep keep, EvalWork& work) {
  const ModelFacts& facts = work.model.facts;
  const auto features = [&](const std::vector<Sample>& samples, WithAnswer with_answer) {
    return all_features(*facts.processor, *facts.spec, samples, with_answer, facts.sinks);
  };
  if (keep == Keep::all) {
    work.prompts = features(work.samples, WithAnswer::no);
    work.whole = features(work.samples, WithAnswer::yes);
    return count(work.whole, work);
  }
  constexpr std::size_t kAtATime = 64;
  for (std::size_t begin = 0; begin < work.samples.size(); begin += kAtATime) {
    const auto first = work.samples.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto n = static_cast<std::ptrdiff_t>(std::min(kAtATime, work.samples.size() - begin));
    count(features({first, first + n}, WithAnswer::yes), work);
  }
}

}  // namespace

EvalWork prepare(const EvalOptions& options, Keep keep) {
  check_bounds(options);
  EvalWork work{.model = open(options, options.model)};
  if (options.kv_cache == KvCacheType::int8 && !work.model.has_kv_scales()) refuse_int8_cache(options.model);
  Obstacles obstacles;
  if (options.reference)
    obstacles.collect([&] {
      work.reference.emplace(open(options, *options.reference));
      expect_comparable(work.model.facts, work.reference->facts);
    });
  obstacles.collect([&] {
    work.samples = read_samples(options.data, options.limit);
    work.answers =
        std::ranges::count_if(work.samples, [](const Sample& sample) { return sample.answer.has_value(); });
    make_features(keep, work);
    check_measurable(options.bounds, work.answers, work.tokens, obstacles);
  });
  obstacles.raise();
  return work;
}

}  // namespace mquant
