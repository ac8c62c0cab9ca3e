#include "result_files.h"

#include <algorithm>
#include <string_view>
#include <system_error>

#include "mquant/artifact.h"
#include "mquant/config.h"
#include "mquant/error.h"
#include "mquant/recipe.h"
#include "support/mapped_file.h"
#include "support/paths.h"
#include "support/writable.h"

namespace mquant::cli {
namespace {

namespace fs = std::filesystem;
using Paths = std::vector<fs::path>;

fs::path resolved(const fs::path& path) {
  std::error_code error;
  const fs::path whole = without_slash(fs::absolute(path)), target = fs::weakly_canonical(whole, error);
  return error ? whole : target;
}

/// Both resolved.  One file or directory may have several names (mount --bind, hard links), hence the inodes.
bool is_within(const fs::path& path, const fs::path& used) {
  if (std::ranges::mismatch(used, path).in1 == used.end()) return true;
  std::error_code absent;
  for (fs::path at = path; at.has_relative_path(); at = at.parent_path())
    if (fs::equivalent(at, used, absent)) return true;
  return false;
}

/// Files of a directory may lie elsewhere: those of a cache are links.
bool holds_link_to(const fs::path& directory, const fs::path& path) {
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code absent;
    if (fs::equivalent(entry->path(), path, absent)) return true;
  }
  return false;
}

/// A rename replaces the entry of that name, an append changes what a link of that name leads to.
bool would_change(const fs::path& path, const fs::path& used) {
  const fs::path whole = without_slash(fs::absolute(path)), target = resolved(whole), what = resolved(used);
  return is_within(target, what) || is_within(resolved(whole.parent_path()) / whole.filename(), what) ||
         holds_link_to(what, target);
}

void expect_apart(const std::string& option, const fs::path& path, const Paths& used) {
  for (const fs::path& file : used)
    if (!file.empty() && would_change(path, file))
      fail(ErrorKind::usage, option, ": '", path.string(), "' would ",
           resolved(path) == resolved(file) ? "overwrite '" : "change '", file.string(),
           "', which the command reads or writes; give another file");
}

/// Files that samples name are not known yet; what no such result could be is not replaced, wherever it lies.
void expect_replaceable(const std::string& option, const fs::path& path) {
  std::error_code absent;
  if (!fs::is_regular_file(path, absent) || fs::file_size(path, absent) == 0) return;
  const MappedFile file(path);
  const std::string_view begin(reinterpret_cast<const char*>(file.bytes().data()),
                               std::min<std::size_t>(file.bytes().size(), 512));
  constexpr std::size_t kLengthOfHeader = 8;  // of safetensors
  const bool is_text =
      std::ranges::none_of(begin, [](char c) { return c == '\0' || c == '\x89' || c == '\xFF'; });
  const bool is_result = option == "--json" ? is_text && begin.starts_with('{')
                         : option == "--output"
                             ? begin.substr(std::min(begin.size(), kLengthOfHeader)).starts_with('{')
                             : is_text;
  if (!is_result)
    fail(ErrorKind::usage, option, ": '", path.string(),
         "' is there and holds something else; give another file, or remove it");
}

void expect_no_directory(const std::string& option, const fs::path& path) {
  std::error_code absent;
  if (fs::is_directory(path, absent) || !path.has_filename())
    fail(ErrorKind::usage, option, ": '", path.string(), "' is a directory; give a file");
}

/// Results are written beside their place first.
fs::path partial_of(fs::path path) { return path += ".partial"; }

void add_model_of_calibration(Paths& used) {
  const Paths given = used;
  for (const fs::path& path : given) try {
      if (CalibrationStore::is_calibration(path))
        used.emplace_back(Config::open(path / "run.json").string_or("model", ""));
    } catch (const Error&) {  // the job tells it
    }
}

}  // namespace

void expect_result_file(const std::string& option, const fs::path& path, const Paths& used) {
  expect_no_directory(option, path);
  for (const fs::path& file : {path, partial_of(path)}) {
    std::error_code absent;
    if (const fs::file_status status = fs::status(file, absent);
        fs::exists(status) && !fs::is_regular_file(status))
      fail(ErrorKind::usage, option, ": '", file.string(),
           "' is there and is not a regular file; give another file");
    expect_apart(option, file, used);
  }
  expect_replaceable(option, path);
  expect_creatable(partial_of(path));
}

void expect_result_files(const JobFiles& files, const fs::path& log) {
  const bool has_json = !files.json.empty() && files.json != "-";
  if (!has_json && files.output.empty() && log.empty()) return;
  Paths used = files.used;
  add_model_of_calibration(used);
  if (!files.recipe.empty()) used.push_back(recipe_file(files.recipe));
  if (!files.output.empty()) {
    expect_result_file("--output", files.output, used);
    used.push_back(files.output);
  }
  if (has_json) {
    expect_result_file("--json", files.json, used);
    used.emplace_back(files.json);
  }
  if (log.empty()) return;
  expect_no_directory("--log-file", log);
  expect_apart("--log-file", log, used);
  expect_replaceable("--log-file", log);
}

}  // namespace mquant::cli
