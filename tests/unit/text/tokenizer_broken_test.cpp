// Tokenizer files that are broken, hostile or beyond us: an error that names the place, never a crash.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mquant/error.h"
#include "support/rng.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/text/golden_files.h"
#include "text/tokenizer.h"

namespace mquant {
namespace {

using nlohmann::json;
using testing::HasSubstr;

json base(const std::string& name) {
  return test::golden_json("tokenizer_steps/golden.json").at("bases").at(name);
}

Tokenizer open(const std::string& text) { return parse_tokenizer(text, "tokenizer.json"); }

/// What opening `text` says; "opened" if it does not complain.
std::string complaint(const std::string& text, ErrorKind kind) {
  try {
    open(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  return "opened";
}

struct Case {
  const char* pointer;
  const char* value;
  const char* message;
};

TEST(TokenizerJson, UnknownComponentsAreNamed) {
  const Case cases[] = {
      {"/normalizer", R"({"type": "Lowercase"})", "normalizer: normalizer 'Lowercase' is not supported"},
      {"/normalizer", R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Nmt"}]})",
       "normalizer 'Nmt'"},
      {"/pre_tokenizer", R"({"type": "Punctuation"})",
       "pre_tokenizer: pre-tokenizer 'Punctuation' is not supported"},
      {"/pre_tokenizer/pretokenizers/0/type", R"("Whitespace")",
       "pre_tokenizer.pretokenizers.0: pre-tokenizer"},
      {"/pre_tokenizer/pretokenizers/0/behavior", R"("Folded")",
       "pretokenizers.0.behavior: behavior 'Folded'"},
      {"/pre_tokenizer/pretokenizers/0/pattern/Regex", R"("(a")",
       "pretokenizers.0.pattern.Regex: regular expression"},
      {"/pre_tokenizer/pretokenizers/0/type", R"("ByteLevel")", "add_prefix_space"},
      {"/post_processor", R"({"type": "BertProcessing"})", "post_processor: post-processor 'BertProcessing'"},
      {"/decoder", R"({"type": "WordPiece"})", "decoder: decoder 'WordPiece' is not supported"},
      {"/model/type", R"("Unigram")", "model: model 'Unigram' is not supported"},
      {"/model/dropout", "0.1", "model.dropout: dropout is not supported"},
      {"/model/byte_fallback", "true", "model.byte_fallback: byte fallback of bytes"},
      {"/model/end_of_word_suffix", R"("</w>")", "model.end_of_word_suffix: '</w>' is not supported"},
  };
  for (const Case& c : cases) {
    json file = base("bytes");
    file[json::json_pointer(c.pointer)] = json::parse(c.value);
    const bool is_input =
        std::string_view(c.message) == "add_prefix_space";  // a key that ByteLevel must have
    const std::string message = complaint(file.dump(), is_input ? ErrorKind::input : ErrorKind::unsupported);
    EXPECT_THAT(message, HasSubstr(c.message)) << c.pointer;
    EXPECT_THAT(message, HasSubstr("tokenizer.json: ")) << c.pointer;
  }
}

TEST(TokenizerJson, ContradictionsAreErrors) {
  const Case cases[] = {
      {"/model/merges/3", R"("t zz")", "merge 3 ('t', 'zz'): 'zz' is not in the vocabulary"},
      {"/model/merges/3", R"("t h e")", "merges"},
      {"/model/merges/3", R"(["t"])", "merges"},
      {"/model/merges", "7", "model.merges: expected a list, found 7"},
      {"/model/vocab/a", "-1", "expected an id of 0 to"},
      {"/model/vocab/a", "4294967296", "expected an id of 0 to"},
      {"/model/vocab/a", "5", "belongs to"},
      {"/model/vocab/a", R"("x")", "model.vocab.a: expected an id, found \"x\""},
      {"/model/unk_token", R"("<none>")", "unknown token '<none>' is not in the vocabulary"},
      {"/added_tokens/0/id", "64", "which belongs to"},
      {"/added_tokens/0/content", R"("a")", "added_tokens.0: token 'a' has id 275, but comes to have 97"},
      {"/added_tokens/0/id", "276", "added_tokens.0: token '<s>' has id 276, but comes to have 275"},
      {"/added_tokens/1/content", R"("<s>")", "belongs to another added token"},
      {"/added_tokens/1/id", "275", "has id 275, but comes to have 276"},
      {"/added_tokens/1/special", "1", "added_tokens.1.special: expected true or false, found 1"},
      {"/added_tokens/1", "[]", "added_tokens.1: expected an object"},
      {"/added_tokens", "{}", "added_tokens: expected a list, found an object"},
      {"/decoder", R"({"type": "Strip", "content": "ab", "start": 1, "stop": 0})", "expected one character"},
      {"/decoder", R"({"type": "Metaspace", "replacement": ""})", "expected one character"},
      {"/pre_tokenizer", R"({"type": "Metaspace", "replacement": "__"})", "expected one character"},
      {"/pre_tokenizer", R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "last"})",
       "prepend_scheme: expected \"first\", \"always\" or \"never\", found \"last\""},
      {"/pre_tokenizer", R"({"type": "Metaspace", "replacement": "_", "add_prefix_space": false})",
       "add_prefix_space: expected what goes with prepend_scheme \"always\""},
      {"/decoder", R"({"type": "Strip", "content": " ", "start": -1, "stop": 0})", "expected a count"},
      {"/decoder", R"({"type": "Replace", "pattern": {"String": ""}, "content": ""})", "not empty"},
      {"/post_processor", R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}]})",
       "no key 'special_tokens'"},
  };
  for (const Case& c : cases) {
    json file = base("bytes");
    file[json::json_pointer(c.pointer)] = json::parse(c.value);
    EXPECT_THAT(complaint(file.dump(), ErrorKind::input), HasSubstr(c.message))
        << c.pointer << " " << c.value;
  }
  EXPECT_THAT(complaint("{}", ErrorKind::input), HasSubstr("no key 'model'"));
  EXPECT_THAT(complaint("[1]", ErrorKind::input), HasSubstr("expected an object"));
}

/// A random place of a random depth.
json& random_place(json& root, Rng& rng) {
  json* place = &root;
  for (auto depth = rng.next() % 6; depth > 0 && place->is_structured() && !place->empty(); --depth) {
    auto item = place->begin();
    std::advance(item, static_cast<std::ptrdiff_t>(rng.next() % place->size()));
    place = &*item;
  }
  return *place;
}

void try_to_use(const std::string& text, int& opened) {
  try {
    const Tokenizer tokenizer = open(text);
    ++opened;
    const TokenIds ids = tokenizer.encode_with_template("<s>the  é中 12\n\n<img>x<unk>");
    tokenizer.decode(ids, /*skip_special=*/true);
    tokenizer.encode_ordinary("I'll <tool>");
  } catch (const Error& error) {
    EXPECT_NE(error.kind(), ErrorKind::internal) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
  }
}

TEST(TokenizerJson, MutatedFilesGiveErrorsOrWork) {
  const json values = {nullptr,
                       true,
                       0,
                       -1,
                       7,
                       1e300,
                       18446744073709551615U,
                       "",
                       "a",
                       "<s>",
                       "(a+)+b",
                       "ByteLevel",
                       "Sequence",
                       "Replace",
                       json::array(),
                       json::object(),
                       json::array({"t", "h"})};
  int opened = 0;
  for (const std::string name : {"bytes", "characters"}) {
    const json whole = base(name);
    Rng rng(1, name);
    for (int i = 0; i < 400; ++i) {
      json file = whole;
      random_place(file, rng) = values[rng.next() % values.size()];
      try_to_use(file.dump(), opened);
    }
    const std::string text = whole.dump();
    for (int i = 0; i < 400; ++i) {
      std::string broken = text;
      for (auto n = 1 + rng.next() % 3; n > 0; --n)
        broken[rng.next() % broken.size()] = static_cast<char>(rng.next());
      if (rng.next() % 8 == 0) broken.resize(rng.next() % broken.size());
      try_to_use(broken, opened);
    }
  }
  EXPECT_GT(opened, 100);
}

TEST(TokenizerJson, ARegularExpressionThatNeverEndsIsGivenUp) {
  json file = base("bytes");
  file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a+)+b";
  const Tokenizer tokenizer = open(file.dump());
  EXPECT_EQ(tokenizer.encode("aab").size(), 2U);  // "a", "ab"
  try {
    tokenizer.encode(std::string(60, 'a'));
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    EXPECT_THAT(error.what(), HasSubstr("regular expression '(a+)+b': a search in 60 bytes was given up"));
  }
}

TEST(Tiktoken, BrokenLinesAreNamed) {
  const test::TempDir folder;
  const auto message = [&](const std::string& text) {
    test::write_text(folder / "ranks", text);
    try {
      open_tiktoken(folder / "ranks", {.pattern = "."});
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input);
      return std::string(error.what());
    }
    return std::string("opened");
  };
  EXPECT_THAT(message("IQ== 0\nI!== 1\n"),
              HasSubstr("ranks:2: expected a token in base64, a blank and its rank"));
  EXPECT_THAT(message("IQ== 0\nIg==\n"), HasSubstr("ranks:2: expected a token"));
  EXPECT_THAT(message("IQ== 0x\n"), HasSubstr("ranks:1: expected a token"));
  EXPECT_THAT(message("IQ== 99999999999999999999\n"), HasSubstr("ranks:1: expected a token"));
  EXPECT_THAT(message("IQ== 0\nIQ== 1\n"), HasSubstr("its token has another rank"));
  EXPECT_THAT(message("IQ== 0\nIg== 0\n"), HasSubstr("belongs to '!' already"));
  EXPECT_THAT(message("IQ== 0\n"), HasSubstr("no token for the byte <0x00>"));
  EXPECT_THAT(message(""), HasSubstr("no token for the byte"));
}

}  // namespace
}  // namespace mquant
