// The safetensors format: 8 bytes of header length, a JSON header, the tensors without holes.
// Source: https://github.com/huggingface/safetensors, README "Format" and its Rust reader's checks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mquant/checkpoint.h"

namespace mquant {

/// "__metadata__" of a header.  transformers wants {"format": "pt"}.
using TensorFileMetadata = std::map<std::string, std::string>;

/// A mapped file whose header has been checked in full: every tensor's bytes lie in the file, none overlap.
/// Reads no tensor before it is asked for.  Any number of threads may use it.
class SafetensorsFile final : public TensorFile {
 public:
  /// @throws Error{input} naming the file and, where there is one, the tensor, for every violation of the format
  explicit SafetensorsFile(const std::filesystem::path& path);
  ~SafetensorsFile() override;
  SafetensorsFile(SafetensorsFile&&) noexcept;
  SafetensorsFile& operator=(SafetensorsFile&&) noexcept;

  /// Sorted.
  std::vector<std::string> names() const override;
  /// @throws Error{input} with the nearest name if absent; Error{unsupported} for a dtype outside DType, such as F8_E4M3
  TensorView get(const std::string& name) const override;
  TensorHeader header(const std::string& name) const override;
  bool has(const std::string& name) const;
  const TensorFileMetadata& metadata() const;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

/// A tensor that is going to be written.
struct TensorPlan {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
};

/// Writes a file whose tensors are known beforehand, without holding any of them.  The bytes depend on plan, metadata
/// and tensors alone.  The file has its name only after finish(); until then, and after a kill, what was there stays.
class SafetensorsWriter {
 public:
  /// Tensors are laid out by falling element size, else in the order given, so that every one is aligned to its
  /// elements: the format allows no padding, and torch refuses to view what is not aligned.
  /// @throws Error{resources} if the file cannot be written; Error{internal} for a name twice or empty, a bad shape
  SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorPlan> plan,
                    const TensorFileMetadata& metadata = {});
  ~SafetensorsWriter();
  SafetensorsWriter(SafetensorsWriter&&) noexcept;
  SafetensorsWriter& operator=(SafetensorsWriter&&) noexcept;

  /// The order in which append() wants the tensors.
  const std::vector<TensorPlan>& plan() const;
  /// The next bytes of the tensor `name`, all at once or in pieces; Error{internal} if it is another one's turn.
  void append(const std::string& name, std::span<const std::byte> bytes);
  /// Makes the file durable under its name.  Returns its SHA-256.
  std::string finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A file at once; returns its SHA-256.  Tensors of one element size lie in the order of their names.
std::string write_safetensors(const std::filesystem::path& path,
                              const std::map<std::string, TensorView>& tensors,
                              const TensorFileMetadata& metadata = {});

}  // namespace mquant
