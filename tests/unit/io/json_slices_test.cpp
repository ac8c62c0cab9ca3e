// Members of JSON as they are written.
#include "io/json_slices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "mquant/error.h"

namespace mquant {
namespace {

using Members = std::vector<std::pair<std::string, std::string>>;

Members members(std::string_view text) {
  Members found;
  for (JsonSlices slices(text, "f.json"); slices.next();) found.emplace_back(slices.key(), slices.value());
  return found;
}

std::string complaint(std::string_view text) {
  try {
    members(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    return error.what();
  }
  return "";
}

TEST(JsonSlices, KeepOrderNumbersAndBlanksOfWhatTheyHold) {
  EXPECT_EQ(members(R"( {"b" : {"z": 1.50, "a": [1e2]} , "a":"x,}\"]", "\u0063": null} )"),
            (Members{{"b", R"({"z": 1.50, "a": [1e2]})"}, {"a", R"("x,}\"]")"}, {"c", "null"}}));
  EXPECT_EQ(members("[1, {\"a\": [2]}\n,[]]"), (Members{{"", "1"}, {"", "{\"a\": [2]}"}, {"", "[]"}}));
  EXPECT_EQ(members("{}"), Members{});
  EXPECT_EQ(members("[\n]"), Members{});
}

TEST(JsonSlices, KnowWhereAValueBegins) {
  const std::string text = "[1,\n 22]";
  JsonSlices slices(text, "f.json");
  ASSERT_TRUE(slices.next());
  EXPECT_EQ(slices.offset(), 1U);
  ASSERT_TRUE(slices.next());
  EXPECT_EQ(slices.offset(), 5U);
}

TEST(JsonSlices, TextWithoutBordersIsAnError) {
  EXPECT_EQ(complaint("7"), "f.json: expected an object or a list at byte 0");
  EXPECT_EQ(complaint(""), "f.json: expected an object or a list at byte 0, found the end");
  EXPECT_EQ(complaint("[1"), "f.json: expected ',' or ']' at byte 2, found the end");
  EXPECT_EQ(complaint("[1 2]"), "f.json: expected ',' or ']' at byte 3");
  EXPECT_EQ(complaint("[1,]"), "f.json: expected a value at byte 3");
  EXPECT_EQ(complaint("[\"a"), "f.json: expected the end of a text at byte 3, found the end");
  EXPECT_EQ(complaint("[\"a\\"), "f.json: expected the end of a text at byte 4, found the end");
  EXPECT_EQ(complaint("{1: 2}"), "f.json: expected a key at byte 1");
  EXPECT_EQ(complaint("{\"a\" 2}"), "f.json: expected ':' after a key at byte 5");
  EXPECT_EQ(complaint("[] []"), "f.json: expected nothing after the list at byte 3");
  EXPECT_EQ(complaint("{} x"), "f.json: expected nothing after the object at byte 3");
}

}  // namespace
}  // namespace mquant
