// Tensors that another program computed, and what tests of pictures do with them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "mquant/sample.h"

namespace mquant::test {

/// A golden.safetensors file of tests/data, as what tests compare with.
class Golden {
 public:
  explicit Golden(const std::filesystem::path& file) : file_(file) {}

  /// All throw if a tensor is absent or has another type than asked for.
  bool has(const std::string& name) const { return file_.has(name); }
  std::vector<std::int64_t> integers(const std::string& name) const;  ///< i64
  std::vector<std::uint8_t> bytes(const std::string& name) const;     ///< u8
  std::vector<float> floats(const std::string& name) const;           ///< f32 or f16
  bool is_float32(const std::string& name) const { return file_.get(name).dtype == DType::f32; }
  Image image(const std::string& name) const;  ///< u8 [height, width, 3]

 private:
  SafetensorsFile file_;
};

/// "" if two pictures are equal, else where and how much they differ.
std::string difference(const Image& got, const Image& want);

/// Noise: every value of every channel independent and uniform; the same for the same seed.
Image noise(std::int64_t width, std::int64_t height, unsigned seed);

/// The picture files of tests/data/goldens/images (PNG, JPEG) or pictures (WebP, GIF, BMP), in order of name.
std::vector<std::string> picture_names(const std::string& folder = "images");

/// As gtest wants names: other characters than letters and digits become '_'.
std::string test_name(std::string name);

/// The file's bytes.
std::vector<std::byte> read_bytes(const std::filesystem::path& file);

}  // namespace mquant::test
