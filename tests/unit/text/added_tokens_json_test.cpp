// The files beside a tokenizer without tokenizer.json: which tokens they add, and what they must not say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mquant/error.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"
#include "text/tokenizer.h"

namespace mquant {
namespace {

using testing::HasSubstr;

/// "content=id", "s" behind special ones, l and r for the sides that they strip.
std::vector<std::string> read(const std::filesystem::path& folder) {
  std::vector<std::string> tokens;
  for (const AddedToken& token : read_added_tokens(folder)) {
    tokens.push_back(token.content + "=" + std::to_string(token.id) + (token.special ? "s" : "") +
                     (token.lstrip ? "l" : "") + (token.rstrip ? "r" : ""));
  }
  return tokens;
}

std::string complaint(const std::string& name, const std::string& text) {
  const test::TempDir folder;
  test::write_text(folder / name, text);
  try {
    read_added_tokens(folder.path());
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input) << error.what();
    return error.what();
  }
  return "read";
}

TEST(AddedTokensOfADirectory, AreThoseOfAddedTokensDecoder) {
  const auto tokens = read(test::data_path("goldens/sentencepiece/internlm2"));
  EXPECT_EQ(tokens.size(), 18U);
  EXPECT_THAT(tokens, testing::IsSupersetOf({"<unk>=0s", "</s>=2s", "<|im_end|>=580s", "</box>=590s"}));
}

TEST(AddedTokensOfADirectory, AddedTokensDecoderWinsAndNamedTokensFollow) {
  const test::TempDir folder;
  test::write_text(folder / "added_tokens.json", R"({"<old>": 9})");
  test::write_text(folder / "special_tokens_map.json", R"({"mask_token": "<mask>"})");
  test::write_text(folder / "tokenizer_config.json", R"({
    "added_tokens_decoder": {"7": {"content": "<a>", "special": true, "lstrip": true, "rstrip": false},
                             "8": {"content": "<b>", "special": false, "normalized": true, "rstrip": true}},
    "bos_token": {"content": "<s>", "__type": "AddedToken"}, "eos_token": null, "pad_token": "<s>",
    "additional_special_tokens": ["<a>", "<c>"]})");
  EXPECT_THAT(read(folder.path()), testing::ElementsAre("<a>=7sl", "<b>=8r", "<s>=-1s", "<c>=-1s"));
}

TEST(AddedTokensOfADirectory, AreThoseOfAddedTokensJsonInOldDirectories) {
  const test::TempDir folder;
  EXPECT_TRUE(read(folder.path()).empty());
  test::write_text(folder / "added_tokens.json", R"({"<tool>": 11, "<img>": 10})");
  EXPECT_THAT(read(folder.path()), testing::UnorderedElementsAre("<img>=10", "<tool>=11"));
  test::write_text(folder / "tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": "</s>"})");
  test::write_text(
      folder / "special_tokens_map.json",
      R"({"bos_token": "<bos>", "additional_special_tokens": [{"content": "<img>", "rstrip": true}]})");
  EXPECT_THAT(read(folder.path()),
              testing::UnorderedElementsAre("<img>=10sr", "<tool>=11", "<bos>=-1s", "</s>=-1s"));
}

TEST(AddedTokensOfADirectory, BrokenFilesAreNamed) {
  const std::string config = "tokenizer_config.json";
  EXPECT_THAT(complaint(config, "{"), HasSubstr("tokenizer_config.json"));
  EXPECT_THAT(complaint(config, R"({"added_tokens_decoder": []})"),
              HasSubstr("tokenizer_config.json: added_tokens_decoder: expected an object of id to token"));
  EXPECT_THAT(complaint(config, R"({"added_tokens_decoder": {"1x": {"content": "a"}}})"),
              HasSubstr("expected ids as keys, found '1x'"));
  EXPECT_THAT(complaint(config, R"({"added_tokens_decoder": {"-1": {"content": "a"}}})"),
              HasSubstr("added_tokens_decoder.-1: expected an id of 0 to"));
  EXPECT_THAT(complaint(config, R"({"added_tokens_decoder": {"1": {"text": "a"}}})"),
              HasSubstr("added_tokens_decoder.1: no key 'content'"));
  EXPECT_THAT(
      complaint(config, R"({"added_tokens_decoder": {"1": {"content": "a"}, "2": {"content": "a"}}})"),
      HasSubstr("added_tokens_decoder.2: token 'a' has another id already"));
  EXPECT_THAT(complaint(config, R"({"bos_token": 1})"), HasSubstr("bos_token"));
  EXPECT_THAT(complaint(config, R"({"additional_special_tokens": "<a>"})"), HasSubstr("expected a list"));
  EXPECT_THAT(complaint("added_tokens.json", "[]"), HasSubstr("added_tokens.json: expected an object"));
  EXPECT_THAT(complaint("added_tokens.json", R"({"a": "1"})"),
              HasSubstr("added_tokens.json: a: expected an integer"));
  EXPECT_THAT(complaint("added_tokens.json", R"({"a": 99999999})"), HasSubstr("a: expected an id of 0 to"));
}

}  // namespace
}  // namespace mquant
