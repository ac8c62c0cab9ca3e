#include "golden.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>

#include "mquant/error.h"
#include "tests/support/files.h"

namespace mquant::test {
namespace {

float from_half(std::uint16_t half) {
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  const float magnitude = exponent == 31  ? (fraction != 0 ? NAN : INFINITY)
                          : exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                          : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

template <class T>
std::vector<T> values(std::span<const char> bytes) {
  std::vector<T> result(bytes.size() / sizeof(T));
  std::memcpy(result.data(), bytes.data(), result.size() * sizeof(T));
  return result;
}

}  // namespace

Golden::Golden(const std::filesystem::path& file) : file_(read_text(file)) {
  std::uint64_t header = 0;
  if (file_.size() < sizeof(header)) throw std::runtime_error(file.string() + ": too short");
  std::memcpy(&header, file_.data(), sizeof(header));
  const std::span<const char> data = std::span<const char>(file_).subspan(sizeof(header) + header);
  const auto names = nlohmann::json::parse(file_.substr(sizeof(header), header));
  for (const auto& [name, tensor] : names.items()) {
    if (name == "__metadata__") continue;
    const std::size_t begin = tensor.at("data_offsets").at(0), end = tensor.at("data_offsets").at(1);
    entries_.push_back({name, tensor.at("dtype"), tensor.at("shape"), data.subspan(begin, end - begin)});
  }
}

const Golden::Entry& Golden::find(const std::string& name) const {
  const auto found =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.name == name; });
  if (found == entries_.end()) throw std::runtime_error("golden: no tensor " + name);
  return *found;
}

bool Golden::has(const std::string& name) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const Entry& entry) { return entry.name == name; });
}

std::vector<std::int64_t> Golden::shape(const std::string& name) const { return find(name).shape; }

std::vector<std::int64_t> Golden::integers(const std::string& name) const {
  if (find(name).dtype != "I64") throw std::runtime_error("golden: not I64: " + name);
  return values<std::int64_t>(find(name).bytes);
}

std::vector<std::int64_t> Golden::bytes(const std::string& name) const {
  if (find(name).dtype != "U8") throw std::runtime_error("golden: not U8: " + name);
  const std::vector<std::uint8_t> bytes = values<std::uint8_t>(find(name).bytes);
  return {bytes.begin(), bytes.end()};
}

bool Golden::is_float32(const std::string& name) const { return find(name).dtype == "F32"; }

std::vector<float> Golden::floats(const std::string& name) const {
  if (is_float32(name)) return values<float>(find(name).bytes);
  if (find(name).dtype != "F16") throw std::runtime_error("golden: not F32 or F16: " + name);
  std::vector<float> result;
  for (const std::uint16_t half : values<std::uint16_t>(find(name).bytes)) result.push_back(from_half(half));
  return result;
}

Image Golden::image(const std::string& name) const {
  const Entry& entry = find(name);
  if (entry.dtype != "U8" || entry.shape.size() != 3 || entry.shape[2] != 3)
    throw std::runtime_error("golden: no picture: " + name);
  return {entry.shape[1], entry.shape[0], values<std::uint8_t>(entry.bytes)};
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

std::vector<std::string> picture_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(data_path("goldens/images")))
    if (entry.path().extension() == ".png" || entry.path().extension() == ".jpg")
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
