// What every family's processor makes of a sample is what the official code makes of it.
#include "tests/unit/families/golden.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/files.h"

namespace mquant::test {
namespace {

class ProcessorGolden : public testing::TestWithParam<TestedFamily> {
 protected:
  ProcessorGolden() : golden_(GetParam()) {}
  std::string difference(const Features& f, const PixelOf& wanted, bool half = false) const {
    return pixel_difference(f, GetParam().frames, wanted, half);
  }

  FamilyGolden golden_;
};

TEST_P(ProcessorGolden, Prompts) {
  ASSERT_EQ(golden_.samples().size(), golden_.cases());
  for (const Sample& sample : golden_.samples())
    EXPECT_EQ(golden_.processor().prompt(sample), golden_.prompt(sample.id)) << sample.id;
}

TEST_P(ProcessorGolden, TokenIds) {
  for (const Sample& sample : golden_.samples())
    EXPECT_EQ(golden_.features(sample).input_ids, golden_.integers(sample.id + "/input_ids")) << sample.id;
}

TEST_P(ProcessorGolden, VisualTokensAndTheirClass) {
  for (const Sample& sample : golden_.samples()) {
    const Features f = golden_.features(sample);
    std::vector<std::int64_t> overwritten, visual;
    for (const std::int64_t picture : f.picture) overwritten.push_back(picture >= 0 ? 1 : 0);
    for (const TokenClass c : f.token_class) visual.push_back(c == TokenClass::visual ? 1 : 0);
    const std::string mask = sample.id + "/vision_expert_mask", kinds = sample.id + "/token_kind";
    EXPECT_EQ(overwritten, golden_.integers(kinds)) << sample.id;
    EXPECT_EQ(visual, golden_.integers(golden_.has(mask) ? mask : kinds)) << sample.id;
  }
}

TEST_P(ProcessorGolden, PicturesOfVisualTokensCountUp) {
  for (const Sample& sample : golden_.samples()) {
    std::int64_t pictures = 0, seen = 0;
    for (const Message& message : sample.messages)
      for (const ContentPart& part : message.content) pictures += part.kind == ContentPart::Kind::image;
    for (const std::int64_t picture : golden_.features(sample).picture) {
      ASSERT_LE(picture, seen) << sample.id;
      if (picture == seen) ++seen;
    }
    EXPECT_EQ(seen, pictures) << sample.id;
  }
}

TEST_P(ProcessorGolden, Positions) {
  for (const Sample& sample : golden_.samples()) {
    const Features f = golden_.features(sample);
    const std::vector<std::int64_t> wanted = golden_.integers(sample.id + "/position_ids");
    std::vector<std::int64_t> positions;
    for (int axis = 0; axis < f.position_axes; ++axis)
      for (const auto& p : f.positions) positions.push_back(p[static_cast<std::size_t>(axis)]);
    EXPECT_EQ(positions, wanted) << sample.id;
    EXPECT_EQ(f.next_position, *std::max_element(wanted.begin(), wanted.end()) + 1) << sample.id;
    if (f.position_axes == 3) continue;
    for (const auto& p : f.positions) ASSERT_TRUE(p[0] == p[1] && p[1] == p[2]) << sample.id;
  }
}

TEST_P(ProcessorGolden, Grids) {
  for (const Sample& sample : golden_.samples()) {
    const Features f = golden_.features(sample);
    std::vector<std::int64_t> grids;
    for (const std::string name : {"/image_grid_thw", "/tgt_sizes"}) {
      if (!golden_.has(sample.id + name)) continue;
      for (const Grid& grid : f.grids) {
        if (name == "/image_grid_thw") grids.push_back(grid.t);
        grids.insert(grids.end(), {grid.h, grid.w});
      }
      EXPECT_EQ(grids, golden_.integers(sample.id + name)) << sample.id;
    }
  }
}

/// Values of [tiles, 3, side, side], or of more axes of one in front.
PixelOf square_tiles(std::vector<float> values, std::int64_t side) {
  return
      [values = std::move(values), side](std::int64_t tile, std::int64_t c, std::int64_t y, std::int64_t x) {
        return double{values.at(static_cast<std::size_t>(((tile * 3 + c) * side + y) * side + x))};
      };
}

/// Values of a tensor a tile, [3, side of a patch, its patches one after the other]: MiniCPM-V.
PixelOf patch_strips(std::vector<std::vector<float>> tiles, const std::vector<Grid>& grids,
                     std::int64_t side) {
  return [=, tiles = std::move(tiles)](std::int64_t tile, std::int64_t c, std::int64_t y, std::int64_t x) {
    const Grid& grid = grids[static_cast<std::size_t>(tile)];
    const std::int64_t patch = y / side * grid.w + x / side;
    const std::int64_t at = (c * side + y % side) * grid.rows() * side + patch * side + x % side;
    return double{tiles[static_cast<std::size_t>(tile)].at(static_cast<std::size_t>(at))};
  };
}

TEST_P(ProcessorGolden, PixelValues) {
  for (const Sample& sample : golden_.samples()) {
    const std::string name = sample.id + "/pixel_values";
    const Features f = golden_.features(sample);
    if (golden_.has(name + ".0")) {
      std::vector<std::vector<float>> tiles;
      for (std::size_t i = 0; i < f.grids.size(); ++i)
        tiles.push_back(golden_.floats(name + "." + std::to_string(i)));
      EXPECT_FALSE(golden_.has(name + "." + std::to_string(tiles.size()))) << sample.id;
      const PixelOf wanted = patch_strips(std::move(tiles), f.grids, golden_.shape(name + ".0")[1]);
      EXPECT_EQ(difference(f, wanted, golden_.is_half(name + ".0")), "") << sample.id;
    } else if (golden_.has(name)) {
      const std::vector<float> wanted = golden_.floats(name);
      const std::vector<std::int64_t> shape = golden_.shape(name);
      const bool half = golden_.is_half(name);
      ASSERT_EQ(f.pixels.size(), wanted.size()) << sample.id;
      if (shape.size() > 2) {
        EXPECT_EQ(difference(f, square_tiles(wanted, shape.back()), half), "") << sample.id;
      }
      for (std::size_t i = 0; shape.size() == 2 && i < wanted.size(); ++i)  // rows of patches, as here
        ASSERT_NEAR(f.pixels[i], wanted[i], 2e-6 + (half ? 0x1p-11 * std::abs(wanted[i]) : 0)) << sample.id;
    } else {  // then the next test compares every grey level
      EXPECT_TRUE(f.grids.empty() || golden_.has(sample.id + "/tiles_u8")) << sample.id;
    }
  }
}

/// (value / 255 - mean) / deviation, by the golden's own preprocessor_config.json.
class Normalized {
 public:
  explicit Normalized(const std::filesystem::path& model)
      : json_(nlohmann::json::parse(read_text(model / "preprocessor_config.json"))) {}
  double operator()(std::int64_t value, std::int64_t c) const {
    const auto channel = static_cast<std::size_t>(c);
    return (static_cast<double>(value) / 255 - json_["image_mean"].at(channel).get<double>()) /
           json_["image_std"].at(channel).get<double>();
  }

 private:
  nlohmann::json json_;
};

/// A picture or tile: [height, width, 3], from a tensor of one or several.
struct GreyLevels {
  std::vector<std::int64_t> values;
  std::int64_t width = 0, height = 0;
  std::int64_t at(std::int64_t tile, std::int64_t c, std::int64_t y, std::int64_t x) const {
    return values.at(static_cast<std::size_t>(((tile * height + y) * width + x) * 3 + c));
  }
};

TEST_P(ProcessorGolden, EveryGreyLevelWhereTilesAreKept) {
  std::size_t compared = 0;
  for (const Sample& sample : golden_.samples()) {
    const Features f = golden_.features(sample);
    const auto levels = [&](const std::string& name) {
      const std::vector<std::int64_t> shape = golden_.shape(name);
      return GreyLevels{golden_.integers(name), shape[shape.size() - 2], shape[shape.size() - 3]};
    };
    std::vector<GreyLevels> kept;  // all tiles in one, or one each
    const std::string tiles = sample.id + "/tiles_u8", resized = sample.id + "/resized_u8.";
    if (golden_.has(tiles)) kept.push_back(levels(tiles));
    while (golden_.has(resized + std::to_string(kept.size())))
      kept.push_back(levels(resized + std::to_string(kept.size())));
    if (kept.empty()) continue;
    ++compared;
    std::size_t values = 0;
    for (const GreyLevels& each : kept) values += each.values.size();
    ASSERT_EQ(f.pixels.size() / static_cast<std::size_t>(GetParam().frames), values) << sample.id;
    const PixelOf wanted = [&, normalized = Normalized(golden_.model())](std::int64_t tile, std::int64_t c,
                                                                         std::int64_t y, std::int64_t x) {
      const std::size_t own = golden_.has(tiles) ? 0 : static_cast<std::size_t>(tile);
      return normalized(kept[own].at(golden_.has(tiles) ? tile : 0, c, y, x), c);
    };
    EXPECT_EQ(difference(f, wanted), "") << sample.id;
  }
  if (compared > 0) return;  // else the golden keeps pixel values, which another test compares
  EXPECT_TRUE(std::ranges::any_of(golden_.samples(), [&](const Sample& sample) {
    return golden_.has(sample.id + "/pixel_values") || golden_.has(sample.id + "/pixel_values.0");
  }));
}

TEST_P(ProcessorGolden, AnAnswerFollowsThePromptAndEndsTheTurn) {
  for (Sample sample : golden_.samples()) {
    sample.answer = "It is 42.";
    const Features prompt = golden_.features(sample);
    const Features both = golden_.processor().features(sample, WithAnswer::yes);
    ASSERT_EQ(both.answer_begin, std::ssize(prompt.input_ids)) << sample.id;
    ASSERT_GT(both.input_ids.size(), prompt.input_ids.size() + 1) << sample.id;
    EXPECT_TRUE(std::equal(prompt.input_ids.begin(), prompt.input_ids.end(), both.input_ids.begin()));
    EXPECT_TRUE(std::equal(prompt.positions.begin(), prompt.positions.end(), both.positions.begin()));
    const std::vector<std::int64_t> answer(both.input_ids.begin() + both.answer_begin, both.input_ids.end());
    std::string text = golden_.processor().decode(answer);
    text.erase(0, text.find_first_not_of(" \n"));
    EXPECT_EQ(text, "It is 42.") << sample.id;
    const auto& stops = golden_.processor().stop_ids();
    EXPECT_NE(std::find(stops.begin(), stops.end(), answer.back()), stops.end()) << sample.id;
    EXPECT_EQ(both.picture.back(), -1);
    EXPECT_EQ(both.positions.back()[0] + 1, both.next_position);
  }
}

INSTANTIATE_TEST_SUITE_P(AllFamilies, ProcessorGolden, testing::ValuesIn(tested_families()),
                         [](const auto& family) { return family.param.name; });

}  // namespace
}  // namespace mquant::test
