#include "artifact/journal.h"

#include <fcntl.h>
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

void read_block(const Fields& line, JournalContents& contents) {
  JournalEntry entry{plain_name(line.text("block"), line.where()),
                     {digest(line, "shard"), digest(line, "record")},
                     work_from(line.object("work"))};
  for (const JournalEntry& before : contents.entries)
    if (before.block == entry.block)
      fail(ErrorKind::input, line.where(), ": block '", entry.block, "' is there twice");
  contents.entries.push_back(std::move(entry));
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
  if (line.has("block") || !line.has("state")) read_block(line, contents);
  if (!line.has("state")) return;
  const Fields state = line.object("state");  // also of blocks of earlier versions
  contents.state = {contents.entries.size(), {}};
  for (const auto& [name, value] : state.json().items())
    contents.state.files[plain_name(name, where)] = digest(state, name);
}

[[noreturn]] void fail_with(const std::filesystem::path& path, const char* what, int error_number) {
  fail(ErrorKind::resources, "cannot ", what, " '", path.string(), "': ", std::strerror(error_number));
}

}  // namespace

JournalContents read_journal(const std::filesystem::path& path) {
  JournalContents contents;
  if (!std::filesystem::exists(path)) return contents;
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  contents.bytes = read_whole_lines(text, [&](std::string_view line, int number) {
    read_line(line, cat(path.string(), ":", number), contents);
  });
  return contents;
}

Journal::Journal(const std::filesystem::path& path)
    : file_(path, LineFile::Links::refuse, LineFile::Sync::each_line, path.parent_path()),
      contents_(read_journal(path)) {
  file_.keep(contents_.bytes);
}

void Journal::append(const JournalEntry& entry) {
  const OrderedJson line = {{"block", entry.block},
                            {"shard", entry.digests.shard},
                            {"record", entry.digests.record},
                            {"work", work_json(entry.work)}};
  file_.append(line.dump() + "\n");
  contents_.entries.push_back(entry);
}

void Journal::append(const std::map<std::string, std::string>& state) {
  file_.append(OrderedJson{{"state", state}}.dump() + "\n");
  contents_.state = {contents_.entries.size(), state};
}

void Journal::finish(const std::string& report_digest) {
  file_.append(OrderedJson{{"finished", report_digest}}.dump() + "\n");
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
