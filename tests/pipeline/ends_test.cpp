// Embeddings and head in 8 bits: what the other blocks see, what is stored once, what inspect says of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "eval/loaded_model.h"
#include "mquant/artifact.h"
#include "mquant/checkpoint.h"
#include "mquant/compile.h"
#include "mquant/error.h"
#include "nn/embedding.h"
#include "nn/stored.h"
#include "nn/tensors.h"
#include "quant/round_to_nearest.h"
#include "tests/pipeline/runs.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

/// One tensor for embeddings and head, in bfloat16 or float32.
TestData tied_model() {
  return {data_path("goldens/qwen3_vl/model"), data_path("goldens/qwen3_vl/cases.jsonl")};
}
/// Embeddings that a pass separates from the head stay float by default.
const std::vector<std::string> kCodedEmbeddings = {"schemes.embed=w8a16"};
/// The default recipe without what makes the head another matrix than the embeddings.
const std::vector<std::string> kNothingSeparates = {"drop=fold-norms", "drop=bake-means", "drop=rotate"};

const QuantizedLinear& codes_of_head(const StoredBlock& head) { return *head.linears.at("head").quantized; }

BlockPlan planned(const Plan& plan, const std::string& block) {
  return *std::ranges::find(plan.blocks, block, &BlockPlan::name);
}

Plan plan_of(const TestData& data, const std::vector<std::string>& overrides) {
  PlanOptions options;
  options.model = data.model;
  options.overrides = overrides;
  return plan_model(options);
}

/// A tied model's artifact, made with these options.
class Made {
 public:
  explicit Made(const std::vector<std::string>& overrides) {
    calibrate_into(directory_ / "calibration", tied_model(), {.overrides = overrides});
    export_into(path(), directory_ / "calibration");
    model_.emplace(LoadedModel::open(path()));
  }
  std::filesystem::path path() const { return directory_ / "artifact"; }
  StoredBlock read(const std::string& block) const {
    return Artifact::open(path(), model_->spec()).read(block);
  }
  Checkpoint tensors() const { return Checkpoint::open(path()); }

 private:
  TempDir directory_;
  std::optional<LoadedModel> model_;
};

std::int64_t packed_bytes(const Checkpoint& tensors, const std::string& module) {
  return std::ssize(tensors.get(module + ".weight_packed").bytes) +
         std::ssize(tensors.get(module + ".weight_scale").bytes);
}

TEST(Ends, AHeadThatNothingSeparatesHasTheCodesOfTheEmbeddingsAndIsStoredOnce) {
  const Made made(kNothingSeparates);
  const StoredBlock embed = made.read("embed"), head = made.read("head");
  const QuantizedLinear& table = *embed.embeddings.at("table").quantized;
  EXPECT_EQ(table.scheme.name(), "w8a16");
  EXPECT_EQ(codes_of_head(head).codes, table.codes);
  EXPECT_EQ(codes_of_head(head).weight_scale, table.weight_scale);
  const Checkpoint tensors = made.tensors();
  const std::string module = "model.language_model.embed_tokens";
  EXPECT_FALSE(tensors.has(module + ".weight"));
  for (const std::string& name : tensors.names())
    EXPECT_THAT(name, testing::Not(testing::HasSubstr("lm_head")));

  const Plan plan = plan_of(tied_model(), kNothingSeparates);
  EXPECT_EQ(planned(plan, "embed").scheme, "w8a16");
  EXPECT_EQ(planned(plan, "embed").artifact_bytes, packed_bytes(tensors, module));
  EXPECT_EQ(planned(plan, "head").scheme, "tied");
  EXPECT_EQ(planned(plan, "head").artifact_bytes, planned(plan, "head").float_bytes) << "its norm";
  EXPECT_LT(planned(plan, "head").artifact_bytes, table.in * 8);
  std::int64_t source = 0;
  const Checkpoint checkpoint = Checkpoint::open(tied_model().model);
  for (const std::string& name : checkpoint.names()) source += std::ssize(checkpoint.get(name).bytes);
  EXPECT_EQ(plan.source_bytes, source) << "a tied head is no second matrix";
}

TEST(Ends, AHeadThatAPassSeparatesIsStoredInEightBits) {
  const Made made(kCodedEmbeddings);
  const StoredBlock head = made.read("head");
  EXPECT_EQ(codes_of_head(head).scheme.name(), "w8a16");
  EXPECT_NE(codes_of_head(head).codes, made.read("embed").embeddings.at("table").quantized->codes);
  const Plan plan = plan_of(tied_model(), {});
  EXPECT_EQ(planned(plan, "head").scheme, "w8a16");
  EXPECT_EQ(planned(plan, "head").artifact_bytes - planned(plan, "head").float_bytes,
            packed_bytes(made.tensors(), "lm_head"))
      << "beside the norm";
}

TEST(Ends, EmbeddingsFollowTheHeadWhereBothStayOneTensorAndAreFloatElsewhere) {
  EXPECT_EQ(planned(plan_of(tied_model(), kNothingSeparates), "embed").scheme, "w8a16");
  EXPECT_EQ(planned(plan_of(tied_model(), {}), "embed").scheme, "float") << "rotated apart";
  EXPECT_EQ(planned(plan_of(qwen2_vl(), {}), "embed").scheme, "float") << "two tensors in the source";
  std::vector<std::string> float_head = kNothingSeparates;
  float_head.push_back("schemes.head=float");
  EXPECT_EQ(planned(plan_of(tied_model(), float_head), "embed").scheme, "float");
  EXPECT_EQ(planned(plan_of(tied_model(), float_head), "head").scheme, "tied");
  const TestData gemma{data_path("goldens/gemma3/model"), data_path("goldens/gemma3/cases.jsonl")};
  EXPECT_EQ(planned(plan_of(gemma, {}), "head").scheme, "tied") << "its stream is exempted from rotation";
}

TEST(Ends, PlainFastCalibrationAndArtifactGiveTheSameBits) {
  for (const std::vector<std::string>& overrides :
       {kNothingSeparates, kCodedEmbeddings, std::vector<std::string>{}}) {
    const TempDir directory;
    calibrate_into(directory / "calibration", tied_model(), {.overrides = overrides});
    export_into(directory / "artifact", directory / "calibration");
    const LoadedModel calibration = LoadedModel::open(directory / "calibration");
    const LoadedModel fast = LoadedModel::open(directory / "artifact", Executor::fast);
    const LoadedModel plain = LoadedModel::open(directory / "artifact", Executor::plain);
    for (const Features& features : fast.features(read_samples(tied_model().samples), WithAnswer::no)) {
      std::vector<KvCache> none;
      const at::Tensor logits = fast.logits(features, none, 0, LogitRows::all);
      EXPECT_TRUE(plain.logits(features, none, 0, LogitRows::all).equal(logits));
      EXPECT_TRUE(calibration.logits(features, none, 0, LogitRows::all).equal(logits));
    }
  }
}

/// A bfloat16 golden, and whether its head's input is rotated online.
struct HeadCase {
  std::string family;
  bool rotated = false;
};

TEST(Ends, AFloatHeadWithCodedInputsGivesTheSameBitsFastAndPlain) {
  for (const HeadCase& c : {HeadCase{"qwen2_vl", false}, HeadCase{"gemma3", true}}) {
    SCOPED_TRACE(c.family);
    const TestData data{data_path("goldens/" + c.family + "/model"),
                        data_path("goldens/" + c.family + "/cases.jsonl")};
    const TempDir directory;
    calibrate_into(directory / "calibration", data,
                   {.overrides = {"schemes.head=w16a8", "round.method=rtn"}});
    export_into(directory / "artifact", directory / "calibration");
    const LoadedModel fast = LoadedModel::open(directory / "artifact", Executor::fast);
    const LoadedModel plain = LoadedModel::open(directory / "artifact", Executor::plain);
    const StoredBlock stored = Artifact::open(directory / "artifact", fast.spec()).read("head");
    const StoredLinear& head = stored.linears.at("head");
    EXPECT_EQ(head.weight.dtype, DType::bf16);
    EXPECT_TRUE(head.quantized);
    EXPECT_EQ(static_cast<bool>(head.rotation), c.rotated);
    for (const Features& features : fast.features(read_samples(data.samples), WithAnswer::no)) {
      std::vector<KvCache> none;
      EXPECT_TRUE(plain.logits(features, none, 0, LogitRows::all)
                      .equal(fast.logits(features, none, 0, LogitRows::all)));
    }
  }
}

TEST(Ends, AreHeldAsCodesAndScalesAlone) {
  const TempDir directory;
  calibrate_into(directory / "calibration", tied_model(), {.overrides = kCodedEmbeddings});
  const LoadedModel model = LoadedModel::open(directory / "calibration");
  int ends = 0;
  for (const LoadedModel::Weights& weights : model.weights()) {
    const BlockSpec& spec = *weights.block;
    if (spec.name != "embed" && spec.name != "head") continue;
    ++ends;
    const std::int64_t rows = model.spec().vocabulary, width = model.spec().decoder_width;
    EXPECT_GE(weights.bytes, rows * (width + 4)) << spec.name;
    EXPECT_LE(weights.bytes, rows * (width + 4) + width * 4) << spec.name << ": codes, scales and a norm";
    EXPECT_GE(weights.values, rows * width) << spec.name;
  }
  EXPECT_EQ(ends, 2);
}

/// The bytes of a block's file after a calibration with these options.
std::string block_after(const std::vector<std::string>& overrides, const std::string& name) {
  const TempDir directory;
  calibrate_into(directory / "calibration", qwen2_vl(), {.overrides = overrides});
  for (const std::string& file : files_below(directory / "calibration" / "blocks"))
    if (file.ends_with("-" + name + ".safetensors"))
      return read_text(directory / "calibration" / "blocks" / file);
  ADD_FAILURE() << "no block " << name;
  return {};
}

TEST(Ends, LaterBlocksSeeTheRowsOfTheCodesWhereTheySeeQuantizedBlocks) {
  for (const char* propagate : {"quantized", "float"}) {
    // As the source has them: rotated ones are rounded to its type where they stay float.
    std::vector<std::string> codes = kNothingSeparates;
    codes.push_back(std::string("calibration.propagate=") + propagate);
    std::vector<std::string> floats = codes;
    floats.push_back("schemes.embed=float");
    codes.push_back("schemes.embed=w8a16");
    const bool same = block_after(codes, "decoder.0") == block_after(floats, "decoder.0");
    EXPECT_EQ(same, std::string(propagate) == "float") << propagate;
  }
}

TEST(Ends, AreRoundedToNearestWhateverTheMethodOfTheOthers) {
  const std::string head = block_after({"round.method=gptq"}, "head");
  EXPECT_EQ(head, block_after({"round.method=rtn"}, "head"));
  EXPECT_EQ(head, block_after({"calibration.samples=1"}, "head")) << "no sample has a part in it";
}

TEST(Ends, RowsOfEmbeddingsAreCodesTimesTheRowsScale) {
  const QuantizedLinear table{.out = 3,
                              .in = 2,
                              .scheme = {8, 16},
                              .codes = {1, -2, 127, 0, -127, 5},
                              .weight_scale = {0.5F, 2, 0.25F}};
  const at::Tensor rows = embedding_rows(table, {2, 0, 2});
  EXPECT_TRUE(rows.equal(dequantized(table).index_select(0, index_tensor({2, 0, 2}))));
  EXPECT_EQ(rows[1][1].item<float>(), -1.0F);
  for (const std::int64_t id : {-1, 3}) EXPECT_THROW(embedding_rows(table, {id}), Error) << id;
}

}  // namespace
}  // namespace mquant::test
