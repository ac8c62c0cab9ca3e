#include "eval/prepare.h"

#include <algorithm>

#include "eval/bounds.h"
#include "mquant/error.h"
#include "nn/for_all.h"
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

SampleSize size_of(const Features& f) {
  SampleSize size{.tokens = std::ssize(f.input_ids),
                  .vision_rows = std::ssize(f.patches),
                  .answer_tokens = f.answer_begin < 0 ? 0 : std::ssize(f.input_ids) - f.answer_begin,
                  .pixels = std::ssize(f.pixels)};
  for (const TokenClass c : f.token_class) ++size.of_class[static_cast<std::size_t>(c)];
  return size;
}

void measure_samples(EvalWork& work) {
  const ModelFacts& facts = work.model.facts;
  work.sizes.resize(work.samples.size());
  for_all(work.samples.size(), [&](std::size_t i) {
    const std::vector<Features> features =
        all_features(*facts.processor, *facts.spec, {work.samples[i]}, WithAnswer::yes, facts.sinks);
    work.sizes[i] = size_of(features.front());
  });
  for (const SampleSize& size : work.sizes)
    for (const TokenClass c : kAllTokenClasses)
      if (const std::int64_t n = size.of_class[static_cast<std::size_t>(c)]; n > 0)
        work.tokens[std::string(token_class_name(c))] += n;
}

}  // namespace

EvalWork prepare(const EvalOptions& options) {
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
    measure_samples(work);
    check_measurable(options.bounds, work.answers, work.tokens, obstacles);
  });
  obstacles.raise();
  return work;
}

}  // namespace mquant
