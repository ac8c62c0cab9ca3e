// Models of the SentencePiece library: ids and texts against sentencepiece 0.2.3, prompts against transformers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mquant/error.h"
#include "tests/support/files.h"
#include "tests/unit/text/golden_files.h"
#include "text/tokenizer.h"

namespace mquant {
namespace {

using test::data_path;
using test::golden_json;

Tokenizer open_model(const std::string& name, const SentencePieceOptions& options = {}) {
  return open_sentencepiece(data_path("goldens/sentencepiece/" + name), options);
}

Tokenizer internlm2() {
  const auto folder = data_path("goldens/sentencepiece/internlm2");
  return open_sentencepiece(folder / "tokenizer.model", {.added = read_added_tokens(folder), .bos = "<s>"});
}

/// What opening with `options` says; "opened" if it does not complain.
std::string complaint(const SentencePieceOptions& options) {
  try {
    open_model("bpe.model", options);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input) << error.what();
    return error.what();
  }
  return "opened";
}

void expect_rows(const Tokenizer& tokenizer, const std::vector<std::string>& texts,
                 const nlohmann::json& rows) {
  ASSERT_EQ(rows.size(), texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const TokenIds ids = rows[i].at("ids");
    EXPECT_EQ(tokenizer.encode(texts[i]), ids) << "row " << i << ": " << texts[i];
    EXPECT_EQ(tokenizer.decode(ids, /*skip_special=*/false), rows[i].at("decoded")) << "row " << i;
  }
}

TEST(Mistral, IdsAndTextsAreThoseOfSentencePiece) {
  const Tokenizer tokenizer =
      parse_sentencepiece(test::unpacked("tokenizers/mistral_v1.model.gz"), "tokenizer.model", {});
  EXPECT_EQ(tokenizer.vocabulary_size(), 32000);
  const std::vector<std::string> texts = golden_json("tokenizers/strings.json");
  EXPECT_EQ(texts.size(), 218U);
  expect_rows(tokenizer, texts, golden_json("tokenizers/mistral_v1.json").at("rows"));
}

/// `bpe`: normalization rules, user-defined pieces, blanks taken out; `unigram`: blanks behind words, unknown ones.
TEST(SentencePiece, IdsAndTextsOfEveryKindOfModelAreThoseOfSentencePiece) {
  std::vector<std::string> texts = golden_json("tokenizers/strings.json");
  const std::vector<std::string> more = golden_json("sentencepiece/texts.json");
  texts.insert(texts.end(), more.begin(), more.end());
  EXPECT_EQ(texts.size(), 232U);
  for (const std::string name : {"bpe", "unigram"}) {
    SCOPED_TRACE(name);
    expect_rows(open_model(name + ".model"), texts,
                golden_json("sentencepiece/" + name + ".json").at("rows"));
  }
}

TEST(InternLM2, IdsOfEveryPromptAreThoseOfTransformers) {
  const Tokenizer tokenizer = internlm2();
  const auto cases = golden_json("sentencepiece/internlm2/golden.json").at("cases");
  ASSERT_EQ(cases.size(), 7U);
  for (const auto& [name, golden] : cases.items()) {
    const TokenIds ids = golden.at("ids");
    EXPECT_EQ(tokenizer.encode_with_template(golden.at("prompt").get<std::string>()), ids) << name;
    EXPECT_EQ(tokenizer.decode(ids, /*skip_special=*/false), "<s>" + golden.at("prompt").get<std::string>())
        << name;
  }
}

TEST(InternLM2, AddedTokensRenamePiecesAndFollowBehindThem) {
  const Tokenizer tokenizer = internlm2();
  EXPECT_EQ(tokenizer.id_of("<|im_end|>"), 580);
  EXPECT_EQ(tokenizer.token_of(580), "<|im_end|>");
  EXPECT_EQ(tokenizer.decode(TokenIds{580}, /*skip_special=*/false), "<|im_end|>");
  EXPECT_EQ(tokenizer.id_of("[UNUSED_TOKEN_145]"), 580);  // what the model calls it
  EXPECT_EQ(tokenizer.id_of("</box>"), 590);
  EXPECT_EQ(tokenizer.vocabulary_size(), 591);
  EXPECT_TRUE(tokenizer.is_special(580));
  EXPECT_FALSE(tokenizer.is_special(300));
  EXPECT_EQ(tokenizer.find("<none>"), std::nullopt);
}

TEST(SentencePiece, TextBetweenAddedTokensIsATextOfItsOwn) {
  const Tokenizer plain = open_model("bpe.model");
  const Tokenizer tokenizer =
      open_model("bpe.model", {.added = {{.content = "<im>", .id = 1000}, {.content = "<im>2", .id = 1002}}});
  TokenIds expected = plain.encode("the");
  expected.push_back(1000);
  const TokenIds behind = plain.encode("the end");
  expected.insert(expected.end(), behind.begin(), behind.end());
  expected.push_back(1002);  // the longest that begins there
  EXPECT_EQ(tokenizer.encode("the<im>the end<im>2"), expected);
  EXPECT_EQ(tokenizer.decode(expected, /*skip_special=*/false), "the<im>the end<im>2");
  EXPECT_EQ(tokenizer.decode(expected, /*skip_special=*/true), "the the end");  // one run, as in transformers
  EXPECT_EQ(tokenizer.encode_ordinary("the<im>"), plain.encode("the<im>"));
}

TEST(SentencePiece, ControlPiecesAreTextUnlessTheyAreAdded) {
  const Tokenizer plain = open_model("bpe.model");
  EXPECT_THAT(plain.encode("a</s>"), testing::Not(testing::Contains(plain.id_of("</s>"))));
  EXPECT_EQ(plain.decode(TokenIds{plain.id_of("</s>")}, /*skip_special=*/false), "");
  const Tokenizer tokenizer = open_model("bpe.model", {.added = {{.content = "</s>", .id = kIdByContent}}});
  EXPECT_EQ(tokenizer.encode("</s>"), TokenIds{plain.id_of("</s>")});
  EXPECT_EQ(tokenizer.decode(TokenIds{plain.id_of("</s>")}, /*skip_special=*/false), "</s>");
}

TEST(SentencePiece, TokensWithoutAnIdFollowBehindAllOthers) {
  const Tokenizer tokenizer = open_model("bpe.model", {.added = {{.content = "<a>", .id = kIdByContent},
                                                                 {.content = "<b>", .id = 1005},
                                                                 {.content = "<c>", .id = kIdByContent}}});
  EXPECT_EQ(tokenizer.encode("<a><b><c>"), (TokenIds{1006, 1005, 1007}));
  EXPECT_EQ(tokenizer.vocabulary_size(), 1008);
}

TEST(SentencePiece, BosIsPutInFrontOnlyOnRequest) {
  const Tokenizer tokenizer = open_model("bpe.model", {.bos = "<s>"});
  TokenIds expected = tokenizer.encode("the");
  expected.insert(expected.begin(), tokenizer.id_of("<s>"));
  EXPECT_EQ(tokenizer.encode_with_template("the"), expected);
  EXPECT_EQ(open_model("bpe.model").encode_with_template("the"), tokenizer.encode("the"));
}

TEST(SentencePiece, BytesThatSpellNoCharacterAreReplacedAndForeignIdsStandForNothing) {
  const Tokenizer tokenizer = open_model("bpe.model");
  const TokenIds smile = {tokenizer.id_of("<0xF0>"), tokenizer.id_of("<0x9F>"), tokenizer.id_of("<0x98>"),
                          tokenizer.id_of("<0x80>")};
  EXPECT_EQ(tokenizer.decode(smile, /*skip_special=*/false), "\U0001F600");
  EXPECT_EQ(tokenizer.decode(std::span(smile).first(1), /*skip_special=*/false), "\uFFFD");
  EXPECT_EQ(tokenizer.decode(TokenIds{-1, 1000, INT64_MAX}, /*skip_special=*/false), "");
  EXPECT_EQ(tokenizer.token_of(1000), "");
}

TEST(SentencePiece, AddedTokensThatContradictEachOtherAreErrors) {
  using testing::HasSubstr;
  EXPECT_THAT(complaint({.bos = "<bos>"}), HasSubstr("bpe.model: no token '<bos>' to put in front of texts"));
  EXPECT_THAT(complaint({.added = {{.content = "<a>", .id = 7}, {.content = "<b>", .id = 7}}}),
              HasSubstr("bpe.model: added token '<b>' (id 7): its content or its id belongs to another"));
  EXPECT_THAT(complaint({.added = {{.content = "<a>", .id = -2}}}), HasSubstr("expected an id of 0 to"));
  EXPECT_THAT(complaint({.added = {{.content = "<a>", .id = INT64_MAX}}}),
              HasSubstr("expected an id of 0 to"));
}

TEST(Glm4, IdsOfEveryPromptAreThoseOfTransformers) {
  const auto golden = golden_json("glm4_tiktoken/golden.json");
  TiktokenOptions options{.pattern = golden.at("pattern")};
  for (const auto& [token, id] : golden.at("special").items()) options.special_tokens.emplace_back(token, id);
  const Tokenizer tokenizer = open_tiktoken(data_path("goldens/glm4_tiktoken/tokenizer.model"), options);
  ASSERT_EQ(golden.at("cases").size(), 6U);
  for (const auto& [name, prompt] : golden.at("cases").items()) {
    TokenIds ids;
    for (const auto& part : prompt.at("parts")) {
      if (part.contains("token")) {
        ids.push_back(tokenizer.id_of(part.at("token").get<std::string>()));
        continue;
      }
      const TokenIds text = tokenizer.encode(part.at("text").get<std::string>(), {});
      ids.insert(ids.end(), text.begin(), text.end());
    }
    EXPECT_EQ(ids, prompt.at("ids").get<TokenIds>()) << name;
  }
}

}  // namespace
}  // namespace mquant
