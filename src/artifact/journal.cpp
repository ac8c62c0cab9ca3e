#include "artifact/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>

#include "mquant/error.h"
#include "support/mapped_file.h"

namespace mquant {
namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 50;  // bytes, or what a pass counts in a block

std::string digest(const Fields& line, const std::string& key) {
  std::string text = line.text(key);
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (text.size() != 64 || !std::all_of(text.begin(), text.end(), is_hex))
    fail(ErrorKind::input, line.where(), ": '", key, "': expected a SHA-256, found \"", printable(text), '"');
  return text;
}

std::string plain_name(std::string name, const std::string& where) {
  if (!is_plain_name(name)) fail(ErrorKind::input, where, ": \"", printable(name), "\" is not a plain name");
  return name;
}

OrderedJson work_json(const BlockWork& work) {
  return {{"seconds", work.seconds},       {"cpu_seconds", work.cpu_seconds},
          {"phases", work.phases},         {"counters", work.counters},
          {"peak_bytes", work.peak_bytes}, {"kept", work.kept ? OrderedJson(*work.kept) : OrderedJson()}};
}

BlockWork work_from(const Fields& fields) {
  BlockWork work{.seconds = fields.number("seconds"),
                 .cpu_seconds = fields.number("cpu_seconds"),
                 .phases = {},
                 .counters = {},
                 .peak_bytes = fields.integer("peak_bytes", 0, kMost),
                 .kept = {}};
  const Fields phases = fields.object("phases"), counters = fields.object("counters");
  for (const auto& [name, value] : phases.json().items()) work.phases[name] = phases.number(name);
  for (const auto& [name, value] : counters.json().items())
    work.counters[name] = counters.integer(name, 0, kMost);
  if (fields.has("kept")) work.kept = fields.number("kept");
  return work;
}

void read_line(std::string_view text, const std::string& where, JournalContents& contents) {
  const Json json = parse_json(text, where);
  const Fields line(json, where);
  if (!contents.finished.empty())
    fail(ErrorKind::input, where, ": expected no line after the one that finishes");
  if (line.has("finished")) {
    contents.finished = digest(line, "finished");
    return;
  }
  JournalEntry entry{plain_name(line.text("block"), where),
                     {digest(line, "shard"), digest(line, "record")},
                     {},
                     work_from(line.object("work"))};
  const Fields state = line.object("state");
  for (const auto& [name, value] : state.json().items())
    entry.state[plain_name(name, where)] = digest(state, name);
  for (const JournalEntry& before : contents.entries)
    if (before.block == entry.block)
      fail(ErrorKind::input, where, ": block '", entry.block, "' is there twice");
  contents.entries.push_back(std::move(entry));
}

[[noreturn]] void fail_with(const std::filesystem::path& path, const char* what, int error_number) {
  fail(ErrorKind::resources, "cannot ", what, " '", path.string(), "': ", std::strerror(error_number));
}

}  // namespace

JournalContents read_journal(const std::filesystem::path& path) {
  JournalContents contents;
  if (!std::filesystem::exists(path)) return contents;
  const MappedFile file(path);
  std::string_view rest(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  for (int number = 1;; ++number) {
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) return contents;  // a torn line, or nothing
    read_line(rest.substr(0, end), cat(path.string(), ":", number), contents);
    rest.remove_prefix(end + 1);
    contents.bytes += end + 1;
  }
}

Journal::Journal(std::filesystem::path path) : path_(std::move(path)) {
  file_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (file_ < 0) fail_with(path_, "open", errno);
  try {
    if (flock(file_, LOCK_EX | LOCK_NB) != 0 &&
        errno == EWOULDBLOCK)  // other errors: a file system without locks
      fail(ErrorKind::usage, "another process is writing '", path_.parent_path().string(),
           "'; wait for it to end");
    contents_ = read_journal(path_);
    if (ftruncate(file_, static_cast<off_t>(contents_.bytes)) != 0 || fsync(file_) != 0)
      fail_with(path_, "write", errno);
  } catch (...) {
    close(file_);
    throw;
  }
}

Journal::~Journal() { close(file_); }

void Journal::append_line(const std::string& line) {
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t written = write(file_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const int error_number = errno;
      // What is there of the line has no newline and does not count; without it the next append starts clean.
      if (ftruncate(file_, static_cast<off_t>(contents_.bytes)) != 0) fail_with(path_, "repair", errno);
      fail_with(path_, "write", error_number);
    }
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  if (fsync(file_) != 0) fail_with(path_, "sync", errno);
  contents_.bytes += line.size();
}

void Journal::append(const JournalEntry& entry) {
  const OrderedJson line = {{"block", entry.block},
                            {"shard", entry.digests.shard},
                            {"record", entry.digests.record},
                            {"state", entry.state},
                            {"work", work_json(entry.work)}};
  append_line(line.dump() + "\n");
  contents_.entries.push_back(entry);
}

void Journal::finish(const std::string& report_digest) {
  append_line(OrderedJson{{"finished", report_digest}}.dump() + "\n");
  contents_.finished = report_digest;
}

void sync_path(const std::filesystem::path& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail_with(path, "open", errno);
  const int error_number = fsync(file) == 0 ? 0 : errno;
  close(file);
  if (error_number != 0 && error_number != EINVAL)
    fail_with(path, "sync", error_number);  // EINVAL: cannot be synced
}

}  // namespace mquant
