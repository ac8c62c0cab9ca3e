// Every component of tokenizer.json against the library that defines them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/text/golden_files.h"
#include "text/tokenizer.h"

namespace mquant {
namespace {

using nlohmann::json;

const json& golden() {
  static const json file = test::golden_json("tokenizer_steps/golden.json");
  return file;
}

class TokenizerSteps : public testing::TestWithParam<int> {
 protected:
  const json& variant() const { return golden().at("variants").at(static_cast<std::size_t>(GetParam())); }

  Tokenizer open() const {
    json file = golden().at("bases").at(variant().at("base").get<std::string>());
    file.merge_patch(variant().at("patch"));
    return parse_tokenizer(file.dump(), "tokenizer.json");
  }
};

TEST_P(TokenizerSteps, IdsAndTextsAreThoseOfTheReference) {
  SCOPED_TRACE(variant().at("name").get<std::string>());
  const Tokenizer tokenizer = open();
  const json& strings = golden().at("strings");
  ASSERT_EQ(variant().at("rows").size(), strings.size());
  for (std::size_t i = 0; i < strings.size(); ++i) {
    const auto text = strings[i].get<std::string>();
    const json& row = variant().at("rows")[i];
    const auto ids = row.at("ids").get<TokenIds>();
    SCOPED_TRACE(testing::Message() << "row " << i << ": " << strings[i]);
    EXPECT_EQ(tokenizer.encode(text), ids);
    EXPECT_EQ(tokenizer.encode_ordinary(text), row.value("ordinary", ids));
    EXPECT_EQ(tokenizer.encode_with_template(text), row.value("template", ids));
    TokenIds around = tokenizer.before();
    around.insert(around.end(), ids.begin(), ids.end());
    around.insert(around.end(), tokenizer.after().begin(), tokenizer.after().end());
    EXPECT_EQ(around, row.value("template", ids));
    if (row.contains("text") && row["text"].is_null()) continue;
    const std::string decoded = row.value("text", text);
    EXPECT_EQ(tokenizer.decode(ids, /*skip_special=*/false), decoded);
    EXPECT_EQ(tokenizer.decode(ids, /*skip_special=*/true), row.value("text_without_special", decoded));
  }
}

TEST(TokenizerStepsGolden, CoversEveryVariant) { EXPECT_EQ(golden().at("variants").size(), 40U); }

INSTANTIATE_TEST_SUITE_P(AllVariants, TokenizerSteps, testing::Range(0, 40));

}  // namespace
}  // namespace mquant
