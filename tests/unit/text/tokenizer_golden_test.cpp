// Ids of real vocabularies, string by string, against the libraries that the models were trained with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "io/safetensors.h"
#include "tests/support/files.h"
#include "tests/unit/text/golden_files.h"
#include "text/tokenizer.h"

namespace mquant {
namespace {

using test::golden_json;
using test::qwen_tokenizer;

struct Golden {
  std::vector<std::string> strings = golden_json("tokenizers/strings.json");
  nlohmann::json file;
  explicit Golden(const std::string& name) : file(golden_json("tokenizers/" + name)) {
    EXPECT_EQ(strings.size(), 218U);
    EXPECT_EQ(file.at("rows").size(), strings.size());
  }
  /// Ids under `key`, or under "ids" where they are the same; counts those that differ.
  TokenIds ids(std::size_t row, const std::string& key) {
    const auto& entry = file.at("rows").at(row);
    differing += key != "ids" && entry.contains(key) ? 1 : 0;
    return entry.contains(key) ? entry.at(key) : entry.at("ids");
  }
  int differing = 0;
};

template <class Encode>
void expect_all(Golden& golden, const std::string& key, const Encode& encode) {
  for (std::size_t i = 0; i < golden.strings.size(); ++i) {
    EXPECT_EQ(encode(golden.strings[i]), golden.ids(i, key))
        << key << ", row " << i << ": " << golden.strings[i];
  }
}

TEST(Qwen, IdsAreThoseOfTiktoken) {
  Golden golden("qwen.json");
  const Tokenizer tokenizer = qwen_tokenizer("special_qwen_vl", /*nfc=*/true);
  EXPECT_EQ(tokenizer.vocabulary_size(), 151860);
  expect_all(golden, "ids", [&](const std::string& text) { return tokenizer.encode(text); });
  expect_all(golden, "ids_no_special",
             [&](const std::string& text) { return tokenizer.encode_ordinary(text); });
  expect_all(golden, "ids_no_special", [&](const std::string& text) { return tokenizer.encode(text, {}); });
  EXPECT_GT(golden.differing, 0);
}

TEST(Qwen, IdsWithoutNormalizationAreThoseOfTiktoken) {
  Golden golden("qwen.json");
  const Tokenizer tokenizer = qwen_tokenizer("special_qwen_vl", /*nfc=*/false);
  expect_all(golden, "ids_without_nfc", [&](const std::string& text) { return tokenizer.encode(text); });
  EXPECT_GT(golden.differing, 0);
}

TEST(Qwen, SpecialTokensOfLaterReleasesAreRecognised) {
  for (const std::string release : {"qwen2_vl", "qwen3_vl"}) {
    Golden golden("qwen.json");
    const Tokenizer tokenizer = qwen_tokenizer("special_" + release, /*nfc=*/true);
    expect_all(golden, "ids_" + release, [&](const std::string& text) { return tokenizer.encode(text); });
    EXPECT_GT(golden.differing, 0);
  }
}

TEST(Qwen, OnlyTheAllowedSpecialTokensAreRecognised) {
  const Tokenizer tokenizer = qwen_tokenizer("special_qwen_vl", /*nfc=*/true);
  const std::vector<std::string> allowed = {"<ref>", "</ref>"};
  TokenIds expected = tokenizer.encode_ordinary("<|im_end|> ");
  expected.push_back(151851);
  const TokenIds cat_ids = tokenizer.encode_ordinary("猫");
  expected.insert(expected.end(), cat_ids.begin(), cat_ids.end());
  expected.push_back(151852);
  EXPECT_EQ(tokenizer.encode("<|im_end|> <ref>猫</ref>", allowed), expected);
}

TEST(Qwen, DecodingGivesTheNormalizedTextBack) {
  Golden golden("qwen.json");
  const Tokenizer tokenizer = qwen_tokenizer("special_qwen_vl", /*nfc=*/false);
  for (const std::string& text : golden.strings) {
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text), /*skip_special=*/false), text);
  }
}

TEST(SmolLM2, IdsAreThoseOfTheTokenizersLibrary) {
  Golden golden("smollm2.json");
  const Tokenizer tokenizer = test::smollm2_tokenizer();
  EXPECT_EQ(tokenizer.vocabulary_size(), 49152);
  expect_all(golden, "ids", [&](const std::string& text) { return tokenizer.encode(text); });
}

/// Prompts of a model folder, and the ids that its processor made of them: a placeholder stands for n of its kind.
TEST(Qwen2VlGolden, IdsOfEveryPromptAreThoseOfTransformers) {
  const Tokenizer tokenizer = open_tokenizer(test::data_path("goldens/qwen2_vl/model"));
  const std::int64_t placeholder = tokenizer.id_of("<|image_pad|>");
  const SafetensorsFile tensors(test::data_path("goldens/qwen2_vl/golden.safetensors"));
  const auto cases = golden_json("qwen2_vl/golden.json").at("cases");
  ASSERT_EQ(cases.size(), 6U);
  for (const auto& [name, golden] : cases.items()) {
    const TensorView view = tensors.get(name + "/input_ids");
    TokenIds expected;
    for (std::size_t at = 0; at < view.bytes.size(); at += static_cast<std::size_t>(byte_size(view.dtype))) {
      std::int64_t id = 0;
      std::memcpy(&id, view.bytes.data() + at, static_cast<std::size_t>(byte_size(view.dtype)));
      if (id != placeholder || expected.empty() || expected.back() != placeholder) expected.push_back(id);
    }
    EXPECT_EQ(tokenizer.encode(golden.at("prompt").get<std::string>()), expected) << name;
  }
}

}  // namespace
}  // namespace mquant
