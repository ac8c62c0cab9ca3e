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
#include "support/utf8.h"
#include "support/writable.h"

namespace mquant::cli {
namespace {

namespace fs = std::filesystem;
using Paths = std::vector<fs::path>;

enum class ResultKind { json, tensors, journal, log };

/// A file that the command line names to be written.
struct Result {
  const char* option;
  fs::path path;
  ResultKind kind;
};

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

void expect_apart(const Result& result, const fs::path& written, const Paths& used) {
  for (const fs::path& file : used)
    if (!file.empty() && would_change(written, file))
      fail(ErrorKind::usage, result.option, ": '", written.string(), "' would ",
           resolved(written) == resolved(file) ? "overwrite '" : "change '", file.string(),
           "', which the command reads or writes; give another file");
}

/// UTF-8 without zero bytes, but for a character that the end may cut.
bool is_text(std::string_view begin) {
  constexpr std::size_t kLongestCharacter = 4;
  const std::size_t bad = first_invalid_utf8(begin);
  return begin.find('\0') == begin.npos && (bad == begin.npos || bad + kLongestCharacter > begin.size());
}

/// Could these be the first bytes of such a result?
bool begins(ResultKind kind, std::string_view begin) {
  constexpr std::size_t kLengthOfHeader = 8;  // what safetensors begin with
  switch (kind) {
    case ResultKind::json:
    case ResultKind::journal: return is_text(begin) && begin.starts_with('{');
    case ResultKind::tensors: return begin.size() > kLengthOfHeader && begin[kLengthOfHeader] == '{';
    case ResultKind::log: return is_text(begin);
  }
  return false;
}

/// The pictures that samples name are not known yet, so a file of another kind is not replaced wherever it lies.
void expect_replaceable(const Result& result) {
  constexpr std::size_t kLooksAt = 512;
  std::error_code absent;
  if (!fs::is_regular_file(result.path, absent) || fs::file_size(result.path, absent) == 0) return;
  const MappedFile file(result.path);
  if (!begins(result.kind,
              {reinterpret_cast<const char*>(file.bytes().data()), std::min(file.bytes().size(), kLooksAt)}))
    fail(ErrorKind::usage, result.option, ": '", result.path.string(),
         "' is there and holds something else; give another file, or remove it");
}

void expect_no_directory(const Result& result) {
  std::error_code absent;
  if (fs::is_directory(result.path, absent) || !result.path.has_filename())
    fail(ErrorKind::usage, result.option, ": '", result.path.string(), "' is a directory; give a file");
}

fs::path partial_of(fs::path path) { return path += ".partial"; }

void add_model_of_calibration(Paths& used) {
  const Paths given = used;
  for (const fs::path& path : given) try {
      if (CalibrationStore::is_calibration(path))
        used.emplace_back(Config::open(path / "run.json").string_or("model", ""));
    } catch (const Error&) {  // the job tells it
    }
}

/// A file that is written as a whole, beside its place first.
void expect_result_file(const Result& result, const Paths& used) {
  expect_no_directory(result);
  for (const fs::path& file : {result.path, partial_of(result.path)}) {
    std::error_code absent;
    if (const fs::file_status status = fs::status(file, absent);
        fs::exists(status) && !fs::is_regular_file(status))
      fail(ErrorKind::usage, result.option, ": '", file.string(),
           "' is there and is not a regular file; give another file");
    expect_apart(result, file, used);
  }
  expect_replaceable(result);
  expect_creatable(partial_of(result.path));
}

/// A file that is appended to, or made.
void expect_journal(const Result& result, const Paths& used) {
  expect_no_directory(result);
  std::error_code absent;
  const fs::file_status status = fs::status(result.path, absent);
  if (fs::exists(status) && !fs::is_regular_file(status))
    fail(ErrorKind::usage, result.option, ": '", result.path.string(),
         "' is there and is not a regular file; give another file");
  expect_apart(result, result.path, used);
  expect_replaceable(result);
  expect_creatable(result.path);
}

}  // namespace

void expect_result_files(const JobFiles& files, const fs::path& log) {
  const bool has_json = !files.json.empty() && files.json != "-";
  if (!has_json && files.output.empty() && files.journal.empty() && log.empty()) return;
  Paths used = files.used;
  add_model_of_calibration(used);
  if (!files.recipe.empty()) used.push_back(recipe_file(files.recipe));
  if (!files.output.empty()) {
    expect_result_file({"--output", files.output, ResultKind::tensors}, used);
    used.push_back(files.output);
  }
  if (!files.journal.empty()) {
    expect_journal({"--journal", files.journal, ResultKind::journal}, used);
    used.push_back(files.journal);
  }
  if (has_json) {
    expect_result_file({"--json", files.json, ResultKind::json}, used);
    used.emplace_back(files.json);
  }
  if (log.empty()) return;
  const Result appended{"--log-file", log, ResultKind::log};
  expect_no_directory(appended);
  expect_apart(appended, log, used);
  expect_replaceable(appended);
}

}  // namespace mquant::cli
