// Which artifact is written where; what is in it is the format's business.
#include <algorithm>

#include "artifact/formats.h"
#include "artifact/partial_directory.h"
#include "mquant/artifact.h"
#include "mquant/error.h"
#include "support/sha256.h"

namespace mquant {
namespace fs = std::filesystem;
namespace {

void check_output(const fs::path& output, bool overwrite) {
  if (!fs::exists(output)) return;
  if (!fs::is_directory(output))
    fail(ErrorKind::usage, "'", output.string(), "' is a file; the artifact needs a directory of its own");
  if (fs::is_empty(output)) return;
  if (!Artifact::is_artifact(output))
    fail(ErrorKind::usage, "'", output.string(),
         "' is there and is no artifact of mquant; give another directory");
  if (!overwrite)
    fail(ErrorKind::usage, "'", output.string(), "' is there already; say --overwrite to replace it");
}

/// The calibration must be of this model: every block of it, and the same config.json.
void check_input(const ExportInput& input) {
  const std::vector<std::string>& done = input.calibration->done();
  for (const BlockSpec& block : input.model->blocks)
    if (std::find(done.begin(), done.end(), block.name) == done.end())
      fail(ErrorKind::input, "'", input.calibration->directory().string(), "': no block '", block.name,
           "', which the model in '", input.source->directory().string(), "' has");
  const auto& files = input.calibration->identity().files;
  const fs::path config = input.source->directory() / "config.json";
  if (const auto it = files.find("config.json"); it != files.end() && sha256_file(config) != it->second)
    fail(ErrorKind::input, "'", config.string(), "' is not the file that the calibration was made from");
}

}  // namespace

void write_artifact(const ExportInput& input, const std::string& format, const fs::path& output,
                    bool overwrite) {
  check_output(output, overwrite);
  check_input(input);
  const FormatInfo& info = find_format(format, input);
  if (format != "auto")
    if (const std::string reason = info.refuses(input); !reason.empty())
      fail(ErrorKind::unsupported, "the format ", info.name, " cannot hold this calibration: ", reason,
           "; write it with --format mquant, or calibrate with another recipe");
  PartialDirectory partial(output);
  info.write(input, partial.path());
  partial.publish();
}

}  // namespace mquant
