// What a calibration belongs to: digests of everything that decides its bytes.
#include "pipeline/identity.h"

#include <torch/headeronly/version.h>

#include "mquant/version.h"
#include "support/sha256.h"

namespace mquant {

RunIdentity identity_of(const SourceModel& source, const CalibrateOptions& options, const Recipe& recipe,
                        const std::vector<Sample>& samples, const std::vector<Features>& features,
                        const SinkRule& sinks) {
  RunIdentity identity;
  identity.tool_version = std::string(version());
  identity.libraries["libtorch"] = TORCH_VERSION;
  identity.model = std::filesystem::absolute(source.directory).lexically_normal();
  for (const std::filesystem::path& file : source.checkpoint.files())
    identity.files[file.filename().string()] = sha256_file(file);
  for (const char* name :
       {"config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"})
    if (std::filesystem::exists(source.directory / name))
      identity.files[name] = sha256_file(source.directory / name);
  identity.family = source.family->name;
  identity.data_file = options.data.filename().string();
  Sha256 all;
  for (const Sample& sample : samples) {
    identity.sample_digests.push_back(sample.digest);
    all.update(sample.digest);
  }
  identity.data_digest = all.hex();
  identity.samples = static_cast<std::int64_t>(samples.size());
  identity.tokens = count_tokens(features);
  identity.sinks = sinks;
  identity.recipe = recipe.json;
  identity.seed = options.run.seed;
  return identity;
}

}  // namespace mquant
