#include "io/sharded_writer.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "io/dtype.h"
#include "mquant/error.h"
#include "support/atomic_file.h"
#include "support/mapped_file.h"
#include "support/sha256.h"
#include "support/strings.h"

namespace mquant {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kUnfinished = "unfinished-";  // shards whose number of fellows is not known yet
constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

/// "00042".
std::string digits(std::size_t number) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "%05zu", number);
  return text.data();
}

std::string unfinished_name(std::size_t number) { return cat(kUnfinished, digits(number), ".safetensors"); }

std::string shard_name(std::size_t number, std::size_t count) {
  return count == 1 ? kSingle : cat("model-", digits(number), "-of-", digits(count), ".safetensors");
}

void rename_file(const fs::path& from, const fs::path& to) {
  std::error_code problem;
  fs::rename(from, to, problem);
  if (problem)
    fail(ErrorKind::resources, "cannot rename '", from.string(), "' to '", to.string(),
         "': ", problem.message());
}

/// Removes what a killed run left; refuses a directory with weights, which would be mixed with ours.
void prepare(const fs::path& directory) {
  std::error_code problem;
  std::vector<fs::path> leftovers;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, problem)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kUnfinished) || (name.starts_with("model") && name.ends_with(".partial"))) {
      leftovers.push_back(entry.path());
    }
    if (name == kIndex || (name.starts_with("model") && name.ends_with(".safetensors"))) {
      fail(ErrorKind::usage, "'", directory.string(), "' holds '", name,
           "' already; name an empty directory");
    }
  }
  if (problem)
    fail(ErrorKind::resources, "cannot write into '", directory.string(), "': ", problem.message());
  for (const fs::path& file : leftovers) fs::remove(file, problem);
}

/// A shard that is still taking tensors: their bytes one after another in a file without a header.  That file is read
/// back at once and never synced, so a shard that fits into memory reaches the disk only once.
struct OpenShard {
  fs::path path;
  std::ofstream data;
  std::uint64_t size = 0;
  std::vector<TensorPlan> tensors;
  std::vector<std::uint64_t> begins;

  explicit OpenShard(fs::path at) : path(std::move(at)), data(path, std::ios::binary | std::ios::trunc) {
    check();
  }

  void write(std::span<const std::byte> bytes) {
    data.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    check();
    size += bytes.size();
  }

  void close() {
    data.close();
    check();
  }

  void check() const {
    if (!data) fail(ErrorKind::resources, "cannot write '", path.string(), "': ", std::strerror(errno));
  }
};

}  // namespace

struct ShardedWriter::Impl {
  fs::path directory;
  std::int64_t max_shard_bytes;
  TensorFileMetadata metadata;
  std::optional<OpenShard> open;
  std::set<std::string> names;
  std::vector<std::vector<std::string>> shards;  // names of the tensors in each closed shard
  std::vector<std::string> digests;
  std::int64_t total_size = 0;
  bool finished = false;

  Impl(fs::path in, std::int64_t limit, TensorFileMetadata with)
      : directory(std::move(in)), max_shard_bytes(limit), metadata(std::move(with)) {
    require(max_shard_bytes > 0, "ShardedWriter: shards of ", max_shard_bytes, " bytes");
    prepare(directory);
  }

  ~Impl() {
    if (finished) return;
    std::error_code ignored;
    fs::remove(spill_path(), ignored);
    for (std::size_t i = 0; i < shards.size(); ++i) fs::remove(directory / unfinished_name(i + 1), ignored);
  }

  fs::path spill_path() const { return directory / cat(kUnfinished, "data"); }

  /// Puts the header in front of what the open shard took.
  void close(const std::string& name) {
    const fs::path spill = spill_path();
    if (!open) open.emplace(spill);  // no tensor at all: a valid file without any
    open->close();
    {
      const MappedFile data(spill);
      std::map<std::string_view, std::uint64_t> begins;
      for (std::size_t i = 0; i < open->tensors.size(); ++i) begins[open->tensors[i].name] = open->begins[i];
      SafetensorsWriter writer(directory / name, open->tensors, metadata);
      for (const TensorPlan& tensor : writer.plan()) {
        const auto bits = checked_bits(tensor.shape, 8 * byte_size(tensor.dtype));
        writer.append(tensor.name,
                      data.bytes().subspan(begins.at(tensor.name), static_cast<std::size_t>(*bits / 8)));
      }
      digests.push_back(writer.finish());
    }
    std::error_code ignored;
    fs::remove(spill, ignored);
    std::vector<std::string> taken;
    for (const TensorPlan& tensor : open->tensors) taken.push_back(tensor.name);
    shards.push_back(std::move(taken));
    open.reset();
  }

  std::string index_text() const {
    std::map<std::string, std::string> weight_map;
    for (std::size_t i = 0; i < shards.size(); ++i) {
      for (const std::string& name : shards[i]) weight_map[name] = shard_name(i + 1, shards.size());
    }
    nlohmann::ordered_json index;
    index["metadata"]["total_size"] = total_size;
    index["weight_map"] = weight_map;
    return index.dump(2) + "\n";
  }
};

ShardedWriter::ShardedWriter(fs::path directory, std::int64_t max_shard_bytes, TensorFileMetadata metadata)
    : impl_(std::make_unique<Impl>(std::move(directory), max_shard_bytes, std::move(metadata))) {}
ShardedWriter::~ShardedWriter() = default;
ShardedWriter::ShardedWriter(ShardedWriter&&) noexcept = default;
ShardedWriter& ShardedWriter::operator=(ShardedWriter&&) noexcept = default;

void ShardedWriter::add(const std::string& name, const TensorView& tensor) {
  require(!impl_->finished, "ShardedWriter: '", name, "' after finish()");
  require(impl_->names.insert(name).second, "ShardedWriter: tensor '", name, "' twice");
  const auto bits = checked_bits(tensor.shape, 8 * byte_size(tensor.dtype));
  require(bits && static_cast<std::uint64_t>(*bits / 8) == tensor.bytes.size(), "ShardedWriter: tensor '",
          name, "': ", tensor.bytes.size(), " bytes for shape ", shape_text(tensor.shape), " of ",
          dtype_name(tensor.dtype));
  std::optional<OpenShard>& open = impl_->open;
  const auto size = static_cast<std::int64_t>(tensor.bytes.size());
  if (open && size > impl_->max_shard_bytes - static_cast<std::int64_t>(open->size)) {
    impl_->close(unfinished_name(impl_->shards.size() + 1));
  }
  if (!open) open.emplace(impl_->spill_path());
  open->begins.push_back(open->size);
  open->tensors.push_back({name, tensor.dtype, tensor.shape});
  open->write(tensor.bytes);
  impl_->total_size += size;
}

std::vector<WrittenFile> ShardedWriter::finish() {
  require(!impl_->finished, "ShardedWriter: finish() twice");
  const std::size_t closed = impl_->shards.size();
  const std::size_t count = closed + (impl_->open || closed == 0 ? 1 : 0);
  if (count > closed) impl_->close(shard_name(count, count));
  std::vector<WrittenFile> files;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string name = shard_name(i + 1, count);
    if (i < closed) rename_file(impl_->directory / unfinished_name(i + 1), impl_->directory / name);
    files.push_back({name, impl_->digests[i]});
  }
  if (count > 1) {  // last: without it a reader finds no weights, so half a checkpoint is never read
    const std::string index = impl_->index_text();
    write_file_atomically(impl_->directory / kIndex, index);
    files.push_back({kIndex, sha256_hex(index)});
  }
  impl_->finished = true;
  return files;
}

}  // namespace mquant
