// Opening a checkpoint, and making features of samples.
#include "pipeline/source.h"

#include <ATen/Parallel.h>

#include <thread>

#include "io/json_text.h"
#include "io/pytorch_bin.h"
#include "mquant/error.h"
#include "nn/for_all.h"
#include "pipeline/source_checks.h"
#include "pipeline/torch_memory.h"
#include "support/work_inputs.h"

namespace mquant {

SourceModel open_source(const std::filesystem::path& directory, const ChatTemplate& stated) {
  if (!std::filesystem::is_directory(directory))
    fail(ErrorKind::input, directory.string(), ": no such directory; expected a HuggingFace model directory");
  const WorkInputs read;
  refuse_adapter(directory);
  Config config = Config::open(directory / "config.json");
  const Family& family = find_family(config);
  ModelSpec model = family.describe(config);
  SourceModel source{directory,
                     config,
                     &family,
                     std::move(model),
                     Checkpoint::open(directory, open_pytorch_bin),
                     family.make_processor(directory, config, stated),
                     {},
                     stated,
                     {}};
  source.opened = read.files();
  source.looked_up = read.values(config.origin());
  return source;
}

DType stored_dtype(const SourceModel& source) {
  std::map<DType, std::int64_t> bytes;
  for (const std::string& name : source.checkpoint.names()) {
    const TensorView view = source.checkpoint.get(name);
    bytes[view.dtype] += static_cast<std::int64_t>(view.bytes.size());
  }
  DType most = DType::f32;
  for (const auto& [dtype, count] : bytes)
    if (count > bytes[most]) most = dtype;
  return most == DType::f64 ? DType::f32 : most;
}

void apply(const RunSettings& run) {
  if (run.device != "cpu") fail(ErrorKind::unsupported, "--device ", run.device, ": only 'cpu' is supported");
  install_torch_memory();
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  at::set_num_threads(run.threads > 0 ? run.threads : static_cast<int>(cores));
}

namespace {

void expect_embedded(const Features& features, const ModelSpec& model, const Processor& processor) {
  for (const std::int64_t id : features.input_ids) {
    if (id >= 0 && id < model.vocabulary) continue;
    const auto beyond = processor.tokens_beyond(model.vocabulary);
    const auto named = beyond.find(id);
    fail(ErrorKind::input, "token ", named == beyond.end() ? "" : cat("'", printable(named->second), "' "),
         "has id ", id, ", but the embeddings have ", model.vocabulary, " rows");
  }
}

}  // namespace

std::vector<Features> all_features(const Processor& processor, const ModelSpec& model,
                                   const std::vector<Sample>& samples, WithAnswer with_answer,
                                   const SinkRule& sinks, Pixels pixels) {
  std::vector<Features> features(samples.size());
  for_all(samples.size(), [&](std::size_t i) {
    features[i] = processor.features(samples[i], with_answer);
    in_context(cat("sample '", samples[i].id, "'"), [&] { expect_embedded(features[i], model, processor); });
    if (pixels == Pixels::dropped) features[i].pixels = {};
  });
  for (Features& f : features) mark_sinks(sinks, f);
  return features;
}

std::map<std::string, std::int64_t> count_tokens(const std::vector<Features>& features) {
  std::map<std::string, std::int64_t> tokens;
  for (const Features& f : features) {
    for (const TokenClass c : f.token_class) ++tokens[std::string(token_class_name(c))];
    tokens["visual_rows"] += static_cast<std::int64_t>(f.patches.size());
  }
  return tokens;
}

}  // namespace mquant
