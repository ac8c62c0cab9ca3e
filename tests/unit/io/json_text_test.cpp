#include "io/json_text.h"

#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "io/safetensors.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/io/tensors.h"

namespace mquant {
namespace {

using test::thrown;

TEST(JsonText, IsReadAsTheLibraryReadsIt) {
  for (const char* name :
       {"qwen2_vl/model/config.json", "qwen2_vl/model/tokenizer.json", "qwen2_vl/golden.json",
        "sentencepiece/unigram.json", "internvl2/model/model.safetensors.index.json"}) {
    const std::string text = test::read_text(test::data_path(cat("goldens/", name)));
    EXPECT_EQ(parse_json(text, name), Json::parse(text)) << name;
    EXPECT_EQ(parse_ordered_json(text, name).dump(), OrderedJson::parse(text).dump()) << name;
  }
  for (const char* text : {"null", " true ", "-7", "18446744073709551615", "0.5", "-0.0", "1e300",
                           "\"\\u00e9\\n\\ud83d\\ude00\"", "[]", "{}", "[[],{},[1,{\"a\":[2,{}]}],\"\"]",
                           R"({"b":{"a":1},"a":[{"x":null}],"c":false})"}) {
    EXPECT_EQ(parse_json(text, "j"), Json::parse(text)) << text;
    EXPECT_EQ(parse_ordered_json(text, "j").dump(), OrderedJson::parse(text).dump()) << text;
  }
}

TEST(JsonText, AZeroByteIsNoEnd) {
  for (const std::string_view text : {std::string_view("{}\0", 3), std::string_view("{}\0{\"a\":1}", 10),
                                      std::string_view("{\"a\0\":1}", 8), std::string_view("\0", 1)}) {
    const std::string message =
        cat("input: j: byte ", text.find('\0'), " is zero; JSON is text, the file may be damaged");
    EXPECT_EQ(thrown([&] { parse_json(text, "j"); }), message);
    EXPECT_EQ(thrown([&] { parse_ordered_json(text, "j"); }), message);
  }
}

TEST(JsonText, OrderedTextIsCheckedToo) {
  EXPECT_EQ(thrown([] { parse_ordered_json(R"({"b":1,"a":{"b":1},"b":2})", "j"); }),
            "input: j: key 'b' is there twice in one object; remove one");
  EXPECT_EQ(thrown([] { parse_ordered_json(std::string(65, '['), "j"); }),
            "input: j: nested more than 64 levels deep");
  EXPECT_EQ(thrown([] { parse_ordered_json("[1e999]", "j"); }), "input: j: number overflow parsing '1e999'");
}

/// Texts of prompts and copies are written from it: rounding would change them.
TEST(JsonText, OrderedTextKeepsItsIntegers) {
  for (const char* number :
       {"18446744073709551616", "-9223372036854775809", "123456789012345678901234567890"})
    EXPECT_EQ(thrown([&] { parse_ordered_json(cat("{\"a\":[", number, "]}"), "j", Integers::kept); }),
              cat("unsupported: j: ", number, ": an integer of more than 64 bits is not supported"));
  for (const char* number : {"18446744073709551615", "-9223372036854775808", "1.8446744073709552e+19"})
    EXPECT_EQ(parse_ordered_json(number, "j", Integers::kept).dump(), number);
}

/// With time that grows with the square, one of these takes many minutes.
TEST(JsonText, TimeIsLinearInTheNumberOfMembers) {
  std::string header = "{", lists = "[";
  for (int i = 0; i < 100'000; ++i) {
    header += cat(i == 0 ? "" : ",", R"("t)", i, R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})");
    lists += i == 0 ? "[]" : ",[]";
  }
  header += "}";
  lists += "]";
  const auto begin = std::chrono::steady_clock::now();
  const test::TempDir directory;
  test::write_text(directory / "f.safetensors", test::safetensors_file(header, ""));
  EXPECT_EQ(SafetensorsFile(directory / "f.safetensors").names().size(), 100'000U);
  EXPECT_EQ(parse_ordered_json(header, "j").size(), 100'000U);
  EXPECT_EQ(parse_json(lists, "j").size(), 100'000U);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::minutes(1));
}

}  // namespace
}  // namespace mquant
