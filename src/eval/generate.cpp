// One answer to one prompt.
#include <ATen/core/grad_mode.h>

#include "eval/greedy.h"
#include "mquant/compile.h"
#include "pipeline/source.h"
#include "support/timer.h"

namespace mquant {
namespace {

Sample sample_of(const GenerateOptions& options) {
  Sample sample;
  sample.id = "prompt";
  if (!options.system.empty()) sample.messages.push_back({"system", {{.text = options.system}}});
  Message user{"user", {}};
  for (const std::filesystem::path& image : options.images)
    user.content.push_back({ContentPart::Kind::image, "", image, image.string()});
  user.content.push_back({.text = options.prompt});
  sample.messages.push_back(user);
  return sample;
}

}  // namespace

Generation generate(const GenerateOptions& options) {
  const c10::InferenceMode no_gradients;
  apply(options.run);
  Stopwatch watch;
  LoadedModel model =
      LoadedModel::open(options.model, options.executor,
                        read_chat_template(options.run.chat_template, options.run.template_date));
  model.use_kv_cache(options.kv_cache);
  Generation generation;
  generation.kv_cache = model.kv_cache();
  generation.load_seconds = watch.seconds();
  const Features features = model.features({sample_of(options)}, WithAnswer::no).front();
  generation.prompt_tokens = static_cast<std::int64_t>(features.input_ids.size());
  for (const TokenClass c : features.token_class) generation.visual_tokens += c == TokenClass::visual ? 1 : 0;
  watch.restart();
  const auto on_token = [&](std::int64_t) {
    if (generation.new_tokens++ > 0) return;
    generation.prefill_seconds = watch.seconds();
    watch.restart();
  };
  const std::vector<std::int64_t> tokens =
      greedy(model, features, {.max_new_tokens = options.max_new_tokens}, on_token);
  (tokens.empty() ? generation.prefill_seconds : generation.decode_seconds) = watch.seconds();
  generation.text = model.processor().decode(tokens);
  return generation;
}

}  // namespace mquant
