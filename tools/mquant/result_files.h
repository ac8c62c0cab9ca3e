// The files that the command line names for results, and what must not be lost by writing them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace mquant::cli {

struct JobFiles {
  std::vector<std::filesystem::path> used =
      {};                              // files and directories that the job reads or writes; "": none
  std::string json = {};               // of --json: "-" or a file; "": none
  std::string recipe = {};             // name or file; "": none
  std::filesystem::path output = {};   // of --output, where that is a file; "": none
  std::filesystem::path journal = {};  // of --journal; "": none
};

/// Looks at the files for results and at the log, which is appended to and may be a device.  A model that a calibration
/// names counts as used, and results must be different files.
/// @throws Error{usage}     if one is a directory, is used or lies in what is used, directly or through links, or holds
///                          something else than such a result
///         Error{resources} if it cannot be made there
void expect_result_files(const JobFiles& files, const std::filesystem::path& log);

}  // namespace mquant::cli
