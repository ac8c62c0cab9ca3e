// What the table of families tells its readers is what descriptions and processors do.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "mquant/error.h"
#include "mquant/family.h"
#include "tests/support/files.h"
#include "tests/unit/families/golden.h"

namespace mquant::test {
namespace {

Config config_of(const Family& family) {
  return Config::open(data_path("goldens/" + family.name) / "model" / "config.json");
}

Tower tower_of(Space space) { return space == Space::vision ? Tower::vision : Tower::decoder; }

/// Does a linear read the stream as it is, or a norm take the mean over several rows of it?
bool reads_means(const ModelSpec& model, Space space, std::int64_t width) {
  for (const BlockSpec& block : model.blocks) {
    for (const LinearSpec& linear : block.linears)
      if (linear.reads == space && linear.norm.empty()) return true;
    for (const NormSpec& norm : block.norms)
      if (norm.space == space && norm.kind == NormKind::layer && norm.width != width) return true;
  }
  return false;
}

bool has_layer_norm(const ModelSpec& model, Space space) {
  return std::ranges::any_of(model.blocks, [&](const BlockSpec& block) {
    return std::ranges::any_of(block.norms, [&](const NormSpec& norm) {
      return norm.kind == NormKind::layer && (norm.space == space || block.tower == tower_of(space));
    });
  });
}

/// A layer that adds to the stream what no linear wrote there: a norm stands between.
bool adds_behind_norms(const ModelSpec& model, Space space) {
  return std::ranges::any_of(model.blocks, [&](const BlockSpec& block) {
    const auto any = [&](Space LinearSpec::* side) {
      return std::ranges::any_of(block.linears,
                                 [&](const LinearSpec& linear) { return linear.*side == space; });
    };
    return block.tower == tower_of(space) && block.attention.heads > 0 && any(&LinearSpec::reads) &&
           !any(&LinearSpec::writes);
  });
}

std::set<std::pair<std::string, Tower>> exempted(const std::vector<Exemption>& exemptions) {
  std::set<std::pair<std::string, Tower>> all;
  for (const Exemption& exemption : exemptions) all.emplace(exemption.pass, exemption.tower);
  return all;
}

TEST(FamilyTable, TellsEverythingOfEveryFamilyInOneLineEach) {
  std::set<std::string> names, types;
  for (const Family* family : all_families()) {
    EXPECT_TRUE(names.insert(family->name).second) << family->name;
    EXPECT_FALSE(family->model_types.empty()) << family->name;
    for (const std::string& type : family->model_types) EXPECT_TRUE(types.insert(type).second) << type;
    std::vector<std::string> texts = {family->summary, family->tower, family->prompt, family->visual_tokens};
    for (const Exemption& exemption : family->exemptions) texts.push_back(exemption.reason);
    for (const std::string& text : texts) {
      EXPECT_FALSE(text.empty()) << family->name;
      EXPECT_EQ(text.find_first_of("\n\r\t"), std::string::npos) << family->name << ": " << text;
    }
  }
  EXPECT_EQ(names.size(), tested_families().size());
}

TEST(FamilyTable, FindsEveryFamilyByTheConfigOfItsRelease) {
  for (const Family* family : all_families()) EXPECT_EQ(&find_family(config_of(*family)), family);
}

TEST(FamilyTable, ExemptsFromBakeMeansWhatHasMeansThatAreRead) {
  for (const Family* family : all_families()) {
    const ModelSpec model = family->describe(config_of(*family));
    const bool needed =
        has_layer_norm(model, Space::vision) && reads_means(model, Space::vision, model.vision_width);
    EXPECT_EQ(exempted(family->exemptions).contains({"bake-means", Tower::vision}), needed) << family->name;
  }
}

TEST(FamilyTable, ExemptsFromRotateWhatIsAddedBehindNorms) {
  for (const Family* family : all_families()) {
    const ModelSpec model = family->describe(config_of(*family));
    for (const Space space : {Space::vision, Space::decoder})
      EXPECT_EQ(exempted(family->exemptions).contains({"rotate", tower_of(space)}),
                adds_behind_norms(model, space))
          << family->name << ", " << space_name(space);
  }
}

TEST(FamilyTable, ADescriptionHasItsFamilysNameAndExemptions) {
  for (const Family* family : all_families()) {
    const ModelSpec model = family->describe(config_of(*family));
    EXPECT_EQ(model.family, family->name);
    EXPECT_EQ(exempted(model.exemptions), exempted(family->exemptions)) << family->name;
  }
}

/// The golden's samples with another picture in front of the first, which is refused or not without being opened.
TEST(FamilyTable, MostPicturesIsWhatThePromptHasRoomFor) {
  for (const Family* family : all_families()) {
    const FamilyGolden golden(tested_family(family->name));
    std::size_t seen = 0;
    for (Sample sample : golden.samples()) {
      for (Message& message : sample.messages) {
        const auto picture = std::ranges::find(message.content, ContentPart::Kind::image, &ContentPart::kind);
        if (picture == message.content.end()) continue;
        message.content.insert(message.content.begin(), ContentPart(*picture));
        ++seen;
        if (family->most_pictures == 1)
          EXPECT_THROW(golden.processor().prompt(sample), Error) << family->name << ' ' << sample.id;
        else
          EXPECT_NO_THROW(golden.processor().prompt(sample)) << family->name << ' ' << sample.id;
        break;
      }
    }
    EXPECT_GT(seen, 0U) << family->name;
    EXPECT_LE(family->most_pictures, 1) << family->name << ": this test knows no other limit";
  }
}

TEST(FamilyTable, DeepStackWithoutLayersReadsNoMeans) {
  const Family& family = find_family(Config::parse(R"({"model_type": "qwen3_vl"})", "config.json"));
  std::string text = read_text(data_path("goldens/qwen3_vl") / "model" / "config.json");
  const std::string key = "\"deepstack_visual_indexes\": [";
  const std::size_t begin = text.find(key), end = text.find(']', begin);
  ASSERT_NE(begin, std::string::npos);
  text.replace(begin, end - begin, key);
  EXPECT_TRUE(family.describe(Config::parse(text, "config.json")).exemptions.empty());
}

}  // namespace
}  // namespace mquant::test
