// journal.jsonl of a calibration: one line for each durable block, and a last one when all is
// done.
//
//   {"block": "decoder.3", "shard": SHA-256, "record": SHA-256,
//    "work": {"seconds", "cpu_seconds", "phases": {name: s}, "counters": {name: n}, "peak_bytes",
//    "kept": d or null}}
//   {"state": {file name: SHA-256}}         the samples after the block before; only the last such
//   line counts
//   {"finished": SHA-256 of report.json}
//
// A line counts once it ends with a newline.  A kill may leave the last one torn: it is as if
// never written.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "artifact/stored_block.h"
#include "support/line_file.h"

namespace mquant {

struct JournalEntry {
  std::string block;
  BlockDigests digests;
  BlockWork work;
};

/// What a journal says.
struct JournalContents {
  std::vector<JournalEntry> entries;
  KeptState state;
  std::string finished;     // SHA-256 of the report; "" while the calibration runs
  std::uint64_t bytes = 0;  // of the lines that count
};

/// An absent file is an empty journal.  @throws Error{input} with file:line for a line that is
/// none of ours.
JournalContents read_journal(const std::filesystem::path& path);

/// A journal to continue, held by one process at a time.
class Journal {
 public:
  /// Creates the file if there is none; cuts off a torn last line.  @throws Error{usage} if
  /// another process holds it.
  explicit Journal(const std::filesystem::path& path);

  const JournalContents& contents() const { return contents_; }
  /// All are durable when they return.
  void append(const JournalEntry& entry);
  /// States after the last entry.
  void append(const std::map<std::string, std::string>& state);
  void finish(const std::string& report_digest);

 private:
  LineFile file_;
  JournalContents contents_;
};

/// fsync of a file or directory that is there.  @throws Error{resources}
void sync_path(const std::filesystem::path& path);

}  // namespace mquant
