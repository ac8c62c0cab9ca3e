// What an export has made of a calibration, read back from the artifact.
#pragma once

#include <filesystem>
#include <string>

#include "mquant/artifact.h"
#include "mquant/compile.h"

namespace mquant {

/// report_of_artifact of one that `input` was written to, and, if `format` as it was asked for is "auto", why the formats that
/// come first were not taken.
ExportReport report_of_export(const ExportInput& input, const std::string& format,
                              const std::filesystem::path& output);

}  // namespace mquant
