// Files that contradict each other or ask for too much, and texts that hold what only pictures may bring.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/files.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/families/edited_model.h"

namespace mquant::test {
namespace {

using testing::HasSubstr;

TEST(Processors, NeedAPreprocessorFileWhereTheReleaseHasOne) {
  for (const std::string family :
       {"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl_hf", "llava", "minicpm_v", "smolvlm", "gemma3"}) {
    Model model(family);
    model.remove("preprocessor_config.json");
    EXPECT_THAT(complaint(ErrorKind::input, [&] { model.processor(); }),
                HasSubstr("preprocessor_config.json: no such file"))
        << family;
  }
  Model internvl2("internvl2");  // its official code reads none
  internvl2.remove("preprocessor_config.json");
  EXPECT_NO_THROW(internvl2.processor());
}

struct BrokenModel {
  const char *family, *file, *change;  // a JSON merge patch
  ErrorKind kind;
  const char* message;
};

TEST(Processors, RefuseFilesThatContradictEachOther) {
  const BrokenModel cases[] = {
      {"qwen2_vl", "preprocessor_config.json", R"({"patch_size": 16})", ErrorKind::input,
       "vision_config.patch_size"},
      {"qwen2_vl", "preprocessor_config.json", R"({"min_pixels": 99999999})", ErrorKind::input,
       "limits in order"},
      {"qwen3_vl", "config.json", R"({"image_token_id": 654})", ErrorKind::input, "'image_token_id' is 654"},
      {"internvl_hf", "config.json", R"({"image_seq_length": 5})", ErrorKind::input,
       "'image_seq_length' is 5"},
      {"internvl_hf", "preprocessor_config.json", R"({"size": {"height": 28}})", ErrorKind::input,
       "a square"},
      {"internvl_hf", "config.json", R"({"downsample_ratio": 0.3})", ErrorKind::input, "downsample_ratio"},
      {"llava", "preprocessor_config.json", R"({"crop_size": 84})", ErrorKind::input,
       "vision_config.image_size"},
      {"llava", "processor_config.json", R"({"patch_size": 7})", ErrorKind::input, "'patch_size' is 7"},
      {"minicpm_v", "config.json", R"({"query_num": 64})", ErrorKind::input, "image_feature_size"},
      {"minicpm_v", "config.json", R"({"use_image_id": false})", ErrorKind::input,
       "'use_image_id' is true: expected false"},
      {"minicpm_v", "config.json", R"({"slice_mode": false})", ErrorKind::input, "'slice_mode' is true"},
      {"minicpm_v", "config.json", R"({"slice_config": {"max_slice_nums": 4}})", ErrorKind::input,
       "'max_slice_nums' is 9: expected 4"},
      {"internvl_hf", "preprocessor_config.json", R"({"min_patches": 13})", ErrorKind::input,
       "preprocessor_config.json: 'min_patches' is 13: expected at most 12, which is 'max_patches'"},
      {"internvl2", "config.json", R"({"dynamic_image_size": true, "min_dynamic_patch": 13})",
       ErrorKind::input, "config.json: 'min_dynamic_patch' is 13: expected at most 12"},
      {"qwen_vl", "config.json", R"({"visual": {"image_start_id": 5}})", ErrorKind::input, "image_start_id"},
      {"glm4v", "tokenizer_config.json", R"({"image_size": 1120})", ErrorKind::input, "'image_size' is 1120"},
      {"glm4v", "config.json", R"({"boi_token_id": 3})", ErrorKind::input, "'boi_token_id' is 3"},
      {"cogvlm2", "config.json", R"({"vision_config": {"image_size": 91}})", ErrorKind::input,
       "a multiple of 2"},
      {"gemma3", "preprocessor_config.json", R"({"image_seq_length": 9})", ErrorKind::input,
       "'image_seq_length' is 9"},
      {"gemma3", "config.json", R"({"mm_tokens_per_image": 15})", ErrorKind::input, "mm_tokens_per_image"},
      {"smolvlm", "processor_config.json", R"({"image_seq_len": 64})", ErrorKind::input,
       "'image_seq_len' is 64"},
      {"internvl2", "config.json", R"({"template": "Hermes-2"})", ErrorKind::unsupported, "Hermes-2"},
      {"cogvlm2", "config.json", R"({"template_version": "base"})", ErrorKind::unsupported, "\"base\""},
      {"llava", "config.json", R"({"vision_feature_select_strategy": "full"})", ErrorKind::unsupported,
       "full"},
      {"gemma3", "preprocessor_config.json", R"({"do_pan_and_scan": true})", ErrorKind::unsupported,
       "do_pan_and_scan"},
      {"smolvlm", "preprocessor_config.json", R"({"do_image_splitting": false})", ErrorKind::unsupported,
       "do_image_splitting"},
      {"minicpm_v", "preprocessor_config.json", R"({"slice_mode": false})", ErrorKind::unsupported,
       "slice_mode"},
      {"internvl_hf", "preprocessor_config.json", R"({"resample": 0})", ErrorKind::unsupported, "'resample'"},
      {"smolvlm", "preprocessor_config.json", R"({"resample": 3})", ErrorKind::unsupported, "'resample'"},
      {"qwen2_5_vl", "preprocessor_config.json", R"({"do_normalize": false})", ErrorKind::unsupported,
       "do_normalize"}};
  for (const auto& [family, file, change, kind, message] : cases) {
    Model model(family);
    model.edit(file, [&](auto& c) { c.merge_patch(nlohmann::json::parse(change)); });
    EXPECT_THAT(complaint(kind, [&] { model.processor(); }), HasSubstr(message)) << family << " " << change;
  }
}

TEST(Processors, RefuseSettingsThatTheyDoNotKnow) {
  for (const char* family :
       {"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl_hf", "llava", "minicpm_v", "smolvlm", "gemma3"}) {
    const auto refused = [&](const char* key, const nlohmann::json& value) {
      Model model(family);
      model.edit("preprocessor_config.json", [&](auto& c) { c[key] = value; });
      return complaint(ErrorKind::unsupported, [&] { model.processor(); });
    };
    EXPECT_THAT(refused("do_sharpen", true), HasSubstr("'do_sharpen' is true, which is not known")) << family;
    EXPECT_THAT(refused("do_resize", false), HasSubstr("'do_resize' is false")) << family;
    EXPECT_THAT(refused("image_processor_type", "ViTImageProcessor"), HasSubstr("\"ViTImageProcessor\""))
        << family;
    Model harmless(family);
    harmless.edit("preprocessor_config.json", [](auto& c) {
      c["do_sharpen"] = nullptr;
      c["do_convert_rgb"] = true;
      c["return_tensors"] = "pt";
      c["auto_map"] = nlohmann::json::object();
    });
    EXPECT_NO_THROW(harmless.processor()) << family;
  }
  for (const char* family : {"internvl_hf", "llava", "smolvlm", "gemma3"}) {
    Model model(family);
    model.edit("processor_config.json", [](auto& c) { c["image_seq_lenght"] = 4; });
    EXPECT_THAT(complaint(ErrorKind::unsupported, [&] { model.processor(); }),
                HasSubstr("'image_seq_lenght' is 4"));
  }
}

void expect_refused(const char* family, const char* file, const std::string& change,
                    const std::string& message) {
  Model model(family);
  if (!std::filesystem::exists(model / file)) write_text(model / file, "{}");
  model.edit(file, [&](auto& c) { c.update(nlohmann::json::parse(change)); });
  EXPECT_THAT(complaint(ErrorKind::unsupported, [&] { model.processor(); }), HasSubstr(message))
      << family << " " << change;
}

TEST(Processors, RefuseNullWhereVersionsOfTransformersReadItDifferently) {
  const std::pair<const char*, const char*> cases[] = {
      {"qwen2_vl", "do_resize"},         {"qwen2_vl", "do_rescale"},  {"qwen2_vl", "do_normalize"},
      {"qwen2_vl", "image_mean"},        {"qwen2_vl", "image_std"},   {"llava", "do_center_crop"},
      {"smolvlm", "do_image_splitting"}, {"minicpm_v", "slice_mode"}, {"minicpm_v", "norm_mean"}};
  for (const auto& [family, key] : cases)
    expect_refused(family, "preprocessor_config.json", "{\"" + std::string(key) + "\": null}",
                   "'" + std::string(key) + "' is null");
  expect_refused(
      "internvl2", "tokenizer_config.json", R"({"add_bos_token": null})",
      "'add_bos_token' is null, which versions of transformers read in different ways: expected true "
      "or false");
}

TEST(Processors, TakeNullForOffWhereTheClassHasItOff) {
  Model qwen("qwen2_vl");  // as transformers saves it
  qwen.edit("preprocessor_config.json", [](auto& c) {
    for (const char* key : {"do_pad", "crop_size", "do_center_crop", "device"}) c[key] = nullptr;
  });
  EXPECT_NO_THROW(qwen.processor());
  Model gemma("gemma3");
  gemma.edit("preprocessor_config.json", [](auto& c) { c["do_pan_and_scan"] = nullptr; });
  EXPECT_NO_THROW(gemma.processor());
  for (const bool stated : {false, true}) {
    Model minicpm("minicpm_v");
    minicpm.edit("preprocessor_config.json", [&](auto& c) {
      c.erase("use_image_id");
      if (stated) c["use_image_id"] = nullptr;
    });
    EXPECT_THAT(minicpm.processor()->prompt(asked({picture("cat.png"), text("x")})),
                testing::Not(HasSubstr("<image_id>")));
  }
}

const std::vector<const char*> kWithTemplates = {"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl_hf",
                                                 "llava",    "minicpm_v",  "smolvlm",  "gemma3"};

TEST(Processors, RefuseTokensThatEndEveryText) {
  for (const char* family : kWithTemplates) {
    expect_refused(family, "tokenizer.json", R"({"post_processor": {"type": "TemplateProcessing",
      "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "e", "type_id": 0}}], "pair": [],
      "special_tokens": {"e": {"id": "e", "ids": [2], "tokens": ["e"]}}}})",
                   "tokenizer.json: the 'post_processor' ends every text with '");
    for (const char* tokenizer : {"LlamaTokenizer", "GemmaTokenizerFast"})
      expect_refused(family, "tokenizer_config.json",
                     cat(R"({"add_eos_token": true, "tokenizer_class": ")", tokenizer, R"("})"),
                     "'add_eos_token' is true");
  }
  expect_refused("internvl2", "tokenizer_config.json", R"({"add_eos_token": true})",
                 "'add_eos_token' is true");
  Model unread("qwen2_vl");  // by Qwen2Tokenizer of every version
  unread.edit("tokenizer_config.json", [](auto& c) { c["add_eos_token"] = c["add_bos_token"] = true; });
  EXPECT_NO_THROW(unread.processor());
}

TEST(Processors, RefuseSwitchesAndTagsOfTokenizersThatTheyDoNotKnow) {
  for (const char* family : {"qwen2_vl", "internvl2", "glm4v", "qwen_vl", "cogvlm2"})
    expect_refused(family, "tokenizer_config.json", R"({"split_special_tokens": true})",
                   "split_special_tokens");
  expect_refused("qwen_vl", "tokenizer_config.json", R"({"image_pad_tag": "<pad>"})",
                 "tokenizer_config.json: 'image_pad_tag' is \"<pad>\"; known is \"<imgpad>\"");
  expect_refused("qwen_vl", "tokenizer_config.json", R"({"quad_end_tag": null})", "'quad_end_tag' is null");
  Model stated("qwen_vl");
  stated.edit("tokenizer_config.json", [](auto& c) { c["image_start_tag"] = "<img>"; });
  EXPECT_NO_THROW(stated.processor());
}

TEST(Processors, NeedObjectsInTheFilesThatAReleaseMayOmit) {
  const auto refused = [](const std::string& family, const char* file) {
    for (const char* content : {"[]", "null", "7"}) {
      Model model(family);
      std::filesystem::remove(model / file);
      write_text(model / file, content);
      EXPECT_THAT(complaint(ErrorKind::input, [&] { model.processor(); }),
                  HasSubstr(std::string(file) + ": expected an object, found "))
          << family << " " << content;
    }
  };
  for (const char* family : kWithTemplates) refused(family, "processor_config.json");
  for (const TestedFamily& family : tested_families()) {
    refused(family.name, "generation_config.json");
    if (family.name != "glm4v") refused(family.name, "tokenizer_config.json");
  }
}

TEST(Processors, OfLlavaRefuseWhatItsTowerDoesNotTake) {
  const BrokenModel cases[] = {
      {"llava", "preprocessor_config.json", R"({"size": {"shortest_edge": null, "longest_edge": 70}})",
       ErrorKind::unsupported, "'size.longest_edge'"},
      {"llava", "preprocessor_config.json", R"({"do_center_crop": false})", ErrorKind::unsupported,
       "square pictures"},
      {"llava", "preprocessor_config.json", R"({"do_pad": true, "pad_size": {"height": 90, "width": 90}})",
       ErrorKind::unsupported, "'pad_size'"},
      {"llava", "preprocessor_config.json", R"({"resample": 5})", ErrorKind::unsupported, "filter 5"},
      {"llava", "processor_config.json", R"({"image_token": "<img>"})", ErrorKind::unsupported,
       "'image_token'"},
      {"llava", "processor_config.json", R"({"vision_feature_select_strategy": "full"})",
       ErrorKind::unsupported, "full"},
      {"llava", "tokenizer_config.json", R"({"add_bos_token": false})", ErrorKind::unsupported,
       "'add_bos_token' is false"},
      {"llava", "tokenizer_config.json", R"({"add_eos_token": true})", ErrorKind::unsupported,
       "'add_eos_token' is true"},
      {"llava", "processor_config.json", R"({"num_additional_image_tokens": 0})", ErrorKind::input,
       "class token"}};
  for (const auto& [family, file, change, kind, message] : cases) {
    Model model(family);
    model.edit(file, [&](auto& c) { c.merge_patch(nlohmann::json::parse(change)); });
    EXPECT_THAT(complaint(kind, [&] { model.processor(); }), HasSubstr(message)) << change;
  }
}

TEST(Processors, RefuseSizesThatNoTowerHas) {
  const BrokenModel cases[] = {
      {"cogvlm2", "config.json", R"({"vision_config": {"image_size": 2000000000}})", ErrorKind::input,
       "a square"},
      {"qwen_vl", "config.json", R"({"visual": {"patch_size": 0}})", ErrorKind::input, "a positive integer"},
      {"qwen_vl", "config.json", R"({"visual": {"image_size": 8000, "patch_size": 1}})", ErrorKind::input,
       "8000 patches"},
      {"minicpm_v", "config.json", R"({"query_num": 2000000000})", ErrorKind::input, "at most 65536"},
      {"internvl2", "config.json", R"({"max_dynamic_patch": 2000000000})", ErrorKind::input, "at most 65536"},
      {"internvl2", "config.json", R"({"downsample_ratio": 0})", ErrorKind::input, "downsample_ratio"},
      {"llava", "preprocessor_config.json", R"({"image_std": [0, 1, 1]})", ErrorKind::input, "deviation"},
      {"llava", "preprocessor_config.json", R"({"image_mean": [0.5]})", ErrorKind::input, "3 numbers"},
      {"gemma3", "config.json", R"({"vision_config": {"patch_size": 112}})", ErrorKind::input,
       "mm_tokens_per_image"}};
  for (const auto& [family, file, change, kind, message] : cases) {
    Model model(family);
    model.edit(file, [&](auto& c) { c.merge_patch(nlohmann::json::parse(change)); });
    EXPECT_THAT(complaint(kind, [&] { model.processor(); }), HasSubstr(message)) << family << " " << change;
  }
  Model layout("qwen2_vl");
  layout.edit("config.json", [](auto& c) { c.erase("vision_config"); });
  layout.edit("preprocessor_config.json", [](auto& c) { c["patch_size"] = 2000000000; });
  EXPECT_THAT(complaint(ErrorKind::input, [&] { layout.processor(); }),
              HasSubstr("a patch size of 1 to 1024"));
}

TEST(Processors, RefuseTextsThatHoldWhatStandsForAPicture) {
  const std::pair<const char*, const char*> cases[] = {
      {"qwen2_vl", "<|image_pad|>"}, {"qwen2_5_vl", "<|image_pad|>"},
      {"qwen3_vl", "<|image_pad|>"}, {"internvl_hf", "<IMG_CONTEXT>"},
      {"llava", "<image>"},          {"internvl2", "<IMG_CONTEXT>"},
      {"minicpm_v", "<unk>"},        {"minicpm_v", "<slice>"},
      {"minicpm_v", "</image>"},     {"qwen_vl", "<img>"},
      {"qwen_vl", "a </img> b"},     {"qwen_vl", "<imgpad>"},
      {"smolvlm", "<image>"},        {"gemma3", "<image_soft_token>"},
      {"gemma3", "<start_of_image>"}};
  for (const auto& [family, token] : cases)
    for (const bool with_picture : {false, true}) {
      std::vector<ContentPart> content = {text("What is " + std::string(token) + "?")};
      if (with_picture) content.insert(content.begin(), picture("grey.png"));
      EXPECT_THAT(complaint(ErrorKind::input, [&] { Model(family).features(asked(content)); }),
                  testing::AllOf(HasSubstr("sample 's': a text holds '"), HasSubstr("only a picture")))
          << family << " " << token;
    }
  Sample answered = asked({text("What?")});
  answered.answer = "<|image_pad|>";
  EXPECT_THAT(complaint(ErrorKind::input,
                        [&] { Model("qwen2_vl").processor()->features(answered, WithAnswer::yes); }),
              HasSubstr("a text holds '<|image_pad|>'"));
}

TEST(Processors, NameThePictureThatCannotBeTaken) {
  const TempDir folder;
  write_text(folder / "broken.png", "\x89PNG\r\n\x1a\n");
  Sample sample = asked({picture("cat.png")});
  sample.messages[0].content[0].image = folder / "broken.png";
  for (const TestedFamily& family : tested_families())
    EXPECT_THAT(complaint(ErrorKind::input, [&] { Model(family.name).features(sample); }),
                HasSubstr("broken.png"))
        << family.name;
}

}  // namespace
}  // namespace mquant::test
