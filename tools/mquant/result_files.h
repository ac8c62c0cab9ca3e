// The files that the command line names for results, and what must not be lost by writing them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace mquant::cli {

struct JobFiles {
  std::vector<std::filesystem::path> used =
      {};                             // files and directories that the job reads or writes; "": none
  std::string json = {};              // of --json: "-" or a file; "": none
  std::string recipe = {};            // name or file; "": none
  std::filesystem::path output = {};  // of --output, where that is a file; "": none
};

/// @throws Error{usage} if `path`, which `option` names, is one of `used` or lies in it, directly or through links, or is
/// no file; Error{resources} if it cannot be made there
void expect_result_file(const std::string& option, const std::filesystem::path& path,
                        const std::vector<std::filesystem::path>& used);

/// The same of all results of a job and of the log, which may be a device: it is appended to.  A model that a calibration
/// names counts as used, and results must be different files.
void expect_result_files(const JobFiles& files, const std::filesystem::path& log);

}  // namespace mquant::cli
