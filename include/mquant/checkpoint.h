// An opened HuggingFace directory: lazy, mapped, read only.  Every byte of it is untrusted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mquant {

enum class DType { boolean, u8, i8, i16, i32, i64, f16, bf16, f32, f64 };

std::int64_t byte_size(DType dtype);
/// The safetensors spelling: "BF16", "I8", ...
std::string_view dtype_name(DType dtype);

/// A tensor in a mapped file.  Valid as long as the Checkpoint lives; little-endian, row-major, contiguous.
struct TensorView {
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;  // shape product * byte_size(dtype); not aligned

  std::int64_t numel() const;
};

/// What a file says of a tensor, of types that nothing here computes with too.
struct TensorHeader {
  std::string dtype;  // as safetensors spells it
  std::vector<std::int64_t> shape;
};

/// One shard.  io implements it for safetensors; nn for PyTorch's zip pickles.
class TensorFile {
 public:
  virtual ~TensorFile() = default;
  virtual std::vector<std::string> names() const = 0;
  /// Throws Error{input} if the checkpoint lacks the tensor, Error{unsupported} for a type outside DType.
  virtual TensorView get(const std::string& name) const = 0;
  /// Throws Error{input} if the checkpoint lacks the tensor.
  virtual TensorHeader header(const std::string& name) const = 0;
};

/// Opens a shard that is not safetensors (".bin"); given by who links libtorch.
using ShardOpener = std::function<std::unique_ptr<TensorFile>(const std::filesystem::path&)>;

class Checkpoint {
 public:
  /// Opens `directory`: model.safetensors, or model.safetensors.index.json and its shards, or pytorch_model.bin and
  /// pytorch_model.bin.index.json through `open_bin`.  The headers of all shards are read.  An index
  /// names the files; the tensors are those that the files hold, buffers that it leaves out included.
  /// @throws Error{input}        no weights there, a broken index or header, a shard that is absent or leaves the
  ///                             directory, a tensor in two shards, in another than the index says, or that
  ///                             it leaves out
  ///         Error{unsupported}  .bin shards and no `open_bin`
  static Checkpoint open(const std::filesystem::path& directory, ShardOpener open_bin = {});

  ~Checkpoint();
  Checkpoint(Checkpoint&&) noexcept;
  Checkpoint& operator=(Checkpoint&&) noexcept;

  const std::filesystem::path& directory() const;
  bool has(const std::string& name) const;
  /// Throws Error{input} with the nearest name if absent.
  TensorView get(const std::string& name) const;
  /// The same, from the header alone.
  TensorHeader header(const std::string& name) const;
  /// Sorted.
  std::vector<std::string> names() const;
  /// The weight files, for digests, sorted.
  std::vector<std::filesystem::path> files() const;

 private:
  struct Impl;
  explicit Checkpoint(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mquant
