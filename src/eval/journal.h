// The results of an evaluation as they come, so that one that was interrupted continues: JSON, one object a line.
//
//   {"journal": "mquant eval", "format": 1, "identity": {"mquant": version, "libtorch": version, "model": SHA-256,
//    "reference": SHA-256 or "none", "max_new_tokens": "24", "kv_cache": "auto", "chat_template": SHA-256 or "none",
//    "template_date": date or "none"}}
//   {"sample": 3, "digest": SHA-256, "found": "7 2", "exact": true, "answer_tokens": 4, "nll": 0.0029296875,
//    "reference_nll": 0.0, "agreement": {"text": {"tokens": 31, "top1": 30, "kl": 0.0087890625}}}
//
// Sums come back bit for bit (number_json of artifact/fields.h); a text that is not UTF-8 stands as
// "found_bytes", in hexadecimal.  `sample` counts from 0.  A line counts once it ends with a
// newline: a kill may leave the last one torn, as if never written.  Every byte is untrusted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "mquant/sample.h"
#include "pipeline/logit_sums.h"
#include "support/line_file.h"

namespace mquant {

/// What one sample adds to the report.
struct SampleResult {
  std::string found;
  bool exact = false;
  LogitSums sums;
};

/// What decides the results of a sample, by name.
using EvalIdentity = std::map<std::string, std::string>;

struct EvalJournalContents {
  struct Line {
    int number = 0;  // in the file, from 1
    std::string digest;
    SampleResult result;
  };
  EvalIdentity identity;               // empty: the journal is new
  std::map<std::int64_t, Line> lines;  // by sample
  std::uint64_t bytes = 0;             // of the lines that count
};

/// An absent or empty file is a new journal.
/// @throws Error{usage} for a file that does not begin as a journal does; Error{input} with
///         file:line for a line that a journal does not have
EvalJournalContents read_eval_journal(const std::filesystem::path& path);

/// The first thing that differs, as the end of a sentence: "--max-new-tokens was 24 and is 8".  "" if nothing does.
std::string difference(const EvalIdentity& before, const EvalIdentity& now);

/// A journal to continue, held by one process at a time.
class EvalJournal {
 public:
  /// Creates the file, and directories above it, if it is absent; cuts off a torn last line.
  /// @param digests  data_digest of each sample by itself
  /// @throws Error{usage} if it is of another evaluation or of other samples, or another process holds it: the file stays
  ///         as it is.  Besides, what read_eval_journal throws
  EvalJournal(const std::filesystem::path& path, const EvalIdentity& identity,
              const std::vector<Sample>& samples, std::vector<std::string> digests);

  /// Results of the samples that are there.
  std::map<std::size_t, SampleResult> done() const;
  /// Not for several threads at once.  What is appended survives a kill; a power cut may take what came last.
  void append(std::size_t sample, const SampleResult& result);

 private:
  std::vector<std::string> digests_;
  LineFile file_;
  EvalJournalContents contents_;
};

}  // namespace mquant
