// Which artifact is written where; what is in it is the format's business.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "artifact/formats.h"
#include "artifact/manifest.h"
#include "artifact/partial_directory.h"
#include "mquant/artifact.h"
#include "mquant/error.h"
#include "support/strings.h"
#include "support/writable.h"

namespace mquant {
namespace fs = std::filesystem;
namespace {

/// An artifact may be replaced with all that is in it; what others put there may not.
void expect_own_files_only(const fs::path& artifact) {
  const Json manifest = read_json(artifact / kManifestFile);
  for (const fs::directory_entry& entry : fs::directory_iterator(artifact)) {
    const std::string name = entry.path().filename().string();
    const bool named = manifest.is_object() && manifest.contains("files") && manifest["files"].contains(name);
    if (name != kManifestFile && !named)
      fail(ErrorKind::usage, "'", artifact.string(), "': '", printable(name),
           "' is not a file of the artifact, and --overwrite would delete it; move it away, or give another ",
           "directory");
  }
}

/// The calibration must be of this model.
void check_input(const ExportInput& input) {
  const std::vector<std::string>& done = input.calibration->done();
  for (const BlockSpec& block : input.model->blocks)
    if (std::find(done.begin(), done.end(), block.name) == done.end())
      fail(ErrorKind::input, "'", input.calibration->directory().string(), "': no block '", block.name,
           "', which the model in '", input.source->directory().string(), "' has");
}

}  // namespace

void expect_output(const fs::path& output, bool overwrite) {
  if (output.empty()) fail(ErrorKind::usage, "expected a directory for the artifact, found ''");
  expect_short_names(output);
  expect_no_dead_link(output);
  if (!fs::exists(output)) return expect_publishable(output);
  if (!fs::is_directory(output))
    fail(ErrorKind::usage, "'", output.string(), "' is a file; the artifact needs a directory of its own");
  if (fs::is_empty(output)) return expect_publishable(output);
  if (!Artifact::is_artifact(output))
    fail(ErrorKind::usage, "'", output.string(),
         "' is there and is not an artifact of mquant; give another directory");
  if (!overwrite)
    fail(ErrorKind::usage, "'", output.string(), "' is there already; say --overwrite to replace it");
  expect_own_files_only(output);
  expect_publishable(output);
}

void write_artifact(const ExportInput& input, const std::string& format, const fs::path& output,
                    bool overwrite) {
  expect_output(output, overwrite);
  check_input(input);
  const FormatInfo& info = find_format(format, input);
  if (format != "auto")
    if (const std::vector<std::string> reasons = info.refuses(question_of(input)); !reasons.empty())
      fail(ErrorKind::unsupported, "the format ", info.name,
           " cannot hold this calibration: ", join(reasons, "; "),
           "; write it with --format mquant, or calibrate with another recipe");
  PartialDirectory partial(output);
  info.write(input, partial.path());
  expect_output(output, overwrite);  // something may have been put there meanwhile
  partial.publish();
}

}  // namespace mquant
