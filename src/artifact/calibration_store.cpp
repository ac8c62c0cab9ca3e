// A calibration directory.  What order of writes makes it safe against a kill at any moment:
//
//   1. blocks/NNNN-NAME.safetensors and .json are written beside, synced, renamed
//   2. the journal's line with their digests is appended and synced: from here on the block counts
// and now and then
//   3. the caller writes state files, durably
//   4. the journal's line with their digests is appended and synced
//   5. state files that this line does not name are removed
//
// A kill before 2 or 4 leaves files that no line names, a kill before 5 state that the last line
// does not name; resume removes both, and brings the samples forward through the blocks after the
// kept state, so a resumed run ends with the same bytes as one that was never killed.
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "artifact/calibration_files.h"
#include "artifact/journal.h"
#include "artifact/partial_directory.h"
#include "artifact/run_identity.h"
#include "mquant/artifact.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "support/atomic_file.h"
#include "support/sha256.h"
#include "support/writable.h"

namespace mquant {
namespace fs = std::filesystem;
namespace {

constexpr const char* kRun = "run.json";
constexpr const char* kJournal = "journal.jsonl";
constexpr const char* kReport = "report.json";
constexpr std::string_view kPartial = ".partial";  // of an AtomicFile

/// Makes the directory `path` if it is not there.
void make_directory(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail(ErrorKind::resources, "cannot make the directory '", path.string(), "': ", error.message());
}

/// A directory inside of a calibration: made if it is not there, refused if it is a link, since
/// what is swept in it would lie elsewhere.
void make_own_directory(const fs::path& path) {
  const fs::file_type type = fs::symlink_status(path).type();
  if (type == fs::file_type::not_found) return make_directory(path);
  if (type != fs::file_type::directory)
    fail(ErrorKind::input, "'", path.string(), "': expected a directory of the calibration, found ",
         type == fs::file_type::symlink ? "a link" : "a file", "; move it away");
}

/// Could a run have left this file in blocks/ or state/?
bool is_left_over(const fs::directory_entry& entry) {
  std::string name = entry.path().filename().string();
  if (name.ends_with(kPartial)) name.resize(name.size() - kPartial.size());
  return entry.symlink_status().type() == fs::file_type::regular && is_plain_name(name) &&
         (name.ends_with(".safetensors") || name.ends_with(".json"));
}

/// Removes the files of runs in `directory` that are not in `keep`; what others put there stays.
void remove_left_over(const fs::path& directory, const std::set<std::string>& keep) {
  std::vector<fs::path> others;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory))
    if (is_left_over(entry) && !keep.contains(entry.path().filename().string()))
      others.push_back(entry.path());
  for (const fs::path& path : others) fs::remove(path);
}

/// The same for all files, and the directory itself once it is empty; rmdir follows no link.
void remove_own_directory(const fs::path& path) {
  if (fs::symlink_status(path).type() != fs::file_type::directory) return;
  remove_left_over(path, {});
  rmdir(path.c_str());
}

bool is_empty_file(const fs::directory_entry& entry) {
  return entry.symlink_status().type() == fs::file_type::regular && entry.file_size() == 0;
}

void expect_digest(const fs::path& file, const std::string& digest) {
  if (sha256_file(file) != digest)
    fail(ErrorKind::input, "'", file.string(), "': its SHA-256 is not the one in ", kJournal,
         "; the file was changed or damaged: calibrate again into a new directory");
}

RunIdentity read_identity(const fs::path& directory) {
  const Json json = read_json(directory / kRun);
  return identity_from(Fields(json, (directory / kRun).string()));
}

void expect_calibration(const fs::path& directory) {
  if (!CalibrationStore::is_calibration(directory))
    fail(ErrorKind::input, "'", directory.string(), "' is not a calibration: it has no ", kRun);
}

}  // namespace

BlockFiles block_files(const fs::path& directory, std::size_t index, const std::string& block) {
  std::string number = std::to_string(index);
  if (number.size() < 4) number.insert(0, 4 - number.size(), '0');
  const std::string stem = cat(number, "-", block);
  return {directory / "blocks" / (stem + ".safetensors"), directory / "blocks" / (stem + ".json")};
}

struct CalibrationStore::Impl {
  fs::path directory;
  RunIdentity identity;
  std::unique_ptr<Journal> journal;  // null: opened to read
  JournalContents contents;
  std::vector<std::string> done;

  fs::path state() const { return directory / "state"; }

  void take(JournalContents journal_contents) {
    contents = std::move(journal_contents);
    done.clear();
    for (const JournalEntry& entry : contents.entries) done.push_back(entry.block);
  }

  void check_digests() const {
    for (std::size_t i = 0; i < done.size(); ++i) {
      const BlockFiles files = block_files(directory, i, done[i]);
      expect_digest(files.shard, contents.entries[i].digests.shard);
      expect_digest(files.record, contents.entries[i].digests.record);
    }
    if (!contents.finished.empty()) expect_digest(directory / kReport, contents.finished);
  }

  /// Removes what a kill left behind.
  void sweep() const {
    std::set<std::string> blocks, states;
    for (std::size_t i = 0; i < done.size(); ++i) {
      const BlockFiles files = block_files(directory, i, done[i]);
      blocks.insert({files.shard.filename().string(), files.record.filename().string()});
    }
    remove_left_over(directory / "blocks", blocks);
    if (!contents.finished.empty()) return remove_own_directory(state());
    for (const auto& [name, digest] : contents.state.files) states.insert(name);
    make_own_directory(state());
    remove_left_over(state(), states);
  }
};

CalibrationStore::CalibrationStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CalibrationStore::~CalibrationStore() = default;
CalibrationStore::CalibrationStore(CalibrationStore&&) noexcept = default;

bool CalibrationStore::is_calibration(const fs::path& directory) {
  std::error_code ignored;  // asked about any name, also while an error is told
  return !directory.empty() && fs::is_regular_file(directory / kRun, ignored);
}

RunIdentity CalibrationStore::identity_of(const fs::path& directory) { return read_identity(directory); }

SinkRule CalibrationStore::sinks_of(const fs::path& directory) { return read_identity(directory).sinks; }

void CalibrationStore::expect_new(const fs::path& directory) {
  if (directory.empty()) fail(ErrorKind::usage, "expected a directory for the calibration, found ''");
  if (is_calibration(directory))
    fail(ErrorKind::usage, "'", directory.string(),
         "' holds a calibration already; continue it by --resume, or give another directory");
  expect_no_dead_link(directory);
  if (fs::exists(directory) && !fs::is_directory(directory))
    fail(ErrorKind::usage, "'", directory.string(), "' is not a directory; give a new one");
  expect_writable(directory);
  if (!fs::exists(directory)) return;
  const fs::path journal = directory / kJournal;
  if (fs::exists(journal) && !is_empty_file(fs::directory_entry(journal)))
    fail(ErrorKind::input, "'", directory.string(), "' has a ", kJournal, " and no ", kRun,
         ", without which finished blocks cannot be used: put the file back, or give a new directory");
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    const bool begun =
        (name == kJournal && is_empty_file(entry)) ||
        (name == cat(kRun, kPartial) && entry.symlink_status().type() == fs::file_type::regular);
    if (!begun)  // else a run was killed before it had anything
      fail(ErrorKind::usage, "'", directory.string(), "' is not a calibration and not empty: it has '",
           printable(name), "'; give a new directory");
  }
}

CalibrationStore CalibrationStore::create(const fs::path& directory, const RunIdentity& identity) {
  expect_new(directory);
  make_directory(directory);
  auto impl = std::make_unique<Impl>();
  impl->directory = directory;
  impl->identity = identity;
  impl->journal = std::make_unique<Journal>(directory / kJournal);
  expect_new(directory);  // another process may have begun and ended before this one held the journal
  write_file_atomically(directory / kRun, identity_json(identity).dump(1) + "\n");
  make_own_directory(directory / "blocks");
  make_own_directory(impl->state());
  return CalibrationStore(std::move(impl));
}

void CalibrationStore::remove(const fs::path& directory) {
  expect_calibration(directory);
  const Journal held(directory / kJournal);
  for (const char* part : {"blocks", "state"}) remove_own_directory(directory / part);
  for (const std::string& file :
       {cat(kRun, kPartial), cat(kReport, kPartial), std::string(kReport), std::string(kJournal),
        std::string(kRun)})  // what proves that it is ours, last
    fs::remove(directory / file);
  rmdir(directory.c_str());
}

CalibrationStore CalibrationStore::resume(const fs::path& directory, const RunIdentity& identity) {
  expect_calibration(directory);
  auto impl = std::make_unique<Impl>();
  impl->directory = directory;
  impl->identity = read_identity(directory);
  if (const std::string text = difference(impl->identity, identity); !text.empty())
    fail(ErrorKind::usage, "cannot resume '", directory.string(), "': ", text,
         "; run as before, or calibrate into a new directory");
  impl->journal = std::make_unique<Journal>(directory / kJournal);
  make_own_directory(directory / "blocks");
  impl->take(impl->journal->contents());
  impl->check_digests();
  if (impl->contents.finished.empty())
    for (const auto& [name, digest] : impl->contents.state.files) expect_digest(impl->state() / name, digest);
  impl->sweep();
  for (const std::string& change : harmless_changes(impl->identity.source, identity.source))
    info(cat(change, " since the calibration began; it enters no number: the run continues"));
  if (impl->identity.model != identity.model) {  // moved: export looks for it there
    impl->identity.model = identity.model;
    write_file_atomically(directory / kRun, identity_json(impl->identity).dump(1) + "\n");
  }
  return CalibrationStore(std::move(impl));
}

CalibrationStore CalibrationStore::open(const fs::path& directory) {
  expect_calibration(directory);
  auto impl = std::make_unique<Impl>();
  impl->directory = directory;
  impl->identity = read_identity(directory);
  impl->take(read_journal(directory / kJournal));
  if (impl->contents.finished.empty())
    fail(ErrorKind::input, "'", directory.string(), "' is not finished: ", impl->done.size(),
         " blocks are done; continue with calibrate --resume");
  impl->check_digests();
  return CalibrationStore(std::move(impl));
}

const RunIdentity& CalibrationStore::identity() const { return impl_->identity; }
const fs::path& CalibrationStore::directory() const { return impl_->directory; }
const std::vector<std::string>& CalibrationStore::done() const { return impl_->done; }
fs::path CalibrationStore::state_directory() const { return impl_->state(); }
bool CalibrationStore::finished() const { return !impl_->contents.finished.empty(); }

BlockWork& BlockWork::operator+=(const BlockWork& other) {
  seconds += other.seconds;
  cpu_seconds += other.cpu_seconds;
  for (const auto& [phase, time] : other.phases) phases[phase] += time;
  for (const auto& [counter, n] : other.counters) counters[counter] += n;
  peak_bytes = std::max(peak_bytes, other.peak_bytes);
  if (other.kept) kept = std::max(kept.value_or(0), *other.kept);
  return *this;
}

BlockWork CalibrationStore::work() const {
  BlockWork sum;
  for (const JournalEntry& entry : impl_->contents.entries) sum += entry.work;
  return sum;
}

void CalibrationStore::add(const StoredBlock& block, const BlockWork& work) {
  require(impl_->journal != nullptr && !finished(), "block '", block.name,
          "' comes to a calibration that is closed");
  require(is_plain_name(block.name), "a block cannot be named '", block.name, "'");
  for (const std::string& done : impl_->done)
    require(done != block.name, "block '", block.name, "' comes twice");
  const BlockFiles files = block_files(impl_->directory, impl_->done.size(), block.name);
  impl_->journal->append({block.name, write_stored_block(block, files.shard, files.record), work});
  impl_->take(impl_->journal->contents());
}

void CalibrationStore::keep_state(const std::map<std::string, std::string>& files) {
  require(impl_->journal != nullptr && !finished(), "states come to a calibration that is closed");
  std::set<std::string> keep;
  for (const auto& [name, digest] : files) {
    require(is_plain_name(name) && name.ends_with(".safetensors"), "a state file cannot be named '", name,
            "'");
    require(!impl_->contents.state.files.contains(name), "state file '", name,
            "' has the name of one that is kept");
    keep.insert(name);
  }
  impl_->journal->append(files);
  impl_->take(impl_->journal->contents());
  remove_left_over(impl_->state(), keep);
}

const KeptState& CalibrationStore::state() const { return impl_->contents.state; }

StoredBlock CalibrationStore::read(const std::string& block) const {
  return read_calibrated(*this, block, Detail::whole);
}

StoredBlock read_calibrated(const CalibrationStore& store, const std::string& block, Detail detail) {
  for (std::size_t i = 0; i < store.done().size(); ++i) {
    if (store.done()[i] != block) continue;
    const BlockFiles files = block_files(store.directory(), i, block);
    StoredBlock stored = read_stored_block(files.shard, files.record, detail);
    if (stored.name != block)
      fail(ErrorKind::input, "'", files.record.string(), "': expected block '", block, "', found '",
           printable(stored.name), "'");
    return stored;
  }
  fail(ErrorKind::input, "'", store.directory().string(), "': no block '", block, "' has been calibrated");
}

void CalibrationStore::finish(const std::string& report) {
  require(impl_->journal != nullptr && !finished(), "a calibration finishes once");
  write_file_atomically(impl_->directory / kReport, report);
  impl_->journal->finish(sha256_hex(report));
  impl_->take(impl_->journal->contents());
  remove_own_directory(impl_->state());
}

}  // namespace mquant
