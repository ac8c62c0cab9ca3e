#include "support/strings.h"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>

namespace mquant {
namespace {

const std::vector<std::string> kNames = {"model.layers.0.mlp.up_proj", "model.layers.0.mlp.down_proj",
                                         "lm_head"};

TEST(Nearest, FindsTheTypingMistake) {
  EXPECT_EQ(nearest("model.layers.0.mlp.down_pro", kNames), "model.layers.0.mlp.down_proj");
  EXPECT_EQ(nearest("lm_haed", kNames), "lm_head");
}

TEST(Nearest, SaysNothingWhenNothingIsNear) {
  EXPECT_EQ(nearest("visual.merger", kNames), "");
  EXPECT_EQ(nearest("", kNames), "");
  EXPECT_EQ(nearest("lm_head", {}), "");
}

TEST(Nearest, TheFirstOfEqualsWins) {
  const std::vector<std::string> candidates = {"abcx", "abcy"};
  EXPECT_EQ(nearest("abcz", candidates), "abcx");
}

TEST(DidYouMean, IsAClauseOrNothing) {
  EXPECT_EQ(did_you_mean("lm_haed", kNames), "; did you mean 'lm_head'?");
  EXPECT_EQ(did_you_mean("zzz", kNames), "");
}

TEST(HumanBytes, RoundsWithinAUnitAndNeverPrints1024) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_bytes((1 << 20) - 1), "1.0 MiB");
  EXPECT_EQ(human_bytes(std::uint64_t{16} << 30), "16.0 GiB");
  EXPECT_EQ(human_bytes(std::numeric_limits<std::uint64_t>::max()), "16.0 EiB");
}

TEST(HumanDuration, ChangesUnitWithoutGaps) {
  using std::chrono::duration;
  EXPECT_EQ(human_duration(duration<double>(-1)), "0 ms");
  EXPECT_EQ(human_duration(duration<double>(0.85)), "850 ms");
  EXPECT_EQ(human_duration(duration<double>(0.9999)), "1.0 s");
  EXPECT_EQ(human_duration(duration<double>(59.99)), "1 min 00 s");
  EXPECT_EQ(human_duration(duration<double>(245)), "4 min 05 s");
  EXPECT_EQ(human_duration(duration<double>(3599.9)), "1 h 00 min");
  EXPECT_EQ(human_duration(duration<double>(7620)), "2 h 07 min");
}

TEST(ShapeText, IsAList) {
  EXPECT_EQ(shape_text(std::vector<std::int64_t>{1536, 8960}), "[1536, 8960]");
  EXPECT_EQ(shape_text({}), "[]");
}

TEST(SplitJoin, UndoEachOther) {
  for (const char* text : {"", "a", "a,b,,c", ",", "a,"}) EXPECT_EQ(join(split(text, ','), ","), text);
  EXPECT_EQ(split("a,b,,c", ','), (std::vector<std::string>{"a", "b", "", "c"}));
}

TEST(Printable, EscapesWhatATerminalWouldObeyOrNotShow) {
  EXPECT_EQ(printable("caf\u00e9 'x'"), "caf\u00e9 'x'");
  EXPECT_EQ(printable(std::string_view("a\n\t\0\x1b[31m\x7f", 10)), "a\\x0a\\x09\\x00\\x1b[31m\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"), "\\xc2\\x9b");           // CSI of ISO 8859 as UTF-8
  EXPECT_EQ(printable("\xff\xfe\xc3"), "\\xff\\xfe\\xc3");  // no UTF-8
}

TEST(Printable, LeavesTheMiddleOfLongTextsOut) {
  EXPECT_EQ(printable("abcdefgh", 8), "abcdefgh");
  EXPECT_EQ(printable("abcdefghi", 8), "abcd...fghi");
  EXPECT_EQ(printable("abc\u00e9efg\u00e9ijk", 8), "abc...ijk");  // between characters
}

TEST(OneLine, ShortensWordsAndTheWhole) {
  EXPECT_EQ(one_line("no file 'a b'\n"), "no file 'a b'\\x0a");
  const std::string shortened = one_line("x " + std::string(100'000, 'y') + " z");
  EXPECT_LT(shortened.size(), 400U);
  EXPECT_EQ(shortened.substr(0, 3), "x y");
  EXPECT_EQ(shortened.substr(shortened.size() - 3), "y z");
  std::string words;
  for (int i = 0; i < 10'000; ++i) words += "word ";
  EXPECT_LT(one_line(words).size(), 4100U);
}

TEST(CommandLine, IsQuotedForAShell) {
  EXPECT_EQ(command_line(std::vector<std::string>{"mquant", "calibrate", "a b", "it's", "", "x=1,y"}),
            "mquant calibrate 'a b' 'it'\\''s' '' x=1,y");
}

}  // namespace
}  // namespace mquant
