// A checkpoint directory written one tensor at a time: shards of bounded size and their index, as HuggingFace names them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "mquant/checkpoint.h"

namespace mquant {

inline constexpr std::int64_t kDefaultShardBytes = 5'000'000'000;

struct WrittenFile {
  std::string name;  // in the directory
  std::string sha256;
};

/// Holds no tensor: each goes to the disk at once, and is copied once more when its shard is closed, because only then
/// the header in front of it is known.  Needs free space for one shard beyond the result.
class ShardedWriter {
 public:
  /// `directory` exists and holds no weights; what a killed run left there is removed.
  /// @param max_shard_bytes  of data; a larger tensor gets a shard of its own
  /// @throws Error{usage} if there are weights already; Error{resources} if the disk refuses
  explicit ShardedWriter(std::filesystem::path directory, std::int64_t max_shard_bytes = kDefaultShardBytes,
                         TensorFileMetadata metadata = {{"format", "pt"}});
  /// Without finish(), what was written is removed.
  ~ShardedWriter();
  ShardedWriter(ShardedWriter&&) noexcept;
  ShardedWriter& operator=(ShardedWriter&&) noexcept;

  /// @throws Error{internal} for a name twice, or bytes that are not the shape's
  void add(const std::string& name, const TensorView& tensor);

  /// Gives the shards their names and writes the index, last: model-00001-of-00003.safetensors ... and
  /// model.safetensors.index.json; model.safetensors alone if one shard took everything.  Returns all of them, in order.
  std::vector<WrittenFile> finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mquant
