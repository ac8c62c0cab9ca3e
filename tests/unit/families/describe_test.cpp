// Descriptions of checkpoints whose config.json differs from the goldens': what keys change, what they default to,
// and which contradictions are refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

#include "mquant/family.h"
#include "tests/support/files.h"
#include "tests/unit/families/edited_model.h"

namespace mquant::test {
namespace {

using testing::HasSubstr;

/// A golden's config.json with a JSON merge patch, in which null removes a key.
ModelSpec described(const std::string& family, const std::string& patch) {
  nlohmann::json json =
      nlohmann::json::parse(read_text(data_path("goldens/" + family + "/model/config.json")));
  json.merge_patch(nlohmann::json::parse(patch));
  const Config config = Config::parse(json.dump(), "config.json");
  return find_family(config).describe(config);
}

const BlockSpec& block(const ModelSpec& model, const std::string& name) {
  const auto found = std::ranges::find(model.blocks, name, &BlockSpec::name);
  if (found == model.blocks.end()) throw std::runtime_error("no block " + name);
  return *found;
}

bool has_bias(const BlockSpec& block, const std::string& linear) {
  return static_cast<bool>(block.linear(linear).bias);
}

TEST(Describe, AttentionBiasIsOfTheOutputProjectionToo) {
  for (const auto& [family, patch] : std::vector<std::pair<std::string, std::string>>{
           {"llava", R"({"text_config": {"attention_bias": true}})"},
           {"smolvlm", R"({"text_config": {"attention_bias": true}})"},
           {"gemma3", R"({"text_config": {"attention_bias": true}})"},
           {"qwen3_vl", R"({"text_config": {"attention_bias": true}})"},
           {"internvl_hf", R"({"text_config": {"model_type": "qwen3", "attention_bias": true}})"},
           {"internvl_hf", R"({"text_config": {"model_type": "llama", "attention_bias": true}})"}}) {
    const BlockSpec layer = block(described(family, patch), "decoder.0");
    for (const char* name : {"q", "k", "v", "o"}) EXPECT_TRUE(has_bias(layer, name)) << family << " " << name;
    EXPECT_FALSE(has_bias(layer, "down")) << family;
  }
}

TEST(Describe, Qwen2HasBiasesOfItsOwnWhateverTheConfigSays) {
  for (const bool stated : {false, true}) {
    const std::string key = R"("attention_bias": )" + std::string(stated ? "true" : "false");
    for (const auto& [family, patch] :
         {std::pair{"qwen2_vl", "{" + key + "}"}, std::pair{"qwen2_5_vl", "{" + key + "}"},
          std::pair{"internvl_hf", R"({"text_config": {)" + key + "}}"}}) {
      const BlockSpec layer = block(described(family, patch), "decoder.0");
      EXPECT_TRUE(has_bias(layer, "q") && has_bias(layer, "v")) << family;
      EXPECT_FALSE(has_bias(layer, "o")) << family;
    }
  }
}

TEST(Describe, LlamaMayHaveBiasesInItsMlp) {
  const BlockSpec layer = block(described("llava", R"({"text_config": {"mlp_bias": true}})"), "decoder.1");
  for (const char* name : {"gate", "up", "down"}) EXPECT_TRUE(has_bias(layer, name)) << name;
}

TEST(Describe, KeysLeftOutMeanWhatTheOfficialClassesSay) {
  const ModelSpec qwen2 = described("qwen2_vl", R"({"rms_norm_eps": null, "rope_theta": null})");
  EXPECT_EQ(block(qwen2, "decoder.0").norm("norm1").eps, 1e-5);
  EXPECT_EQ(block(qwen2, "head").norm("norm").eps, 1e-5);
  EXPECT_EQ(block(qwen2, "decoder.0").attention.rope.base, 1e6);
  const ModelSpec qwen3 = described("qwen3_vl",
                                    R"({"text_config": {"rope_theta": null, "rms_norm_eps": null,
                                       "head_dim": null, "rope_scaling": null}})");
  const AttentionSpec& attention = block(qwen3, "decoder.0").attention;
  EXPECT_EQ(attention.rope.base, 5e5);
  EXPECT_EQ(attention.head_dim, 128);
  EXPECT_EQ(attention.rope.sections, (std::vector<std::int64_t>{24, 20, 20}));
  EXPECT_EQ(block(qwen3, "decoder.0").norm("norm1").eps, 1e-6);
  const ModelSpec minicpm = described("minicpm_v", R"({"drop_vision_last_layer": null, "query_num": null})");
  const ModelSpec whole = described("minicpm_v", R"({"drop_vision_last_layer": false})");
  EXPECT_EQ(minicpm.blocks.size() + 1, whole.blocks.size());
  EXPECT_EQ(block(minicpm, "projector").params.at(0).shape.at(0), 64);
  const BlockSpec vit =
      block(described("internvl2", R"({"vision_config": {"qkv_bias": null, "qk_normalization": null,
                                                         "norm_type": null}})"),
            "vision.0");
  EXPECT_EQ(vit.norm("norm1").kind, NormKind::rms);
  EXPECT_EQ(vit.norm("q_norm").width, 72);
  EXPECT_FALSE(has_bias(vit, "q"));
}

TEST(Describe, EachTypeOfLayerMayHaveRotaryPositionsOfItsOwn) {
  const ModelSpec later = described("gemma3", R"({"text_config": {"rope_scaling": null,
      "layer_types": ["full_attention", "sliding_attention", "sliding_attention"], "rope_parameters": {
        "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 2000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 300.0}}}})");
  const AttentionSpec &full = block(later, "decoder.0").attention,
                      &local = block(later, "decoder.1").attention;
  EXPECT_EQ(full.rope.base, 2000);
  EXPECT_EQ(full.rope.position_scale, 0.25);
  EXPECT_EQ(full.window, 0);
  EXPECT_EQ(local.rope.base, 300);
  EXPECT_EQ(local.rope.position_scale, 1);
  EXPECT_EQ(local.window, 20);
  const ModelSpec release = described("gemma3", R"({"text_config": {"rope_local_base_freq": 300.0}})");
  EXPECT_EQ(block(release, "decoder.2").attention.rope.position_scale, 0.125);
  EXPECT_EQ(block(release, "decoder.0").attention.rope.base, 300);
}

/// The rope of full and of sliding layers of the gemma3 golden, whose last layer of three is full.
std::pair<RopeSpec, RopeSpec> gemma3_ropes(const std::string& text_config) {
  const ModelSpec model = described("gemma3", R"({"text_config": )" + text_config + "}");
  return {block(model, "decoder.2").attention.rope, block(model, "decoder.0").attention.rope};
}

/// Expected values: Gemma3TextConfig of transformers 5.24.
TEST(Describe, RopeSettingsAreCombinedAsOfficially) {
  const std::string both =
      R"("rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 2000.0},
                                                  "sliding_attention": {"rope_theta": 300.0}})";
  auto [full, sliding] =
      gemma3_ropes("{" + both + R"(, "rope_scaling": {"rope_type": "linear", "factor": 8.0}})");
  EXPECT_EQ(full.position_scale, 0.125);  // rope_scaling updates the settings of full layers,
  EXPECT_EQ(full.base, 2000);
  EXPECT_EQ(sliding.position_scale, 1);  // and of no others
  EXPECT_EQ(sliding.base, 300);

  std::tie(full, sliding) =
      gemma3_ropes("{" + both + R"(, "rope_scaling": {"rope_type": null, "factor": null}})");
  EXPECT_EQ(full.position_scale, 1);  // {} is none
  EXPECT_EQ(full.base, 2000);

  std::tie(full, sliding) =
      gemma3_ropes(R"({"rope_scaling": null, "rope_theta": 7000.0, "rope_local_base_freq": 50.0,
      "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 4.0},
                          "sliding_attention": {"rope_type": "default"}}})");
  EXPECT_EQ(full.base, 7000);
  EXPECT_EQ(full.position_scale, 0.25);
  EXPECT_EQ(sliding.base, 50);

  std::tie(full, sliding) =
      gemma3_ropes(R"({"rope_scaling": null, "rope_theta": null, "rope_local_base_freq": null,
      "rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 2.0}}})");
  EXPECT_EQ(full.base, 1e6);
  EXPECT_EQ(full.position_scale, 1);
  EXPECT_EQ(sliding.base, 1e4);
  EXPECT_EQ(sliding.position_scale, 0.5);

  const ModelSpec llava = described("llava", R"({"text_config": {"rope_scaling": {},
      "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 50.0}}})");
  EXPECT_EQ(block(llava, "decoder.0").attention.rope.position_scale, 0.25);
  EXPECT_EQ(block(llava, "decoder.0").attention.rope.base, 50);
}

TEST(Describe, TheTopSaysWhetherTheHeadIsTiedThenTextConfig) {
  const auto tied = [](const std::string& patch) {
    return !block(described("gemma3", patch), "head").linears.at(0).weight.otherwise.empty();
  };
  EXPECT_TRUE(tied("{}"));
  EXPECT_FALSE(tied(R"({"tie_word_embeddings": false})"));
  EXPECT_FALSE(tied(R"({"text_config": {"tie_word_embeddings": false}})"));
  EXPECT_FALSE(tied(R"({"tie_word_embeddings": false, "text_config": {"tie_word_embeddings": true}})"));
  EXPECT_TRUE(tied(R"({"tie_word_embeddings": true, "text_config": {"tie_word_embeddings": false}})"));
}

TEST(Describe, EitherPlaceTiesTheHeadWhereEveryVersionReadsBoth) {
  const auto tied = [](bool top, bool inner) {
    const nlohmann::json patch = {{"tie_word_embeddings", top},
                                  {"text_config", {{"tie_word_embeddings", inner}}}};
    return !block(described("llava", patch.dump()), "head").linears.at(0).weight.otherwise.empty();
  };
  EXPECT_TRUE(tied(false, true));
  EXPECT_TRUE(tied(true, false));
  EXPECT_FALSE(tied(false, false));
}

TEST(Describe, AListOfOneFeatureLayerIsANumber) {
  for (const std::string family : {"llava", "internvl_hf"})
    EXPECT_EQ(described(family, R"({"vision_feature_layer": [-2]})").blocks.size(),
              described(family, R"({"vision_feature_layer": -2})").blocks.size())
        << family;
}

TEST(Describe, WindowsAreWholeCellsOfTheMerger) {
  for (const auto& [size, side] : {std::pair{112, 8}, {100, 6}, {83, 4}, {28, 2}}) {
    const ModelSpec model =
        described("qwen2_5_vl", R"({"vision_config": {"window_size": )" + std::to_string(size) + "}}");
    EXPECT_EQ(block(model, "vision.0").attention.window, side) << size;
    EXPECT_EQ(block(model, "patch_embed").steps.back().count, side) << size;
  }
}

/// The stored name of the merger behind a deep stack's vision layer.
std::string merger_of(const ModelSpec& model, const std::string& name) {
  return block(model, name).linear("fc1").weight.name;
}

TEST(Describe, DeepStackFollowsTheOrderOfTheLayers) {
  const ModelSpec model = described("qwen3_vl", R"({"vision_config": {"deepstack_visual_indexes": [2, 0]}})");
  EXPECT_THAT(merger_of(model, "deepstack.0"), HasSubstr("deepstack_merger_list.1."));
  EXPECT_THAT(merger_of(model, "deepstack.1"), HasSubstr("deepstack_merger_list.0."));
  const auto at = [&](const std::string& name) {
    return std::ranges::find(model.blocks, name, &BlockSpec::name) - model.blocks.begin();
  };
  EXPECT_EQ(at("deepstack.0"), at("vision.0") + 1);
  EXPECT_EQ(at("deepstack.1"), at("vision.2") + 1);
}

TEST(Describe, DeepStackOfTheLastLayerIsAddedBeforeTheHead) {
  const ModelSpec model =
      described("qwen3_vl", R"({"vision_config": {"deepstack_visual_indexes": [0, 1, 2]}})");
  const auto sums = [&](const std::string& name) {
    return std::ranges::count(block(model, name).steps, Op::add_visual, &Step::op);
  };
  EXPECT_EQ(block(model, "decoder.1").steps.front().op, Op::add_visual);
  EXPECT_EQ(block(model, "decoder.2").steps.back().op, Op::add_visual);
  EXPECT_EQ(sums("decoder.0"), 0);
  EXPECT_EQ(sums("decoder.1"), 1);
  EXPECT_EQ(sums("decoder.2"), 2);
  EXPECT_EQ(sums("head"), 0);  // which may get the last row only
}

TEST(Describe, NormsOfQueriesAndKeysAreRmsNormsInEveryTower) {
  for (const auto& [family, patch, eps] : std::vector<std::tuple<std::string, std::string, double>>{
           {"internvl_hf", R"({"vision_config": {"use_qk_norm": true, "layer_norm_eps": 0.001}})", 1e-6},
           {"internvl2", R"({"vision_config": {"qk_normalization": true, "layer_norm_eps": 0.001}})",
            1e-3}}) {
    const BlockSpec layer = block(described(family, patch), "vision.0");
    EXPECT_EQ(layer.norm("norm1").kind, NormKind::layer) << family;
    for (const char* name : {"q_norm", "k_norm"}) {
      EXPECT_EQ(layer.norm(name).kind, NormKind::rms) << family;
      EXPECT_FALSE(static_cast<bool>(layer.norm(name).bias)) << family;
      EXPECT_EQ(layer.norm(name).eps, eps) << family;
    }
  }
}

TEST(Describe, FindsTensorsUnderTheNamesOfEveryRelease) {
  for (const std::string family : {"llava", "gemma3"}) {
    const ModelSpec model = described(family, "{}");
    const std::string stem = block(model, "patch_embed").linears.at(0).weight.name;
    ASSERT_EQ(stem, "vision_tower.vision_model.embeddings.patch_embedding.weight");
    for (const std::string prefix : {"vision_tower.vision_model.", "model.vision_tower.vision_model.",
                                     "vision_tower.", "model.vision_tower."}) {
      const std::string stored = prefix + "embeddings.patch_embedding.weight";
      EXPECT_EQ(resolve(stem, model, [&](const std::string& name) { return name == stored; }), stored);
    }
  }
}

struct BrokenConfig {
  const char *family, *patch;
  ErrorKind kind;
  const char* message;
};

TEST(Describe, ASlidingLayerNeedsAWindow) {
  nlohmann::json json = nlohmann::json::parse(read_text(data_path("goldens/gemma3/model/config.json")));
  json["text_config"]["sliding_window"] = nullptr;
  const auto describe = [&] {
    const Config config = Config::parse(json.dump(), "config.json");
    return find_family(config).describe(config);
  };
  EXPECT_THAT(complaint(ErrorKind::input, describe), HasSubstr("'text_config.sliding_window' is null"));
  json["text_config"]["layer_types"] = std::vector<std::string>(3, "full_attention");
  EXPECT_EQ(block(describe(), "decoder.0").attention.window, 0);
}

TEST(Describe, RefusesWhatItWouldComputeOtherwise) {
  const BrokenConfig cases[] = {
      {"qwen2_vl", R"({"hidden_size": 66})", ErrorKind::input, "'hidden_size' is 66"},
      {"qwen2_vl", R"({"num_key_value_heads": 3})", ErrorKind::input, "key-value heads, which is 3"},
      {"qwen2_vl", R"({"rope_scaling": {"mrope_section": [2, 3, 4]}})", ErrorKind::input, "sum to 8"},
      {"qwen2_vl", R"({"vision_config": {"num_heads": 5}})", ErrorKind::input, "vision_config.num_heads"},
      {"qwen2_vl", R"({"use_sliding_window": true})", ErrorKind::unsupported, "use_sliding_window"},
      {"qwen2_5_vl", R"({"vision_config": {"window_size": 27}})", ErrorKind::input, "at least 28"},
      {"qwen3_vl", R"({"vision_config": {"deepstack_visual_indexes": [4]}})", ErrorKind::input,
       "names layer 4: expected different layers below 4"},
      {"qwen3_vl", R"({"vision_config": {"deepstack_visual_indexes": [1, 1]}})", ErrorKind::input,
       "names layer 1"},
      {"qwen3_vl", R"({"vision_config": {"deepstack_visual_indexes": [0, 1, 2, 3]}})", ErrorKind::input,
       "more than the decoder"},
      {"llava", R"({"vision_config": {"num_attention_heads": 5}})", ErrorKind::input, "48 and 5 heads"},
      {"llava", R"({"vision_feature_layer": 9})", ErrorKind::input, "'vision_feature_layer' is 9"},
      {"llava", R"({"vision_feature_layer": [-2, 1]})", ErrorKind::unsupported,
       "'vision_feature_layer' is [-2,1]: the features of several layers"},
      {"internvl_hf", R"({"vision_feature_layer": []})", ErrorKind::input, "'vision_feature_layer' is []"},
      {"llava", R"({"text_config": {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}})",
       ErrorKind::unsupported, "\"llama3\""},
      {"llava", R"({"text_config": {"rope_parameters": {"full_attention": {"rope_type": "linear"}}}})",
       ErrorKind::unsupported, "'text_config.rope_parameters' has settings for each type of layer"},
      {"gemma3", R"({"text_config": {"rope_parameters": {"rope_type": "linear", "factor": 8.0}}})",
       ErrorKind::unsupported, "'text_config.rope_parameters' has no settings for each type of layer"},
      {"gemma3", R"({"text_config": {"rope_scaling": {"rope_type": null, "type": "linear", "factor": 8.0}}})",
       ErrorKind::unsupported, "rename it to 'rope_type'"},
      {"gemma3", R"({"text_config": {"layer_types": ["full_atention", "full_attention", "full_attention"]}})",
       ErrorKind::unsupported, "'text_config.layer_types.0' is 'full_atention'"},
      {"gemma3", R"({"text_config": {"layer_types": ["full_attention", "full_attention"]}})",
       ErrorKind::input, "'text_config.layer_types': expected a list of 3"},
      {"gemma3",
       R"({"text_config": {"layer_types": ["full_attention", "full_attention", "full_attention", "full_attention"]}})",
       ErrorKind::input, "'text_config.layer_types': expected a list of 3"},
      {"gemma3", R"({"text_config": {"layer_types": "full_attention"}})", ErrorKind::input,
       "expected a list of 3"},
      {"gemma3", R"({"text_config": {"final_logit_softcapping": 30.0}})", ErrorKind::unsupported,
       "'text_config.final_logit_softcapping' is 30"},
      {"gemma3", R"({"text_config": {"attn_logit_softcapping": 50.0}})", ErrorKind::unsupported,
       "'text_config.attn_logit_softcapping' is 50"},
      {"qwen2_vl", R"({"vision_config": {"rope_parameters": {"rope_type": "linear", "factor": 4.0}}})",
       ErrorKind::unsupported, "'vision_config.rope_parameters' is of type \"linear\""},
      {"qwen2_5_vl", R"({"vision_config": {"rope_scaling": {"type": "dynamic", "factor": 4.0}}})",
       ErrorKind::unsupported, "'vision_config.rope_scaling' is of type \"dynamic\""},
      {"qwen3_vl", R"({"vision_config": {"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}})",
       ErrorKind::unsupported, "known are default, axial"},
      {"llava", R"({"text_config": {"hidden_act": "relu"}})", ErrorKind::unsupported, "\"relu\""},
      {"internvl_hf", R"({"vision_config": {"use_absolute_position_embeddings": false}})",
       ErrorKind::unsupported, "use_absolute_position_embeddings"},
      {"internvl_hf", R"({"vision_feature_select_strategy": "full"})", ErrorKind::unsupported, "'full'"},
      {"internvl_hf", R"({"vision_config": {"use_mean_pooling": false}})", ErrorKind::unsupported,
       "use_mean_pooling"},
      {"internvl_hf", R"({"text_config": {"model_type": "gpt_oss"}})", ErrorKind::unsupported, "'gpt_oss'"},
      {"internvl2", R"({"llm_config": {"model_type": "phi3"}})", ErrorKind::unsupported, "'phi3'"},
      {"gemma3", R"({"mm_tokens_per_image": 9})", ErrorKind::input, "'mm_tokens_per_image' is 9"},
      {"gemma3", R"({"text_config": {"use_bidirectional_attention": true}})", ErrorKind::unsupported,
       "use_bidirectional_attention"},
      {"qwen_vl", R"({"visual": {"output_dim": 48}})", ErrorKind::input, "'visual.output_dim' is 48"},
      {"minicpm_v", R"({"version": 2.5})", ErrorKind::unsupported, "2.5"},
      {"internvl2", R"({"ps_version": null})", ErrorKind::unsupported, "'ps_version' is v1"},
      {"glm4v", R"({"multi_query_group_num": 3})", ErrorKind::input, "'multi_query_group_num', which is 3"},
      {"glm4v", R"({"kv_channels": 18})", ErrorKind::input, "'kv_channels' is 18"},
      {"glm4v", R"({"post_layer_norm": false})", ErrorKind::unsupported, "post_layer_norm"},
      {"glm4v", R"({"add_bias_linear": true})", ErrorKind::unsupported, "add_bias_linear"}};
  for (const auto& [family, patch, kind, message] : cases)
    EXPECT_THAT(complaint(kind, [&] { described(family, patch); }), HasSubstr(message)) << family << patch;
}

}  // namespace
}  // namespace mquant::test
