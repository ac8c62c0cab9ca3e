#include "tests/unit/families/golden.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "families/processors.h"
#include "io/convert.h"
#include "mquant/error.h"
#include "tests/support/files.h"

namespace mquant::test {
namespace {

constexpr double kBound = 2e-6, kHalfBound = 0x1p-11;

std::filesystem::path golden_directory(const std::string& family) { return data_path("goldens/" + family); }

}  // namespace

const std::vector<TestedFamily>& tested_families() {
  static const std::vector<TestedFamily> families = {
      {"qwen2_vl", make_qwen_processor, 2},     {"qwen2_5_vl", make_qwen2_5_vl_processor, 2},
      {"qwen3_vl", make_qwen3_vl_processor, 2}, {"internvl_hf", make_internvl_hf_processor},
      {"llava", make_llava_processor},          {"internvl2", make_internvl2_processor},
      {"minicpm_v", make_minicpm_v_processor},  {"qwen_vl", make_qwen_vl_processor},
      {"glm4v", make_glm4v_processor},          {"cogvlm2", make_cogvlm2_processor},
      {"smolvlm", make_smolvlm_processor},      {"gemma3", make_gemma3_processor},
  };
  return families;
}

const TestedFamily& tested_family(const std::string& name) {
  for (const TestedFamily& family : tested_families())
    if (family.name == name) return family;
  throw std::runtime_error("no family " + name);
}

FamilyGolden::FamilyGolden(const TestedFamily& family)
    : directory_(golden_directory(family.name)),
      tensors_(directory_ / "golden.safetensors"),
      cases_(nlohmann::json::parse(read_text(directory_ / "golden.json")).at("cases")),
      samples_(read_samples(directory_ / "cases.jsonl")),
      processor_(family.make(model(), Config::open(model() / "config.json"), {})) {}

std::string FamilyGolden::prompt(const std::string& sample) const {
  return cases_.at(sample).at("prompt").get<std::string>();
}

std::vector<std::int64_t> FamilyGolden::integers(const std::string& name) const {
  const TensorView tensor = tensors_.get(name);
  std::vector<std::int64_t> values;
  if (tensor.dtype == DType::u8) {
    for (const std::byte byte : tensor.bytes) values.push_back(static_cast<std::int64_t>(byte));
  } else if (tensor.dtype == DType::i64) {
    values.resize(tensor.bytes.size() / sizeof(std::int64_t));
    std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  } else {
    throw std::runtime_error(name + " holds no integers");
  }
  return values;
}

std::vector<float> FamilyGolden::floats(const std::string& name) const {
  return to_floats(tensors_.get(name));
}

std::string pixel_difference(const Features& f, std::int64_t frames, const PixelOf& wanted, bool half) {
  const auto side = static_cast<std::int64_t>(
      std::lround(std::sqrt(static_cast<double>(f.pixel_columns) / static_cast<double>(3 * frames))));
  if (side * side * 3 * frames != f.pixel_columns)
    return cat("a patch of ", f.pixel_columns, " values is no square of ", frames, " frames");
  if (std::ssize(f.pixels) != std::ssize(f.patches) * f.pixel_columns)
    return cat(f.pixels.size(), " values for ", f.patches.size(), " patches");
  std::vector<std::int64_t> tile_of;  // by row
  for (std::size_t tile = 0; tile < f.grids.size(); ++tile)
    tile_of.insert(tile_of.end(), static_cast<std::size_t>(f.grids[tile].rows()),
                   static_cast<std::int64_t>(tile));
  if (tile_of.size() != f.patches.size())
    return cat("grids of ", tile_of.size(), " rows for ", f.patches.size());
  const auto compare = [&](std::size_t row, std::int64_t column) -> std::string {
    const std::int64_t x = column % side, y = column / side % side, c = column / (side * side * frames);
    const auto [patch_row, patch_column] = f.patches[row];
    const double want = wanted(tile_of[row], c, patch_row * side + y, patch_column * side + x);
    const double got =
        f.pixels[row * static_cast<std::size_t>(f.pixel_columns) + static_cast<std::size_t>(column)];
    if (std::abs(got - want) <= kBound + (half ? kHalfBound * std::abs(want) : 0)) return "";
    return cat("tile ", tile_of[row], ", channel ", c, ", patch ", patch_row, ", ", patch_column, ", pixel ",
               y, ", ", x, ": got ", got, ", want ", want);
  };
  for (std::size_t row = 0; row < f.patches.size(); ++row)
    for (std::int64_t column = 0; column < f.pixel_columns; ++column)
      if (std::string difference = compare(row, column); !difference.empty()) return difference;
  return "";
}

}  // namespace mquant::test
