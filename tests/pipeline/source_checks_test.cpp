// What names, headers and keys tell of a checkpoint: heads, prefixes, second sets of weights.
#include "pipeline/source_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "pipeline/head_tie.h"
#include "tests/pipeline/edited_source.h"
#include "tests/pipeline/runs.h"
#include "tests/support/captured.h"
#include "tests/support/files.h"

namespace mquant::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

TEST(SourceChecks, TheHeadIsNamedWhateverElseIsMissing) {
  Edited edited;
  edited.tensors([](Tensors& t) {
    t.erase("lm_head.weight");
    t.erase("model.norm.weight");
  });
  Obstacles obstacles;
  check_headers(open_source(edited.model()), obstacles);
  EXPECT_THAT(stderr_of([&] { EXPECT_THROW(obstacles.raise(), Error); }),
              AllOf(HasSubstr("no tensor 'lm_head.weight', and tie_word_embeddings is false"),
                    HasSubstr("no tensor 'model.norm.weight'")));
}

TEST(SourceChecks, KeysThatContradictEachOtherOnTheHeadAreToldWhereItIsNotStored) {
  for (const bool top : {false, true}) {
    Edited edited;
    edited.json("config.json", [&](Json& c) {
      Json text;  // as later transformers writes it
      for (const char* key :
           {"hidden_size", "vocab_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
            "intermediate_size", "max_position_embeddings", "rope_scaling", "rope_theta", "rms_norm_eps"})
        text[key] = c.at(key);
      text["tie_word_embeddings"] = !top;
      c["text_config"] = text;
      c["tie_word_embeddings"] = top;
    });
    EXPECT_STREQ(refusal(edited.options()).what(), "done");
    edited.tensors([](Tensors& t) { t.erase("lm_head.weight"); });
    expect_refusal(edited.options(), ErrorKind::input,
                   AllOf(HasSubstr("no tensor 'lm_head.weight'"),
                         HasSubstr(cat("'tie_word_embeddings' is ", top ? "true" : "false")),
                         HasSubstr(cat("'text_config.tie_word_embeddings' is ", top ? "false" : "true"))));
  }
}

TEST(SourceChecks, APrefixBeforeAllMissingNamesIsTold) {
  for (const std::string prefix : {"module.", "module._orig_mod."}) {
    Edited edited;
    edited.tensors([&](Tensors& t) {
      Tensors wrapped;
      for (auto& [name, data] : t) wrapped[prefix + name] = std::move(data);
      t = std::move(wrapped);
    });
    expect_refusal(edited.options(), ErrorKind::input,
                   HasSubstr("but the files have such names after '" + prefix + "'"));
  }
}

TEST(SourceChecks, SecondSetsOfWeightsAreRefused) {
  const std::pair<const char*, const char*> cases[] = {
      {"lm_head.modules_to_save.default.weight", "merge"},
      {"model.layers.0.mlp.down_proj.original_module.weight", "merge"},
      {"model.layers.0.self_attn.q_proj.oft_R.default.weight", "merge"},
      {"model.layers.0.self_attn.q_proj.oft_r.default", "merge"},
      {"model.layers.0.mlp.down_proj.ia3_l.default", "merge"},
      {"model.layers.0.mlp.down_proj.hada_w1_a.default", "merge"},
      {"v_head.summary.weight", "a second head"},
      {"model.layers.0.mlp.down_proj.weight_scale_2", "quantized already"},
      {"model.layers.0.mlp.down_proj.Qidxs", "quantized already"},
      {"model.layers.0.mlp.down_proj.codebooks", "quantized already"}};
  for (const auto& [name, message] : cases) {
    Edited edited;
    edited.tensors([&, name = name](Tensors& t) { t[name] = t.at("model.norm.weight"); });
    expect_refusal(edited.options(), ErrorKind::unsupported, AllOf(HasSubstr(name), HasSubstr(message)));
  }
}

TEST(SourceChecks, AdaptersInFoldersAreNotReadAndAreTold) {
  Edited edited;
  fs::create_directory(edited.model() / "vision-lora");
  write_text(edited.model() / "vision-lora/adapter_config.json", "{}");
  const SourceModel source = open_source(edited.model());
  EXPECT_THAT(
      stderr_of([&] { warn_of_source(source, false); }),
      AllOf(HasSubstr("not read, as transformers does not: adapters in 'vision-lora/'"), HasSubstr("merge")));
}

/// internvl_hf states no key, as its releases do, and stores the head.
TEST(SourceChecks, AHeadThatIsTiedByDefaultIsNotSaidToBeTiedByConfigJson) {
  const SourceModel source = open_source(data_path("goldens/internvl_hf/model"));
  EXPECT_THAT(stderr_of([&] { warn_of_source(source, true); }),
              HasSubstr("tie_word_embeddings is not stated, and true by default, but"));
}

TEST(SourceChecks, AHeadThatTheIndexLeavesOutIsNotPassedOver) {
  for (const bool tied : {true, false}) {
    Edited edited;
    edited.json("config.json", [&](Json& c) { c["tie_word_embeddings"] = tied; });
    fs::rename(edited.model() / "model.safetensors", edited.model() / "shard.safetensors");
    Json index;
    for (const std::string& name : Checkpoint::open(qwen2_vl().model).names())
      if (name != "lm_head.weight") index["weight_map"][name] = "shard.safetensors";
    write_text(edited.model() / "model.safetensors.index.json", index.dump());
    expect_refusal(edited.options(), ErrorKind::input,
                   HasSubstr("no tensor 'lm_head.weight', which is in 'shard.safetensors'"));
  }
}

}  // namespace
}  // namespace mquant::test
