// Processors on inputs beyond the goldens: other sizes, several pictures in several turns.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/safetensors.h"
#include "tests/support/files.h"
#include "tests/unit/families/edited_model.h"
#include "vision/decode.h"
#include "vision/patches.h"
#include "vision/tiling.h"
#include "vision/write_png.h"

namespace mquant::test {
namespace {

using testing::HasSubstr;
/// Three pictures, in the first and the last of two users' turns.
Sample conversation() {
  return {.id = "s",
          .messages = {{"user", {picture("grey.png"), picture("cat.png"), text("Compare.")}},
                       {"assistant", {text("They differ.")}},
                       {"user", {picture("tall.png"), text("And this?")}}}};
}

void expect_consistent(const Features& f) {
  std::int64_t rows = 0;
  for (const Grid& grid : f.grids) rows += grid.rows();
  EXPECT_EQ(std::ssize(f.patches), rows);
  EXPECT_EQ(std::ssize(f.pixels), rows * f.pixel_columns);
  EXPECT_EQ(f.token_class.size(), f.input_ids.size());
  EXPECT_EQ(f.picture.size(), f.input_ids.size());
  EXPECT_EQ(f.positions.size(), f.input_ids.size());
}

const std::vector<std::string> kSeveral = {"qwen2_vl",  "qwen2_5_vl", "qwen3_vl", "internvl_hf", "llava",
                                           "internvl2", "minicpm_v",  "qwen_vl",  "smolvlm",     "gemma3"};

TEST(Processors, TakeSeveralPicturesInSeveralTurns) {
  for (const std::string& family : kSeveral) {
    const Features f = Model(family).features(conversation());
    expect_consistent(f);
    const std::vector<std::int64_t> counts = tokens_of_pictures(f);
    ASSERT_EQ(counts.size(), 3U) << family;
    for (std::size_t p = 0; p < 3; ++p) {
      const Features alone = Model(family).features(asked({picture(p == 0   ? "grey.png"
                                                                   : p == 1 ? "cat.png"
                                                                            : "tall.png"),
                                                           text("x")}));
      EXPECT_EQ(counts[p], tokens_of_pictures(alone).at(0)) << family << " picture " << p;
    }
    EXPECT_TRUE(std::is_sorted(f.picture.begin(), f.picture.end(), [](std::int64_t a, std::int64_t b) {
      return a >= 0 && b >= 0 && a < b;
    })) << family;
  }
}

TEST(Processors, NumberPicturesAsTheirTemplatesDo) {
  const auto prompt = [](const char* family) { return Model(family).processor()->prompt(conversation()); };
  EXPECT_THAT(prompt("qwen_vl"), HasSubstr("Picture 2: <img>images/cat.png</img>\nCompare."));
  EXPECT_THAT(prompt("qwen_vl"), HasSubstr("user\nPicture 1: <img>images/tall.png</img>\nAnd this?"));
  EXPECT_THAT(prompt("internvl2"), HasSubstr("</img>\nImage-2: <img><IMG_CONTEXT>"));
  EXPECT_THAT(prompt("internvl2"), HasSubstr("user\n<img><IMG_CONTEXT>"));
  EXPECT_THAT(prompt("minicpm_v"), HasSubstr("user\n<image_id>2</image_id><image><unk>"));
  EXPECT_THAT(prompt("llava"),
              HasSubstr("USER: <image>\n<image>\nCompare. ASSISTANT: They differ. USER: <image>"));
}

TEST(Processors, ThatTakeOnePictureRefuseMore) {
  for (const std::string family : {"glm4v", "cogvlm2"}) {
    EXPECT_THAT(complaint(ErrorKind::input, [&] { Model(family).features(conversation()); }),
                HasSubstr("this model takes at most 1 picture a conversation, found 3"));
    const Features f = Model(family).features(asked({text("What?"), picture("cat.png")}));
    expect_consistent(f);
    EXPECT_EQ(tokens_of_pictures(f), std::vector<std::int64_t>{family == "glm4v" ? 27 : 38});
  }
}

TEST(Processors, TakeTheirSizesFromTheFiles) {
  Model internvl("internvl_hf");
  internvl.edit("config.json", [](auto& c) {
    c["vision_config"]["image_size"] = {84, 84};
    c["image_seq_length"] = 9;
  });
  internvl.edit("processor_config.json", [](auto& c) { c["image_seq_length"] = 9; });
  internvl.edit("preprocessor_config.json", [](auto& c) {
    c["size"] = {{"height", 84}, {"width", 84}};
    c["max_patches"] = 4;
  });
  const Features f = internvl.features(asked({picture("wide.jpg"), text("x")}));
  expect_consistent(f);
  ASSERT_EQ(f.grids.size(), 5U);  // 4 x 1 and the whole
  EXPECT_EQ(f.grids[0].h, 6);
  EXPECT_EQ(tokens_of_pictures(f), std::vector<std::int64_t>{45});

  Model gemma("gemma3");
  gemma.edit("config.json", [](auto& c) { c["mm_tokens_per_image"] = 64; });
  gemma.remove("processor_config.json");
  gemma.edit("preprocessor_config.json", [](auto& c) { c.erase("image_seq_length"); });
  EXPECT_EQ(tokens_of_pictures(gemma.features(asked({picture("cat.png")}))), std::vector<std::int64_t>{64});

  Model qwen("qwen2_5_vl");
  qwen.edit("preprocessor_config.json", [](auto& c) {
    c.erase("min_pixels");
    c.erase("max_pixels");
    c["size"] = {{"shortest_edge", 784}, {"longest_edge", 3136}};
  });
  const Features small = qwen.features(asked({picture("wide.jpg")}));
  EXPECT_LE(small.grids.at(0).rows() * 14 * 14, 3136);

  Model unlimited("qwen2_5_vl");  // 56 * 56 to 28 * 28 * 1280 pixels, as the official class has it
  unlimited.edit("preprocessor_config.json", [](auto& c) {
    c.erase("min_pixels");
    c.erase("max_pixels");
  });
  const Features whole = unlimited.features(asked({picture("wide.jpg")}));  // 300 x 60 becomes 308 x 56
  EXPECT_EQ(whole.grids.at(0).w, 22);
  EXPECT_EQ(whole.grids.at(0).h, 4);
}

/// Padded, stretched, cropped, as transformers' image processors of that name do it.
TEST(Processors, OfLlavaHonourTheSettingsOfItsImageProcessors) {
  const std::filesystem::path golden = data_path("goldens/llava_settings");
  const nlohmann::json changes = nlohmann::json::parse(read_text(golden / "golden.json"));
  const SafetensorsFile expected(golden / "golden.safetensors");
  std::size_t compared = 0;
  for (const auto& [name, change] : changes.items())
    for (const char* file : {"wide.jpg", "tall.png"}) {
      if (!expected.has(name + "/" + file)) continue;
      ++compared;
      Model model("llava");
      model.edit("preprocessor_config.json", [&, &patch = change](auto& c) { c.merge_patch(patch); });
      const Features f = model.features(asked({picture(file)}));
      const auto levels = expected.get(name + "/" + file).bytes;
      constexpr std::int64_t kSide = 70, kPatch = 14;
      ASSERT_EQ(f.pixels.size(), levels.size());
      const NormalizationTable table = normalization_table(
          {{0.48145466, 0.4578275, 0.40821073}, {0.26862954, 0.26130258, 0.27577711}, 1.0 / 255});
      std::size_t wrong = 0, at = 0;
      for (std::int64_t row = 0; row < 25; ++row)
        for (std::size_t c = 0; c < 3; ++c)
          for (std::int64_t y = 0; y < kPatch; ++y)
            for (std::int64_t x = 0; x < kPatch; ++x, ++at) {
              const std::int64_t place = (row / 5 * kPatch + y) * kSide + row % 5 * kPatch + x;
              const auto level =
                  std::to_integer<std::size_t>(levels[static_cast<std::size_t>(place) * 3 + c]);
              wrong += f.pixels[at] != table[c][level] ? 1 : 0;
            }
      EXPECT_EQ(wrong, 0U) << name << " " << file;
    }
  EXPECT_EQ(compared, 11U);
}

TEST(Processors, TakeTheDefaultsOfTheClassThatTheFileNames) {
  const std::vector<double> clip_mean = {0.48145466, 0.4578275, 0.40821073},
                            clip_std = {0.26862954, 0.26130258, 0.27577711};
  const Sample sample = asked({picture("cat.png"), text("x")});
  const auto pixels = [&](const char* family, const std::string& type, const nlohmann::json& mean,
                          const nlohmann::json& deviation) {
    Model model(family);
    model.edit("preprocessor_config.json", [&](auto& c) {
      c["image_processor_type"] = type;
      c["image_mean"] = mean, c["image_std"] = deviation;
      if (mean.is_null()) c.erase("image_mean");
      if (deviation.is_null()) c.erase("image_std");
      if (type.starts_with("Siglip")) c["size"] = {{"height", 70}, {"width", 70}};
    });
    return model.features(sample).pixels;
  };
  EXPECT_EQ(pixels("internvl_hf", "GotOcr2ImageProcessorFast", nullptr, nullptr),
            pixels("internvl_hf", "GotOcr2ImageProcessorFast", clip_mean, clip_std));
  EXPECT_EQ(pixels("llava", "CLIPImageProcessor", nullptr, nullptr),
            pixels("llava", "CLIPImageProcessor", clip_mean, clip_std));
  const nlohmann::json halves = {0.5, 0.5, 0.5};
  EXPECT_EQ(pixels("llava", "SiglipImageProcessor", nullptr, nullptr),
            pixels("llava", "SiglipImageProcessor", halves, halves));
  EXPECT_EQ(pixels("llava", "SiglipImageProcessor", 0.5, 0.5),  // one number for all channels
            pixels("llava", "SiglipImageProcessor", halves, halves));
}

TEST(Processors, TurnPicturesAsTheirCamerasNoteButForQwenVl) {
  const std::filesystem::path noted = data_path("goldens/images/exif_rotated.jpg");
  const TempDir folder;
  write_png(open_image(noted, {.apply_orientation = false}), folder / "stored.png");
  write_png(open_image(noted), folder / "turned.png");
  for (const TestedFamily& family : tested_families()) {
    const Model model(family.name);
    const auto pixels = [&](const std::filesystem::path& file) {
      Sample sample = asked({picture("cat.png"), text("x")});
      sample.messages[0].content[0].image = file;
      return model.features(sample).pixels;
    };
    const bool turns = family.name != "qwen_vl";
    EXPECT_EQ(pixels(noted) == pixels(folder / "turned.png"), turns) << family.name;
    EXPECT_EQ(pixels(noted) == pixels(folder / "stored.png"), !turns) << family.name;
  }
}

TEST(Processors, TakeTheSettingsThatProcessorConfigHoldsBeforeOthers) {
  Model model("llava");
  nlohmann::json pre = nlohmann::json::parse(read_text(model / "preprocessor_config.json"));
  pre["crop_size"] = 84;  // in conflict with config.json
  model.edit("processor_config.json", [&](auto& c) { c["image_processor"] = pre; });
  EXPECT_THAT(complaint(ErrorKind::input, [&] { model.processor(); }),
              HasSubstr("processor_config.json (image_processor)"));
}

TEST(Processors, TakePicturesThatTheSampleHolds) {
  ContentPart held = picture("cat.png");
  held.image_bytes = read_text(held.image);
  held.image.clear();
  held.image_as_written.clear();
  const Features by_path = Model("qwen2_vl").features(asked({picture("cat.png"), text("x")}));
  EXPECT_EQ(Model("qwen2_vl").features(asked({held, text("x")})).pixels, by_path.pixels);
  EXPECT_THAT(complaint(ErrorKind::input, [&] { Model("qwen_vl").features(asked({held, text("x")})); }),
              HasSubstr("spells the path of a picture"));
  held.image_bytes = "no picture";
  EXPECT_THAT(complaint(ErrorKind::input, [&] { Model("qwen2_vl").features(asked({held, text("x")})); }),
              HasSubstr("the picture of a data: URI: expected a JPEG"));
}

TEST(Processors, LeaveOutPixelsThatFillNoPatch) {
  Model model("smolvlm");  // as the 2.2B: 384 pixels are 27 patches of 14, and 6 pixels
  model.edit("config.json", [](auto& c) {
    c["vision_config"]["image_size"] = 70;
    c["scale_factor"] = 2;
  });
  model.edit("processor_config.json", [](auto& c) { c["image_seq_len"] = 16; });
  model.edit("preprocessor_config.json", [](auto& c) {
    c["max_image_size"]["longest_edge"] = 70;
    c["size"]["longest_edge"] = 70;
  });
  const Features f = model.features(asked({picture("cat.png")}));
  expect_consistent(f);
  ASSERT_EQ(f.grids.size(), 1U);
  EXPECT_EQ(f.grids[0].h, 8);
  EXPECT_EQ(tokens_of_pictures(f), std::vector<std::int64_t>{16});
  const Tiling tiling = tile_by_longest_edge(open_image(picture("cat.png").image), 70, 70);
  const Image& tile = tiling.tiles.at(0);
  EXPECT_EQ(pixel_difference(f, 1,
                             [&](std::int64_t, std::int64_t c, std::int64_t y, std::int64_t x) {
                               const auto at = static_cast<std::size_t>((y * tile.width + x) * 3 + c);
                               return (tile.rgb[at] / 255.0 - 0.5) / 0.5;
                             }),
            "");
}

TEST(Processors, ReadTheImageProcessorInsideProcessorConfigToo) {
  const Sample sample = asked({picture("wide.jpg"), text("What?")});
  Model model("internvl_hf");
  const Features before = model.features(sample);
  const nlohmann::json pre = nlohmann::json::parse(read_text(model / "preprocessor_config.json"));
  model.edit("processor_config.json", [&](auto& c) { c["image_processor"] = pre; });
  model.remove("preprocessor_config.json");
  EXPECT_EQ(model.features(sample).pixels, before.pixels);
}

TEST(Processors, TakeSpecialTokensOfUsersForTextWhereTheOfficialCodeDoes) {
  const auto visual = [](const char* family, const std::string& words) {
    return tokens_of_pictures(Model(family).features(asked({picture("grey.png"), text(words)}))).at(0);
  };
  EXPECT_EQ(visual("glm4v", "<|endoftext|><|begin_of_image|>"), 27);
  EXPECT_EQ(visual("cogvlm2", "<|reserved_special_token_0|>"), 38);
  const Features glm = Model("glm4v").features(asked({text("<|user|>")}));
  EXPECT_EQ(std::count(glm.input_ids.begin(), glm.input_ids.end(), 373), 1);  // that of the turn
  const Features qwen = Model("qwen_vl").features(asked({text("<|im_end|>")}));
  EXPECT_EQ(std::count(qwen.input_ids.begin(), qwen.input_ids.end(), 365), 2);  // of the two turns
}

TEST(QwenVlProcessor, SpellsThePathInBytes) {
  Sample sample = asked({picture("cat.png")});
  ContentPart& part = sample.messages[0].content[0];
  part.image_as_written = "e\u0301.png";  // NFC makes one character of two, as the official tokenizer does
  const Features f = Model("qwen_vl").features(sample);
  const auto begin = std::find_if(f.picture.begin(), f.picture.end(), [](auto p) { return p == 0; });
  const auto* id = f.input_ids.data() + (begin - f.picture.begin());
  EXPECT_EQ(std::vector<std::int64_t>(id, id + 7),
            (std::vector<std::int64_t>{0xc3, 0xa9, '.', 'p', 'n', 'g', 579}));
  EXPECT_EQ(id[-1], 577);
  EXPECT_EQ(id[256], 578);

  part.image_as_written = std::string(255, 'x');
  EXPECT_EQ(tokens_of_pictures(Model("qwen_vl").features(sample)), std::vector<std::int64_t>{256});
  part.image_as_written += 'x';
  EXPECT_THAT(complaint(ErrorKind::input, [&] { Model("qwen_vl").features(sample); }),
              HasSubstr("a path of 256 bytes"));
  part.image_as_written = "\xff";
  EXPECT_THAT(complaint(ErrorKind::input, [&] { Model("qwen_vl").features(sample); }), HasSubstr("no UTF-8"));
}

/// The answer's tokens, none of which may have changed the prompt's.
std::vector<std::int64_t> answer_ids(const Processor& processor, std::string answer) {
  Sample sample = asked({text("What?")});
  const Features prompt = processor.features(sample, WithAnswer::no);
  sample.answer = std::move(answer);
  const Features f = processor.features(sample, WithAnswer::yes);
  EXPECT_EQ(f.answer_begin, std::ssize(prompt.input_ids));
  EXPECT_TRUE(std::equal(prompt.input_ids.begin(), prompt.input_ids.end(), f.input_ids.begin()));
  return {f.input_ids.begin() + f.answer_begin, f.input_ids.end()};
}

TEST(Processors, JoinAnAnswerToThePromptWithoutChangingIt) {
  // Qwen's words take line feeds together: one text would join this one to "assistant\n".
  const auto qwen = Model("qwen2_vl").processor();
  EXPECT_EQ(qwen->decode(answer_ids(*qwen, "\nIt")), "\nIt");
  // A text of its own would get a blank in front, beside that of the template.
  const auto llava = Model("llava").processor();
  EXPECT_EQ(llava->decode(answer_ids(*llava, "It")), "It");
}

TEST(Processors, StopWhereTheReleaseDoes) {
  const auto stops = [](const Model& model) {
    std::vector<std::int64_t> ids = model.processor()->stop_ids();
    std::sort(ids.begin(), ids.end());
    return ids;
  };
  using Ids = std::vector<std::int64_t>;
  EXPECT_EQ(stops(Model("qwen2_5_vl")), (Ids{643, 645}));
  EXPECT_EQ(stops(Model("qwen_vl")), (Ids{363, 364, 365}));
  EXPECT_EQ(stops(Model("glm4v")), (Ids{366, 373, 375}));
  EXPECT_EQ(stops(Model("internvl2")), (Ids{580, 581}));
  EXPECT_EQ(stops(Model("internvl_hf").remove("generation_config.json")), (Ids{645}));
  EXPECT_EQ(stops(Model("llava").remove("generation_config.json")), (Ids{2}));
  EXPECT_THAT(complaint(ErrorKind::input,
                        [&] {
                          Model model("internvl_hf");
                          model.remove("generation_config.json");
                          model.edit("config.json", [](auto& c) { c["text_config"].erase("eos_token_id"); });
                          model.processor();
                        }),
              HasSubstr("generation_config.json: no token ends an answer: expected an 'eos_token_id'"));
}

TEST(InternVl2, TheTemplateOfTheConfigIsTheOneRendered) {
  const Sample sample = asked({text("Hi")});
  const std::string rest = "user\nHi<|im_end|>\n<|im_start|>assistant\n";
  Model later("internvl2");
  later.edit("config.json", [](auto& c) { c["template"] = "internvl2_5"; });
  const std::string prompt = later.processor()->prompt(sample);
  EXPECT_TRUE(prompt.starts_with("<|im_start|>system\n你是书生·万象")) << prompt;
  EXPECT_TRUE(prompt.ends_with("。<|im_end|>\n<|im_start|>" + rest)) << prompt;
  EXPECT_TRUE(Model("internvl2")
                  .processor()
                  ->prompt(sample)
                  .ends_with("。<|im_end|><|im_start|>user\nHi<|im_end|><|im_start|>assistant\n"));
}

}  // namespace
}  // namespace mquant::test
