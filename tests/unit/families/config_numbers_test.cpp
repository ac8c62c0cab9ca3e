// Hostile numbers in config.json: every numeric key of every golden in turn, and several at once.  A description is made,
// or refused with an error of input or of something unsupported, in bounded memory; nothing overflows (the preset ubsan
// runs this too) and no other error leaves.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/stored_tensors.h"
#include "mquant/error.h"
#include "mquant/family.h"
#include "support/rng.h"
#include "tests/support/files.h"

namespace mquant::test {
namespace {

using Json = nlohmann::json;

const std::vector<std::string>& goldens() {
  static const std::vector<std::string> kNames = {
      "cogvlm2",   "gemma3",     "gemma3_window", "glm4v",    "internvl2",     "internvl_hf", "llava",
      "minicpm_v", "qwen2_5_vl", "qwen2_vl",      "qwen3_vl", "qwen3_vl_deep", "qwen_vl",     "smolvlm"};
  return kNames;
}

/// What stands in for a number, as JSON.
const std::vector<Json>& hostile() {
  static const std::vector<Json> kValues = {0,
                                            -1,
                                            1,
                                            2,
                                            3,
                                            7,
                                            999,
                                            1001,
                                            65536,
                                            INT32_MAX,
                                            INT64_C(1) << 31,
                                            INT64_C(1) << 40,
                                            INT64_C(1) << 62,
                                            INT64_MAX,
                                            INT64_MIN,
                                            UINT64_MAX,
                                            0.5,
                                            -0.0,
                                            -1e-6,
                                            1e-300,
                                            1e300,
                                            -1e300,
                                            1e19,
                                            5e-324};
  return kValues;
}

/// Pointers to all numbers of a document.
void add_numbers(const Json& value, const Json::json_pointer& at, std::vector<Json::json_pointer>& found) {
  if (value.is_number()) found.push_back(at);
  if (value.is_object())
    for (const auto& [key, member] : value.items()) add_numbers(member, at / key, found);
  if (value.is_array())
    for (std::size_t i = 0; i < value.size(); ++i) add_numbers(value[i], at / i, found);
}

struct Verdicts {
  int described = 0, refused = 0;
};

void describe(const Json& json, const std::string& what, Verdicts& verdicts) {
  try {
    const Config config = Config::parse(json.dump(), "config.json");
    const ModelSpec model = find_family(config).describe(config);
    EXPECT_LT(model.blocks.size(), 3000U) << what;
    for (const BlockSpec& block : model.blocks) {
      stored_tensors(block);
      linear_groups(block);
      for (const NormSpec& norm : block.norms) EXPECT_GT(norm.eps, 0) << what;
    }
    ++verdicts.described;
  } catch (const Error& error) {
    EXPECT_TRUE(error.kind() == ErrorKind::input || error.kind() == ErrorKind::unsupported)
        << what << ": " << error.what();
    ++verdicts.refused;
  } catch (const std::exception& error) {
    ADD_FAILURE() << what << ": " << error.what();
  }
}

TEST(ConfigNumbers, EachNumberMayBeAnything) {
  for (const std::string& name : goldens()) {
    const Json golden = Json::parse(read_text(data_path("goldens/" + name + "/model/config.json")));
    std::vector<Json::json_pointer> numbers;
    add_numbers(golden, Json::json_pointer(), numbers);
    Verdicts verdicts;
    for (const Json::json_pointer& at : numbers)
      for (const Json& value : hostile()) {
        Json changed = golden;
        changed[at] = value;
        describe(changed, name + at.to_string() + " = " + value.dump(), verdicts);
      }
    EXPECT_GT(verdicts.described, 100) << name;  // most keys are read by nobody
    EXPECT_GT(verdicts.refused, 100) << name;
  }
}

TEST(ConfigNumbers, SeveralMayBeAnythingAtOnce) {
  constexpr int kDocuments = 150;
  Verdicts verdicts;
  for (const std::string& name : goldens()) {
    const Json golden = Json::parse(read_text(data_path("goldens/" + name + "/model/config.json")));
    std::vector<Json::json_pointer> numbers;
    add_numbers(golden, Json::json_pointer(), numbers);
    Rng rng(7, name);
    for (int i = 0; i < kDocuments; ++i) {
      Json changed = golden;
      for (int j = 0; j < 3; ++j)
        changed[numbers[rng.next() % numbers.size()]] = hostile()[rng.next() % hostile().size()];
      describe(changed, name + " " + std::to_string(i), verdicts);
    }
  }
  EXPECT_GT(verdicts.described, 100);
  EXPECT_GT(verdicts.refused, 100);
}

/// What the refusal of a golden's config with one value changed says.
std::string refusal(const std::string& golden, const std::string& pointer, const Json& value) {
  Json json = Json::parse(read_text(data_path("goldens/" + golden + "/model/config.json")));
  json[Json::json_pointer(pointer)] = value;
  try {
    const Config config = Config::parse(json.dump(), "config.json");
    find_family(config).describe(config);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    return error.what();
  }
  return "described";
}

TEST(ConfigNumbers, MessagesNameTheKeyAndWhatItMayBe) {
  const auto has = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  has(refusal("qwen2_vl", "/rms_norm_eps", -1e-6), "'rms_norm_eps': expected a number above 0");
  has(refusal("cogvlm2", "/rms_norm_eps", 0), "'rms_norm_eps': expected a number above 0");
  has(refusal("qwen2_vl", "/num_hidden_layers", INT32_MAX), "expected a positive integer up to 1000");
  has(refusal("internvl2", "/vision_config/num_hidden_layers", INT32_MAX), "up to 1000");
  has(refusal("qwen2_vl", "/vision_config/mlp_ratio", 1e300), "'vision_config.mlp_ratio': expected");
  has(refusal("qwen2_vl", "/vision_config/mlp_ratio", -100), "'vision_config.mlp_ratio': expected");
  has(refusal("qwen2_vl", "/vision_config/spatial_merge_size", INT32_MAX), "too large for any memory");
  has(refusal("qwen2_vl", "/rope_scaling/mrope_section",
              Json::array({INT64_C(1) << 62, INT64_C(1) << 62, INT64_MIN + 8})),
      "expected three counts");
  has(refusal("qwen2_vl", "/rope_scaling/mrope_section", Json::array({-2, 5, 5})), "expected three counts");
}

}  // namespace
}  // namespace mquant::test
