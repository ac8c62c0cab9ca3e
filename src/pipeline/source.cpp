// Opening a checkpoint, and making features of samples.
#include "pipeline/source.h"

#include <ATen/Parallel.h>

#include <thread>

#include "mquant/error.h"
#include "nn/pytorch_bin.h"

namespace mquant {

SourceModel open_source(const std::filesystem::path& directory) {
  if (!std::filesystem::is_directory(directory))
    fail(ErrorKind::input, directory.string(), ": no such directory; expected a HuggingFace model directory");
  Config config = Config::open(directory / "config.json");
  const Family& family = find_family(config);
  ModelSpec model = family.describe(config);
  return {directory,
          config,
          &family,
          std::move(model),
          Checkpoint::open(directory, open_pytorch_bin),
          family.make_processor(directory, config)};
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
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  at::set_num_threads(run.threads > 0 ? run.threads : static_cast<int>(cores));
}

std::vector<Features> all_features(const Processor& processor, const std::vector<Sample>& samples,
                                   WithAnswer with_answer, bool sink) {
  std::vector<Features> features(samples.size());
  std::vector<std::exception_ptr> errors(samples.size());
  at::parallel_for(0, static_cast<std::int64_t>(samples.size()), 1,
                   [&](std::int64_t begin, std::int64_t end) {
                     for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
                       try {
                         in_context(cat("sample '", samples[i].id, "'"),
                                    [&] { features[i] = processor.features(samples[i], with_answer); });
                       } catch (...) {
                         errors[i] = std::current_exception();
                       }
                     }
                   });
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
  if (sink)
    for (Features& f : features)
      if (!f.token_class.empty() && f.token_class[0] == TokenClass::text) f.token_class[0] = TokenClass::sink;
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
