// What a calibration belongs to: digests of everything that decides its bytes.
#include "pipeline/identity.h"

#include <torch/headeronly/version.h>

#include <algorithm>

#include "artifact/run_identity.h"
#include "artifact/sidecars.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "mquant/version.h"
#include "nn/for_all.h"
#include "support/mapped_file.h"
#include "support/sha256.h"

namespace mquant {

namespace fs = std::filesystem;
namespace {

void expect_own(const fs::path& file, const fs::path& directory) {
  if (!is_weights(file) && !belongs_to(file, directory))
    fail(ErrorKind::input, "'", file.string(),
         "' is a link out of the model's directory, and the artifact would get ",
         "a copy of what it leads to; put the file itself there");
}

/// The files that were opened, and the shards, which are not all in use yet.
std::vector<fs::path> files_in_use(const SourceModel& source) {
  std::vector<fs::path> files = source.opened;
  for (const fs::path& file : source.checkpoint.files())
    if (std::ranges::find(files, file) == files.end()) files.push_back(file);
  return files;
}

}  // namespace

void check_files(const SourceModel& source, Obstacles& obstacles) {
  for (const fs::path& file : files_in_use(source))
    obstacles.collect([&] {
      expect_own(file, source.directory);
      const MappedFile readable(file);
    });
  for (const std::string& name : sidecars_of(source.checkpoint).copied)
    if (const fs::path file = source.directory / name;
        std::ranges::find(source.opened, file) == source.opened.end())
      obstacles.collect([&] { const MappedFile readable(file); });
}

void expect_all_there(const SourceFiles& before, const fs::path& directory) {
  if (!fs::is_directory(directory)) return;
  for (const auto& [name, digest] : before.opened)
    if (!is_weights(name) && !fs::exists(directory / name))
      fail(ErrorKind::input, "'", directory.string(), "' is not the model of this calibration any more: '",
           printable(name), "' is gone; put the file back, or calibrate again");
}

SourceFiles opened_files(const fs::path& directory, const std::vector<fs::path>& opened,
                         const std::map<std::string, std::string>& looked_up) {
  SourceFiles files;
  for (const fs::path& file : opened) {
    expect_own(file, directory);
    files.opened[file.lexically_relative(directory).string()] = sha256_file(file);
  }
  files.config = looked_up;
  return files;
}

SourceFiles files_of(const SourceModel& source) {
  SourceFiles files = opened_files(source.directory, files_in_use(source), source.looked_up);
  for (const std::string& name : sidecars_of(source.checkpoint).copied)
    if (!files.opened.contains(name)) files.sidecars[name] = sha256_file(source.directory / name);
  return files;
}

void expect_unchanged(SourceFiles before, const SourceFiles& now, const fs::path& directory) {
  if (std::ranges::none_of(now.opened, [](const auto& file) { return is_weights(file.first); })) {
    std::erase_if(before.opened, [](const auto& file) { return is_weights(file.first); });
    before.sidecars = now.sidecars;  // only what export reads as a whole is looked at as a whole
  }
  if (const std::string text = difference(before, now); !text.empty())
    fail(ErrorKind::input, "'", directory.string(), "' is not the model of this calibration any more: ", text,
         "; put the file back, or calibrate again");
  for (const std::string& change : harmless_changes(before, now))
    info(
        cat("'", directory.string(), "': ", change, " since the calibration; it enters none of its numbers"));
}

std::string data_digest(std::span<const Sample> samples) {
  Sha256 all;
  for (const Sample& sample : samples) {
    all.update(sample.digest);
    // Templates may write a list of texts otherwise than a text.
    for (const Message& message : sample.messages) all.update(message.is_text ? "text" : "parts");
  }
  return all.hex();
}

std::string checkpoint_digest(const SourceModel& source) {
  std::vector<fs::path> files = files_in_use(source);
  for (const std::string& name : sidecars_of(source.checkpoint).copied)
    if (const fs::path file = source.directory / name; std::ranges::find(files, file) == files.end())
      files.push_back(file);
  std::vector<std::string> digests(files.size());
  for_all(files.size(), [&](std::size_t i) { digests[i] = sha256_file(files[i]); });
  SourceFiles named;
  for (std::size_t i = 0; i < files.size(); ++i)
    named.opened[files[i].lexically_relative(source.directory).string()] = digests[i];
  return digest_of(named);
}

RunIdentity identity_of(const SourceModel& source, const CalibrateOptions& options, const Recipe& recipe,
                        const std::vector<Sample>& samples, const std::vector<Features>& features,
                        const SinkRule& sinks) {
  RunIdentity identity;
  identity.tool_version = std::string(version());
  identity.libraries["libtorch"] = TORCH_VERSION;
  identity.model = std::filesystem::absolute(source.directory).lexically_normal();
  identity.source = files_of(source);
  identity.family = source.family->name;
  identity.data_file = options.data.filename().string();
  for (const Sample& sample : samples) identity.sample_digests.push_back(sample.digest);
  identity.data_digest = data_digest(samples);
  identity.samples = static_cast<std::int64_t>(samples.size());
  identity.tokens = count_tokens(features);
  identity.sinks = sinks;
  identity.chat_template = source.stated.text;
  identity.template_date = source.stated.date;
  identity.recipe = recipe.json;
  identity.seed = options.run.seed;
  return identity;
}

}  // namespace mquant
