#include "text/unicode.h"

#include <gtest/gtest.h>

namespace mquant {
namespace {

TEST(Unicode, IllFormedUtf8IsFoundWhereItBegins) {
  constexpr auto kValid = std::string_view::npos;
  const std::pair<std::string_view, std::size_t> cases[] = {
      {"", kValid},
      {"aé中😀", kValid},
      {"\xEF\xBF\xBF", kValid},
      {"\xF4\x8F\xBF\xBF", kValid},
      {"a\x80", 1},
      {"\xC0\xAF", 0},
      {"\xC1\xBF", 0},
      {"é\xC3", 2},
      {"\xE0\x9F\xBF", 0},
      {"\xED\xA0\x80", 0},
      {"\xF0\x8F\xBF\xBF", 0},
      {"\xF4\x90\x80\x80", 0},
      {"\xF8\x88\x80\x80", 0},
      {"ab\xE4\xB8", 2},
      {"\xFF", 0},
  };
  for (const auto& [text, at] : cases)
    EXPECT_EQ(first_invalid_utf8(text), at) << testing::PrintToString(text);
}

/// Examples of The Unicode Standard, tables 3-8 to 3-11.
TEST(Unicode, EachMaximalSubpartBecomesOneReplacementCharacter) {
  EXPECT_EQ(replace_invalid_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82"
                                 "A"),
            "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA");
  EXPECT_EQ(replace_invalid_utf8("\xED\xA0\x80\xED\xBF\xBF\xED\xAF"
                                 "A"),
            "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA");
  EXPECT_EQ(replace_invalid_utf8("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"),
            "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA\uFFFD\uFFFDB");
  EXPECT_EQ(replace_invalid_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), "\uFFFD\uFFFD\uFFFD\uFFFDA");
  EXPECT_EQ(replace_invalid_utf8("aé中😀"), "aé中😀");
}

TEST(Unicode, CharactersAreReadOneByOne) {
  const std::string_view text = "aé中😀";
  std::size_t at = 0;
  for (const char32_t expected : {U'a', U'é', U'中', U'😀'}) EXPECT_EQ(next_character(text, at), expected);
  EXPECT_EQ(at, text.size());
}

TEST(Unicode, NormalFormsAreThoseOfTheStandard) {
  const std::string text = "e\u0301 \u1E9B\u0323 \uFB01 \uAC00 \u212B";
  EXPECT_EQ(normalized(text, NormalForm::nfc), "\u00E9 \u1E9B\u0323 \uFB01 \uAC00 \u00C5");
  EXPECT_EQ(normalized(text, NormalForm::nfd), "e\u0301 \u017F\u0323\u0307 \uFB01 \u1100\u1161 A\u030A");
  EXPECT_EQ(normalized(text, NormalForm::nfkc), "\u00E9 \u1E69 fi \uAC00 \u00C5");
  EXPECT_EQ(normalized(text, NormalForm::nfkd), "e\u0301 s\u0323\u0307 fi \u1100\u1161 A\u030A");
  const std::string zero("a\0e\u0301", 5);
  EXPECT_EQ(normalized(zero, NormalForm::nfc), std::string("a\0\u00E9", 4));
}

TEST(Unicode, SpacesAtTheEndsAreStrippedAsPythonDoes) {
  EXPECT_EQ(strip("\u3000 \t\x1C a\u00A0b \u2003\n"), "a\u00A0b");
  EXPECT_EQ(strip("\u200B"), "\u200B");
  EXPECT_EQ(strip(" \n"), "");
  EXPECT_EQ(strip(""), "");
}

TEST(Unicode, PropertiesAreThoseOfRust) {
  for (const char32_t c : {U'1', U'²', U'Ⅷ', U'½', U'٣', U'㊿'})
    EXPECT_TRUE(is_numeric(c)) << std::uint32_t{c};
  for (const char32_t c : {U'a', U'一', U'.'}) EXPECT_FALSE(is_numeric(c)) << std::uint32_t{c};
  for (const char32_t c : {U'_', U'é', U'\u0301', U'Ⓐ', U'\u200D', U'9'}) EXPECT_TRUE(is_word_character(c));
  for (const char32_t c : {U' ', U'-', U'½', U'😀'}) EXPECT_FALSE(is_word_character(c)) << std::uint32_t{c};
}

}  // namespace
}  // namespace mquant
