#include "support/table.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace mquant {
namespace {

using enum Table::Align;

TEST(Table, ColumnsAreAsWideAsTheirWidestCellAndLinesEndWithoutBlanks) {
  Table table({{"name"}, {"n", right}, {"note"}});
  table.row({"a", "1", "x"});
  table.row({"longer", "1000", ""});
  EXPECT_EQ(table.text(),
            "name       n  note\n"
            "a          1  x\n"
            "longer  1000\n");
  EXPECT_EQ(table.text(2).substr(0, 6), "  name");
}

TEST(Table, CountsCharactersNotBytes) {
  Table table({{"name"}, {"n", right}});
  table.row({"größe", "1"});
  table.row({"abcde", "2"});
  EXPECT_EQ(table.text(),
            "name   n\n"
            "größe  1\n"
            "abcde  2\n");
}

TEST(Table, MissingCellsAreEmpty) {
  Table table({{"a"}, {"b"}});
  table.row({"x"});
  EXPECT_EQ(table.text(), "a  b\nx\n");
}

TEST(Table, MarkdownEscapesBars) {
  Table table({{"a"}, {"b", right}});
  table.row({"x|y", "1"});
  EXPECT_EQ(table.markdown(), "| a | b |\n| --- | ---: |\n| x\\|y | 1 |\n");
}

TEST(Numbers, AreGroupedAndShortened) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(-1234567), "-1,234,567");
  EXPECT_EQ(grouped(std::numeric_limits<std::int64_t>::min()), "-9,223,372,036,854,775,808");
  EXPECT_EQ(human_count(9999), "9999");
  EXPECT_EQ(human_count(10000), "10.0 k");
  EXPECT_EQ(human_count(6240000), "6.24 M");
  EXPECT_EQ(human_count(999499999), "999 M");
  EXPECT_EQ(human_count(999500000), "1.00 B");
  EXPECT_EQ(human_count(72700000000), "72.7 B");
  EXPECT_EQ(counted(1, "sample"), "1 sample");
  EXPECT_EQ(counted(1234, "sample"), "1,234 samples");
}

TEST(Numbers, ThatAreNotFiniteAreADash) {
  EXPECT_EQ(fixed(1.25, 1), "1.2");
  EXPECT_EQ(fixed(std::numeric_limits<double>::infinity(), 1), "-");
  EXPECT_EQ(fixed(std::numeric_limits<double>::quiet_NaN(), 1), "-");
  EXPECT_EQ(fixed(std::numeric_limits<double>::max(), 0).size(), 309u);
}

}  // namespace
}  // namespace mquant
