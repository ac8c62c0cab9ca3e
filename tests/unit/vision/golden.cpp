#include "golden.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <random>

#include "io/convert.h"
#include "mquant/error.h"
#include "tests/support/files.h"

namespace mquant::test {
namespace {

template <class T>
std::vector<T> values(const TensorView& tensor, DType dtype, const std::string& name) {
  require(tensor.dtype == dtype, "golden: ", name, " is ", dtype_name(tensor.dtype));
  std::vector<T> result(tensor.bytes.size() / sizeof(T));
  std::memcpy(result.data(), tensor.bytes.data(), tensor.bytes.size());
  return result;
}

}  // namespace

std::vector<std::int64_t> Golden::integers(const std::string& name) const {
  return values<std::int64_t>(file_.get(name), DType::i64, name);
}

std::vector<std::uint8_t> Golden::bytes(const std::string& name) const {
  return values<std::uint8_t>(file_.get(name), DType::u8, name);
}

std::vector<float> Golden::floats(const std::string& name) const {
  const TensorView tensor = file_.get(name);
  require(tensor.dtype == DType::f32 || tensor.dtype == DType::f16, "golden: ", name, " is ",
          dtype_name(tensor.dtype));
  return to_floats(tensor);
}

Image Golden::image(const std::string& name) const {
  const std::vector<std::int64_t> shape = file_.get(name).shape;
  require(shape.size() == 3 && shape[2] == 3, "golden: ", name, " is not a picture");
  return {shape[1], shape[0], bytes(name)};
}

std::string difference(const Image& got, const Image& want) {
  if (got.width != want.width || got.height != want.height)
    return cat("got ", got.width, " x ", got.height, ", want ", want.width, " x ", want.height);
  if (got.rgb.size() != want.rgb.size()) return cat("got ", got.rgb.size(), " bytes, want ", want.rgb.size());
  std::size_t count = 0, first = 0;
  int largest = 0;
  for (std::size_t i = 0; i < got.rgb.size(); ++i) {
    const int by = std::abs(int{got.rgb[i]} - int{want.rgb[i]});
    if (by != 0 && count++ == 0) first = i;
    largest = std::max(largest, by);
  }
  if (count == 0) return "";
  return cat(count, " of ", got.rgb.size(), " values differ, by ", largest, " at most, the first at byte ",
             first);
}

Image noise(std::int64_t width, std::int64_t height, unsigned seed) {
  std::mt19937 generator(seed);
  Image image{width, height, {}};
  for (std::int64_t i = 0; i < width * height * 3; ++i)
    image.rgb.push_back(static_cast<std::uint8_t>(generator() >> 24));
  return image;
}

std::vector<std::string> picture_names(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(data_path("goldens/" + folder)))
    if (const auto kind = entry.path().extension();
        kind == ".png" || kind == ".jpg" || kind == ".webp" || kind == ".gif" || kind == ".bmp")
      names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string test_name(std::string name) {
  std::replace_if(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

std::vector<std::byte> read_bytes(const std::filesystem::path& file) {
  const std::string text = read_text(file);
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

}  // namespace mquant::test
