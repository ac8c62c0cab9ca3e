// What calibration leaves behind and what export makes of it: blocks as stored, the manifest, the formats.
// No libtorch here: export, verify and every reader of an artifact work on bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mquant/checkpoint.h"
#include "mquant/config.h"
#include "mquant/model.h"
#include "mquant/scheme.h"

namespace mquant {

/// A tensor with its own bytes: little-endian, row-major.
struct TensorData {
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;
  explicit operator bool() const { return !bytes.empty(); }
};

struct StoredLinear {
  std::optional<QuantizedLinear> quantized;  // else:
  TensorData weight;                         // [out, in]
  TensorData bias;                           // [out] or empty
  OnlineRotation rotation;
};

struct StoredNorm {
  NormKind kind = NormKind::layer;
  double eps = 1e-6;
  TensorData scale, shift;  // [width]; empty: ones, zeros
};

/// A block after its passes, under the names of its description ("q", "norm1"), fused tensors still apart.
struct StoredBlock {
  std::string name;
  std::map<std::string, StoredLinear> linears;
  std::map<std::string, StoredNorm> norms;
  std::map<std::string, TensorData> params;
  std::map<std::string, StoredLinear> embeddings;  // tables of embeddings that are codes; `params` lacks them
  std::optional<KvScales> kv_scales;               // of an int8 key-value cache
  std::map<std::string, std::map<std::string, double>>
      figures;                               // by linear: "weight_sqnr_db", "output_sqnr_db", ...
  std::map<std::string, double> self_check;  // of the block as a whole; empty: not checked
};

/// The files of a model's directory, by name there.
struct SourceFiles {
  std::map<std::string, std::string>
      opened;  // SHA-256 of every file that was opened: weights, config, tokenizer ...
  std::map<std::string, std::string> sidecars;  // SHA-256 of the others that export copies
  std::map<std::string, std::string> config;    // what was looked up in config.json: JSON by path
};

/// What a calibration belongs to; --resume is refused when anything in it that decides bytes differs.
struct RunIdentity {
  std::string tool_version;
  std::map<std::string, std::string>
      libraries;                // versions of those that decide the numbers, by name: "libtorch"
  std::filesystem::path model;  // absolute; may move
  SourceFiles source;
  std::string family;
  std::string data_file, data_digest;       // file name; SHA-256 over the digests of the samples, in order
  std::vector<std::string> sample_digests;  // eval warns when it is given one of these
  std::int64_t samples = 0;
  std::map<std::string, std::int64_t> tokens;  // by class, "visual_rows" included
  SinkRule sinks;
  std::string chat_template;  // the text of one that was stated in place of the model's own; "": none
  std::string template_date;  // what templates print as today's, YYYY-MM-DD; "": none
  std::string recipe;         // Recipe::json
  std::uint64_t seed = 0;
};

/// What a run tells of the work on a block; times are those of the machine, so no two runs have the same.
struct BlockWork {
  double seconds = 0, cpu_seconds = 0;                        // since the block before
  std::map<std::string, double> phases;                       // seconds by name
  std::map<std::string, std::int64_t, std::less<>> counters;  // of passes
  std::int64_t peak_bytes = 0;                                // of the process so far
  std::optional<double> kept;                                 // the largest difference that --verify-each saw
  /// Sums, and the largest of peaks and differences.
  BlockWork& operator+=(const BlockWork& other);
};

/// The samples' states of an unfinished calibration, as files of its state directory.
struct KeptState {
  std::size_t blocks = 0;                    // how many blocks they are after
  std::map<std::string, std::string> files;  // SHA-256 by name; none: no state has been kept
};

/// A calibration directory: run.json, journal.jsonl, blocks/NNNN-NAME.{safetensors,json}, and state/ while it runs.
///
/// A block counts once its line stands in the journal: shard and record are written beside, synced and renamed
/// first.  Any file that the journal does not name is left over from a kill; resume removes it.  One process at a time
/// holds a calibration for writing: create and resume throw Error{usage} while another one does.
class CalibrationStore {
 public:
  /// A new one.  Throws Error{usage} if `directory` holds a calibration already (say --resume or another name), or
  /// files that are none of ours.
  static CalibrationStore create(const std::filesystem::path& directory, const RunIdentity& identity);
  /// An existing one, to go on with; throws Error{usage} naming what differs from `identity`.
  static CalibrationStore resume(const std::filesystem::path& directory, const RunIdentity& identity);
  /// A finished one, to read.  Throws Error{input} when it is not finished, or a digest of the journal is wrong.
  static CalibrationStore open(const std::filesystem::path& directory);
  static bool is_calibration(const std::filesystem::path& directory);
  /// Throws what `create` would, before the work.
  static void expect_new(const std::filesystem::path& directory);
  /// Removes the files of a calibration, and its directory if nothing else is in it.  A kill on the way leaves a
  /// calibration that can be removed.  Throws Error{usage} while another process writes it.
  static void remove(const std::filesystem::path& directory);
  /// What a calibration belongs to, finished or not.  Throws Error{input} where that cannot be read.
  static RunIdentity identity_of(const std::filesystem::path& directory);
  /// The sinks of a calibration, finished or not: found once, when it is created.
  static SinkRule sinks_of(const std::filesystem::path& directory);

  ~CalibrationStore();
  CalibrationStore(CalibrationStore&&) noexcept;

  const RunIdentity& identity() const;
  const std::filesystem::path& directory() const;
  /// Names of the durable blocks, in order.
  const std::vector<std::string>& done() const;
  /// Makes `block` durable.
  void add(const StoredBlock& block, const BlockWork& work = {});
  /// Keeps files of state_directory, which are durable already, as the samples' states after the last block, for resuming;
  /// older ones are removed.  They must not have the names of those: they are still needed until this returns.
  /// @param files  SHA-256 by name
  void keep_state(const std::map<std::string, std::string>& files);
  const KeptState& state() const;
  /// The work on all durable blocks, whichever process did it.
  BlockWork work() const;
  std::filesystem::path state_directory() const;
  StoredBlock read(const std::string& block) const;
  /// Marks the calibration as complete and removes the state.  `report`: JSON text for report.json.
  void finish(const std::string& report);
  bool finished() const;

 private:
  struct Impl;
  explicit CalibrationStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// What an artifact is written from.
struct ExportInput {
  const CalibrationStore* calibration = nullptr;
  const ModelSpec* model = nullptr;
  const Checkpoint* source = nullptr;  // for tensors that no block describes, and the original names
  std::string self_check;              // JSON: what the calibration said of itself; "": nothing
  std::string token_rule;              // JSON: how a runtime finds visual tokens and builds the AIFS order
  std::int64_t max_shard_bytes = 0;    // 0: 5 GB
};

/// What a format is asked: can it hold these blocks?  They are a calibration's, or an outline of what a recipe will make.
struct FormatQuestion {
  const ModelSpec* model = nullptr;
  const Checkpoint* source = nullptr;
  std::function<StoredBlock(const BlockSpec&)> block;  // codes may be left out
};
FormatQuestion question_of(const ExportInput& input);

/// One way to write an artifact.
struct FormatInfo {
  std::string name, summary;
  /// Why the blocks cannot be written in it without computing wrongly elsewhere, each reason once; none if they can.
  std::vector<std::string> (*refuses)(const FormatQuestion& question);
  /// Writes weights, config.json, sidecars and, last, mquant_manifest.json into `directory`, which is new and empty.
  void (*write)(const ExportInput& input, const std::filesystem::path& directory);
};
const std::vector<FormatInfo>& all_formats();
/// Throws Error{usage} with the nearest name.  "auto": the first that does not refuse.
const FormatInfo& find_format(const std::string& name, const FormatQuestion& question);
const FormatInfo& find_format(const std::string& name, const ExportInput& input);

/// Throws what write_artifact would, before the work: Error{usage} if `output` exists and is neither empty nor, with
/// `overwrite`, an artifact with none but its own files; Error{resources} if nothing may be written there.
void expect_output(const std::filesystem::path& output, bool overwrite);

/// Writes the artifact beside `output` and renames it as a whole.  `output` may be a link to a directory.
void write_artifact(const ExportInput& input, const std::string& format, const std::filesystem::path& output,
                    bool overwrite);

/// An artifact opened for running.  The bytes are checked against the manifest by `verify`, not here.
class Artifact {
 public:
  static bool is_artifact(const std::filesystem::path& directory);  // mquant_manifest.json is there
  static Artifact open(const std::filesystem::path& directory, const ModelSpec& model);
  static SinkRule sinks_of(const std::filesystem::path& directory);
  /// Was the artifact made from that very run?  Its files are not looked at.
  static bool is_of(const std::filesystem::path& directory, const RunIdentity& identity);
  ~Artifact();
  Artifact(Artifact&&) noexcept;
  /// Codes unpacked, fused tensors apart again.
  StoredBlock read(const std::string& block) const;
  const Config& manifest() const;
  std::vector<std::string> sample_digests() const;  // of the calibration
  SinkRule sinks() const;

 private:
  struct Impl;
  explicit Artifact(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct VerifyReport {
  std::int64_t tensors = 0, bytes = 0, linears = 0;
  std::vector<std::string> problems;  // one line each; empty: the artifact holds what its manifest says
  std::vector<std::string> warnings;  // files that the manifest does not name and that no loader reads
};
/// Reopens an artifact: every name, shape, dtype, code range, scale (finite, positive) and SHA-256, the schema of the
/// manifest, that config.json and manifest agree, and that nothing lies beside that a loader would read.
VerifyReport verify_artifact(const std::filesystem::path& directory, const ModelSpec& model);

}  // namespace mquant
