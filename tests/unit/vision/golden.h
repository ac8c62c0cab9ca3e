// Tensors that another program computed, and what tests of pictures do with them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mquant/sample.h"

namespace mquant::test {

/// A golden.safetensors file of tests/data, read whole.
class Golden {
 public:
  /// Throws std::runtime_error if the file or a tensor is absent, or has another type than asked for.
  explicit Golden(const std::filesystem::path& file);

  bool has(const std::string& name) const;
  std::vector<std::int64_t> shape(const std::string& name) const;
  std::vector<std::int64_t> integers(const std::string& name) const;  ///< I64
  std::vector<std::int64_t> bytes(const std::string& name) const;     ///< U8
  std::vector<float> floats(const std::string& name) const;           ///< F32 or F16
  bool is_float32(const std::string& name) const;
  Image image(const std::string& name) const;  ///< U8 [height, width, 3]

 private:
  struct Entry {
    std::string name, dtype;
    std::vector<std::int64_t> shape;
    std::span<const char> bytes;
  };
  const Entry& find(const std::string& name) const;
  std::string file_;
  std::vector<Entry> entries_;
};

/// "" if two pictures are equal, else where and how much they differ.
std::string difference(const Image& got, const Image& want);

/// Noise: every value of every channel independent and uniform; the same for the same seed.
Image noise(std::int64_t width, std::int64_t height, unsigned seed);

/// The picture files of tests/data/goldens/images, in order of name.
std::vector<std::string> picture_names();

/// As gtest wants names: other characters than letters and digits become '_'.
std::string test_name(std::string name);

/// The file's bytes.
std::vector<std::byte> read_bytes(const std::filesystem::path& file);

}  // namespace mquant::test
