// What an export has made of a calibration, read back from the artifact.
#pragma once

#include <filesystem>
#include <string>

#include "mquant/artifact.h"
#include "mquant/compile.h"

namespace mquant {

/// The report of an artifact in `output` that `input` was written to.  `format` as it was asked for: with "auto",
/// `refused` says why the formats that come first were not taken.  Sizes are those of its manifest.
ExportReport report_of_export(const ExportInput& input, const std::string& format,
                              const std::filesystem::path& output);

}  // namespace mquant
