// What a tokenizer promises whatever its vocabulary: limits, lookups, time.
#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>

#include "mquant/error.h"
#include "support/rng.h"
#include "tests/support/files.h"
#include "tests/unit/text/golden_files.h"

namespace mquant {
namespace {

using testing::HasSubstr;

Tokenizer digits_tokenizer() { return open_tokenizer(test::data_path("digits-vl/model")); }

std::string complaint(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    return error.what();
  }
  return "no error";
}

TEST(Tokenizer, FindsTokensByTextAndById) {
  const Tokenizer tokenizer = digits_tokenizer();
  EXPECT_EQ(tokenizer.vocabulary_size(), 640);
  EXPECT_EQ(tokenizer.id_of("<|im_start|>"), 627);
  EXPECT_EQ(tokenizer.token_of(627), "<|im_start|>");
  EXPECT_TRUE(tokenizer.is_special(627));
  const std::int64_t the = tokenizer.id_of("Ġth");
  EXPECT_EQ(tokenizer.token_of(the), "Ġth");
  EXPECT_FALSE(tokenizer.is_special(the));
  EXPECT_EQ(tokenizer.find("no such token"), std::nullopt);
  EXPECT_EQ(tokenizer.find("中"), std::nullopt);
  EXPECT_EQ(tokenizer.token_of(640), "");
  EXPECT_EQ(tokenizer.token_of(-1), "");
  EXPECT_THAT(complaint([&] { tokenizer.id_of("<|eos|>"); }),
              HasSubstr("tokenizer.json: no token '<|eos|>'"));
  const std::vector<std::string> allowed = {"<|eos|>"};
  EXPECT_THAT(complaint([&] { tokenizer.encode("a", allowed); }), HasSubstr("no added token '<|eos|>'"));
}

TEST(Tokenizer, EverySampleOfDigitsComesBackFromItsIds) {
  const Tokenizer tokenizer = digits_tokenizer();
  int texts = 0;
  for (const char* file : {"digits-vl/calib.jsonl", "digits-vl/eval.jsonl"}) {
    for (const Sample& sample : read_samples(test::data_path(file))) {
      for (const Message& message : sample.messages) {
        for (const ContentPart& part : message.content) {
          const TokenIds ids = tokenizer.encode(part.text);
          EXPECT_EQ(tokenizer.decode(ids, true), part.text);
          EXPECT_LE(ids.size(), part.text.size());
          texts += part.text.empty() ? 0 : 1;
        }
      }
    }
  }
  EXPECT_GE(texts, 628);
}

TEST(Tokenizer, IdsWithoutATokenDecodeToNothing) {
  const Tokenizer tokenizer = digits_tokenizer();
  const TokenIds ids = {-1, tokenizer.id_of("a"), 639, 640, 1 << 30, tokenizer.id_of("b")};
  EXPECT_EQ(tokenizer.decode(ids, /*skip_special=*/true), "ab");
}

TEST(Tokenizer, BytesThatAreNoTextBecomeReplacementCharacters) {
  const Tokenizer tokenizer = digits_tokenizer();
  TokenIds ids = tokenizer.encode("é");
  ASSERT_EQ(ids.size(), 2U);
  ids.pop_back();
  EXPECT_EQ(tokenizer.decode(ids, false), "\uFFFD");
}

TEST(Tokenizer, RefusesWhatIsNoText) {
  const Tokenizer tokenizer = digits_tokenizer();
  EXPECT_THAT(complaint([&] { tokenizer.encode("ab\xC3"); }), HasSubstr("byte 2 is not UTF-8"));
  EXPECT_THAT(complaint([&] { tokenizer.encode("\xED\xA0\x80"); }), HasSubstr("byte 0 is not UTF-8"));
  EXPECT_THAT(complaint([&] { tokenizer.encode(std::string((16 << 20) + 1, 'a')); }),
              HasSubstr("at most 16.0 MiB"));
  std::string marks = "a";
  for (int i = 0; i < 5000; ++i) marks += i % 2 ? "\u0301" : "\u0316";
  EXPECT_THAT(complaint([&] { tokenizer.encode(marks); }), HasSubstr("combining marks in a row"));
}

/// Quadratic merging would take an hour; the bound, of processor time, leaves room for sanitizers.
TEST(Tokenizer, ALongWordTakesSeconds) {
  constexpr std::size_t kLength = 1 << 18;
  const Tokenizer tokenizer = test::qwen_tokenizer("special_qwen_vl", /*nfc=*/true);
  Rng rng(1);
  std::string word;
  while (word.size() < kLength) word += static_cast<char>('a' + rng.next() % 26);
  const std::string blanks(kLength, ' ');
  const std::clock_t start = std::clock();
  const TokenIds ids = tokenizer.encode(word), blank_ids = tokenizer.encode(blanks);
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 30);
  EXPECT_EQ(tokenizer.decode(ids, /*skip_special=*/false), word);
  EXPECT_EQ(tokenizer.decode(blank_ids, /*skip_special=*/false), blanks);
}

}  // namespace
}  // namespace mquant
