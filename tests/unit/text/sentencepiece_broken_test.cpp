// SentencePiece models that are broken or hostile: an error of one line, never a crash inside the library.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "mquant/error.h"
#include "support/rng.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/text/golden_files.h"
#include "text/charsmap.h"
#include "text/tokenizer.h"

namespace mquant {
namespace {

using testing::HasSubstr;

// --- protocol buffers, written ---

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}
std::string number(std::uint32_t field, std::uint64_t value) { return varint(field << 3) + varint(value); }
std::string bytes(std::uint32_t field, const std::string& value) {
  return varint(field << 3 | 2) + varint(value.size()) + value;
}
constexpr int kNormal = 1, kUnknown = 2, kUserDefined = 4, kByte = 6;
std::string piece(const std::string& text, int type) {
  return bytes(1, bytes(1, text) + number(3, static_cast<std::uint64_t>(type)));
}
const std::string kBpe = bytes(2, number(3, 2));             // a trainer_spec
const std::string kNoBlankInFront = bytes(3, number(3, 0));  // a normalizer_spec
/// A BPE model of "<unk>", "a" and `more`.
std::string model(const std::string& more) {
  return piece("<unk>", kUnknown) + piece("a", kNormal) + kBpe + kNoBlankInFront + more;
}
std::string with_charsmap(const std::string& charsmap) { return model(bytes(3, bytes(2, charsmap))); }

// --- charsmaps: a double array, a unit of which says label, has a value, how far to its children ---

std::string charsmap(const std::vector<std::uint32_t>& units, const std::string& replacements) {
  const auto size = static_cast<std::uint32_t>(units.size() * 4);
  std::string result(4 + size, '\0');
  std::memcpy(result.data(), &size, 4);
  if (!units.empty()) std::memcpy(result.data() + 4, units.data(), size);
  return result + replacements;
}
constexpr std::uint32_t kValue = 0x80000000, kHasValue = 0x100, kNothing = kValue;
std::uint32_t offset(std::uint32_t value) { return value << 10; }

/// Rules for "a", "aa" and so on up to `count`; each replaces by what begins at `value`.
std::vector<std::uint32_t> nested_rules(std::uint32_t count, std::uint32_t value) {
  std::vector<std::uint32_t> units(256 * (count + 2), kNothing);
  units[0] = offset(256);
  for (std::uint32_t i = 1; i <= count; ++i) {
    const std::uint32_t at = 256 * i + 'a', base = 256 * (i + 1);
    units[at] = 'a' | kHasValue | offset(at ^ base);
    units[base] = kValue | value;
  }
  return units;
}

Tokenizer open(const std::string& text) { return parse_sentencepiece(text, "tokenizer.model", {}); }

std::string complaint(const std::string& text) {
  try {
    open(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input) << error.what();
    EXPECT_THAT(error.what(), HasSubstr("tokenizer.model: "));
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  return "opened";
}

std::string refusal(const std::string& map) {
  try {
    check_charsmap(map);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input) << error.what();
    return error.what();
  }
  return "passed";
}

TEST(SentencePieceFile, WhatIsNoModelIsAnError) {
  EXPECT_THAT(complaint(""), HasSubstr("expected a SentencePiece model, found no piece"));
  EXPECT_THAT(complaint("IQ== 0\nIg== 1\n"), HasSubstr("expected a SentencePiece model"));
  EXPECT_THAT(complaint("{}"), HasSubstr("byte 0: field 15 has wire type 3"));
  EXPECT_THAT(complaint(piece("a", kNormal) + kBpe + kNoBlankInFront), HasSubstr("unk is not defined"));
  EXPECT_THAT(complaint(piece("<unk>", kUnknown) + kNoBlankInFront), HasSubstr("found no trainer_spec"));
  EXPECT_THAT(complaint(piece("<unk>", kUnknown) + kBpe), HasSubstr("found no normalizer_spec"));
  EXPECT_THAT(complaint(model(piece(std::string("u\0u", 3), kUserDefined))),
              HasSubstr("piece 2: a zero byte"));
  EXPECT_THAT(complaint(model(piece("a", kNormal))), HasSubstr("a is already defined"));
  EXPECT_THAT(complaint(model(piece("<0x41>", kByte))), HasSubstr("byte_fallback"));
  EXPECT_THAT(complaint(model(piece("", kNormal))), HasSubstr("piece must not be empty"));
  EXPECT_THAT(complaint(model(number(1, 3))), HasSubstr("piece 2: pieces: expected bytes, found a number"));
  EXPECT_THAT(complaint(model(varint(1 << 3 | 3))), HasSubstr("field 1 has wire type 3"));
  EXPECT_THAT(complaint(model(varint(2))), HasSubstr("expected a field of number 1 to"));
  EXPECT_THAT(complaint(model(std::string(11, '\xFF'))), HasSubstr("at most 64 bits"));
  const test::TempDir folder;
  EXPECT_THROW(open_sentencepiece(folder / "absent.model", {}), Error);
  EXPECT_THROW(open_sentencepiece(folder.path(), {}), Error);
}

TEST(SentencePieceFile, SizesHaveLimits) {
  EXPECT_EQ(complaint(model(piece(std::string(1024, 'b'), kNormal))), "opened");
  EXPECT_THAT(complaint(model(piece(std::string(1025, 'b'), kNormal))),
              HasSubstr("piece 2: piece: expected at most 1024 bytes, found 1025"));
  EXPECT_THAT(complaint(model(bytes(2, bytes(44, std::string(1025, '?'))))),
              HasSubstr("trainer_spec: unk_surface: expected at most 1024 bytes"));
  const test::TempDir folder;
  test::write_text(folder / "large.model", "");
  std::filesystem::resize_file(folder / "large.model", (std::uintmax_t{64} << 20) + 1);
  EXPECT_THROW(open_sentencepiece(folder / "large.model", {}), Error);
}

/// The library has room for 64 user-defined pieces that begin a text.
TEST(SentencePieceFile, UserDefinedPiecesNestOnlySoFar) {
  const auto nested = [](std::size_t count) {
    std::string pieces;
    for (std::size_t i = 1; i <= count; ++i) pieces += piece(std::string(i, 'u'), kUserDefined);
    return model(pieces);
  };
  const Tokenizer tokenizer = open(nested(64));
  EXPECT_EQ(tokenizer.encode(std::string(65, 'u')).size(),
            2U);  // the longest, the shortest
  EXPECT_THAT(complaint(nested(65)), HasSubstr("more than 64"));
}

/// And for 32 rules that match at one place.
TEST(SentencePieceFile, NormalizationRulesNestOnlySoFar) {
  const std::string replacements("\0x\0", 3);
  const Tokenizer tokenizer =
      open(with_charsmap(charsmap(nested_rules(32, 1), replacements)) + piece("x", kNormal));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(std::string(33, 'a')), /*skip_special=*/false), "xx");
  EXPECT_THAT(complaint(with_charsmap(charsmap(nested_rules(33, 1), replacements))),
              HasSubstr("normalizer_spec: precompiled_charsmap: expected at most 32 rules"));
}

TEST(Charsmap, WhatWouldLeadOutOfItIsRefused) {
  const std::string end("\0", 1);
  EXPECT_EQ(check_charsmap(charsmap(nested_rules(3, 1), "abc\0defgh\0" + end)), 2U);
  EXPECT_THAT(refusal("abc"), HasSubstr("expected the size of a trie"));
  EXPECT_THAT(refusal(std::string("\x08\0\0\0abcd", 8)), HasSubstr("expected a trie of 8 bytes, found 4"));
  EXPECT_THAT(refusal(std::string("\x03\0\0\0abcd", 8)), HasSubstr("expected a trie of 3 bytes"));
  EXPECT_THAT(refusal(charsmap({}, end)), HasSubstr("expected a trie, found none"));
  EXPECT_THAT(refusal(charsmap({0}, end)), HasSubstr("unit 0 of the trie leads to unit 255 of 1"));
  EXPECT_THAT(refusal(charsmap(std::vector<std::uint32_t>(256, 0), end)), HasSubstr("leads back to itself"));
  std::vector<std::uint32_t> units = nested_rules(3, 0);
  units[512 + 'a'] |= offset(1U << 20);
  EXPECT_THAT(refusal(charsmap(units, end)), HasSubstr("unit 609 of the trie leads to unit"));
  EXPECT_THAT(refusal(charsmap(nested_rules(1, 5), "abc" + end)),
              HasSubstr("replacement at byte 5 of 4 has no end"));
  EXPECT_THAT(refusal(charsmap(nested_rules(1, 1), "abcd")),
              HasSubstr("replacement at byte 1 of 4 has no end"));
  EXPECT_THAT(refusal(charsmap(nested_rules(1, 0), std::string(1025, 'x') + end)),
              HasSubstr("expected at most 1024 bytes, found 1025"));
  EXPECT_THAT(refusal(charsmap(std::vector<std::uint32_t>((2U << 20) + 256, kNothing), end)),
              HasSubstr("expected a trie of at most 8"));
}

/// A replacement of 1024 bytes in 64 MiB: texts above 21 KiB cannot be told to fit.
TEST(SentencePieceFile, TextsThatNormalizationCouldBlowUpAreRefused) {
  const Tokenizer tokenizer =
      open(with_charsmap(charsmap(nested_rules(1, 0), std::string(1024, 'a') + '\0')));
  EXPECT_EQ(tokenizer.encode("aa").size(), 2048U);
  EXPECT_EQ(tokenizer.encode(std::string(21845, 'b')).size(), 1U);
  try {
    tokenizer.encode(std::string(21846, 'b'));
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    EXPECT_THAT(error.what(), HasSubstr("a stretch of 21846 bytes may become 3072 times as long"));
  }
}

/// Opens, and uses what opens.
void try_to_use(const std::string& text, int& opened, int& refused) {
  try {
    const Tokenizer tokenizer = open(text);
    ++opened;
    TokenIds ids = tokenizer.encode("<s> the  é中 12\n\n<x><y>\uFF21e\u0301\u2460...\t\U0001F600");
    ids.insert(ids.end(), {0, 1, 2, 999});
    tokenizer.decode(ids, /*skip_special=*/true);
    tokenizer.find("<0x00>");
  } catch (const Error& error) {
    ++refused;
    EXPECT_EQ(error.kind(), ErrorKind::input) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
  }
}

TEST(SentencePieceFile, CutOffFilesAreErrors) {
  const std::string whole =
      test::read_text(test::data_path("goldens/sentencepiece/internlm2/tokenizer.model"));
  int opened = 0, refused = 0;
  for (std::size_t size = 0; size < whole.size(); ++size) try_to_use(whole.substr(0, size), opened, refused);
  EXPECT_EQ(opened, 0);
  EXPECT_EQ(refused, 8513);
}

TEST(SentencePieceFile, MutatedFilesGiveErrorsOrWork) {
  for (const std::string name : {"bpe", "unigram"}) {
    const std::string whole = test::read_text(test::data_path("goldens/sentencepiece/" + name + ".model"));
    Rng rng(1, name);
    int opened = 0, refused = 0;
    for (int i = 0; i < 1500; ++i) {
      std::string broken = whole;
      // The specs, the charsmap among them, are the last quarter at most.
      const std::size_t begin = rng.next() % 2 == 0 ? 0 : whole.size() - whole.size() / 4;
      for (auto n = 1 + rng.next() % 3; n > 0; --n)
        broken[begin + rng.next() % (broken.size() - begin)] = static_cast<char>(rng.next());
      try_to_use(broken, opened, refused);
    }
    EXPECT_GT(opened, 100) << name;
    EXPECT_GT(refused, 100) << name;
  }
}

/// Every unit of the trie, in each of a few ways.
TEST(SentencePieceFile, MutatedTriesGiveErrorsOrWork) {
  Rng rng(2, "trie");
  int opened = 0, refused = 0;
  for (int i = 0; i < 600; ++i) {
    std::vector<std::uint32_t> units = nested_rules(4, 1);
    for (auto n = 1 + rng.next() % 4; n > 0; --n) {
      const std::uint32_t at = static_cast<std::uint32_t>(rng.next() % 6) * 256 + (rng.next() % 2 ? 'a' : 0);
      units[at] ^= std::uint32_t{1} << (rng.next() % 32);
    }
    const std::string text = with_charsmap(charsmap(units, std::string("\0aa\0", 4)));
    try_to_use(text, opened, refused);
  }
  EXPECT_GT(opened, 50);
  EXPECT_GT(refused, 50);
}

}  // namespace
}  // namespace mquant
