// The files beside a tokenizer, with tokenizer.json and without: which tokens they add, and what they must not say.
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
  for (const std::string file : {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"})
    for (const char* content : {"[]", "null", "7"})
      EXPECT_THAT(complaint(file, content), HasSubstr(file + ": expected an object, found "));
  EXPECT_THAT(complaint("added_tokens.json", R"({"a": "1"})"),
              HasSubstr("added_tokens.json: a: expected an integer"));
  EXPECT_THAT(complaint("added_tokens.json", R"({"a": 99999999})"), HasSubstr("a: expected an id of 0 to"));
}

/// A tokenizer.json of bytes with two added tokens, beside other files.
class BesideTokenizerJson : public testing::Test {
 protected:
  BesideTokenizerJson() { write("tokenizer.json", json(4)); }
  void write(const char* name, const std::string& text) {
    std::filesystem::remove(folder_ / name);
    test::write_text(folder_ / name, text);
  }
  static std::string json(int second) {
    const std::string flags =
        R"(, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})";
    return R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "Ġ": 2}, "merges": []}, "normalizer": null,
      "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}, "decoder": null,
      "added_tokens": [{"id": 3, "content": "<s>")" +
           flags + R"(, {"id": )" + std::to_string(second) + R"(, "content": "<i>")" + flags + "]}";
  }
  TokenIds ids(const char* text = "a <s> b<n>b<i> <m>a") {
    return open_tokenizer(folder_.path()).encode(text);
  }
  std::string complaint(ErrorKind kind) {
    try {
      open_tokenizer(folder_.path());
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      return error.what();
    }
    return "no error";
  }
  test::TempDir folder_;
};

TEST_F(BesideTokenizerJson, NothingIsNeeded) { EXPECT_EQ(ids("a<i>b"), (TokenIds{0, 4, 1})); }

/// Ids as transformers 5.23 gives them to such files: those of the decoder in order, then those that only have a name.
TEST_F(BesideTokenizerJson, AddedTokensDecoderAndNamesAddTokens) {
  write("tokenizer_config.json", R"({"added_tokens_decoder": {
      "3": {"content": "<s>", "special": true, "lstrip": false, "rstrip": false, "single_word": false, "normalized": true},
      "5": {"content": "<n>", "special": true, "lstrip": true, "rstrip": true, "normalized": false}},
    "bos_token": "b", "pad_token": {"content": "<m>", "lstrip": true}, "add_bos_token": true,
    "extra_special_tokens": {"image_token": "<x>"}, "video_token": "<y>"})");
  write("special_tokens_map.json", R"({"eos_token": "<z>"})");  // not read beside a decoder
  write("added_tokens.json", R"({"<w>": 9})");
  EXPECT_EQ(ids("a<n> b"), (TokenIds{0, 5, 1}));
  EXPECT_EQ(ids("a <n> b"), (TokenIds{0, 5, 1}));
  EXPECT_EQ(ids("a <m>"), (TokenIds{0, 6}));
  const Tokenizer tokenizer = open_tokenizer(folder_.path());
  EXPECT_TRUE(tokenizer.is_special(1));  // "b"
  EXPECT_EQ(tokenizer.id_of("<y>"), 7);
  EXPECT_EQ(tokenizer.id_of("<x>"), 8);
  EXPECT_EQ(tokenizer.find("<z>"), std::nullopt);
  EXPECT_EQ(tokenizer.find("<w>"), std::nullopt);
}

TEST_F(BesideTokenizerJson, OldFilesAddTokensWhereThereIsNoDecoder) {
  write("added_tokens.json", R"({"<b10>": 6, "<n>": 5, "<s>": 3})");
  write("special_tokens_map.json",
        R"({"eos_token": {"content": "<n>", "lstrip": true}, "pad_token": "<m>"})");
  EXPECT_EQ(ids("a <n>b<b10><m>"), (TokenIds{0, 5, 1, 6, 7}));
}

TEST_F(BesideTokenizerJson, ContradictionsAreErrors) {
  write("added_tokens.json", R"({"<n>": 6})");
  EXPECT_THAT(complaint(ErrorKind::input),
              HasSubstr("token '<n>' has the id 5, but 6 in the files beside it"));
  write("tokenizer_config.json", R"({"added_tokens_decoder": {"4": {"content": "<s>"}}})");
  EXPECT_THAT(complaint(ErrorKind::input), HasSubstr("token '<s>' has the id 3, but 4"));
  write("tokenizer_config.json", R"({"added_tokens_decoder": {"3": {"content": "<s>", "rstrip": true}}})");
  EXPECT_THAT(complaint(ErrorKind::input), HasSubstr("token '<s>' takes other white space along"));
  write("tokenizer_config.json", R"({"split_special_tokens": true})");
  EXPECT_THAT(complaint(ErrorKind::unsupported), HasSubstr("split_special_tokens"));
  write("tokenizer_config.json", R"({"add_prefix_space": true})");
  EXPECT_THAT(complaint(ErrorKind::unsupported), HasSubstr("add_prefix_space"));
  std::filesystem::remove(folder_ / "added_tokens.json");
  write("tokenizer_config.json", R"({"add_prefix_space": false})");
  EXPECT_EQ(complaint(ErrorKind::input), "no error");
}

}  // namespace
}  // namespace mquant
