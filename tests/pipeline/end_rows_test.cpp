// Embeddings and head that are worked on in runs of rows are what they are as a whole.
#include "pipeline/end_rows.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "model/ends.h"
#include "nn/stored.h"
#include "pipeline/source.h"
#include "quant/error.h"
#include "quant/round_to_nearest.h"
#include "tests/pipeline/runs.h"

namespace mquant::test {
namespace {

constexpr QuantScheme kCodes{.weight_bits = 8, .activation_bits = 16};

/// Rounds what is large in the block, and tells the figure that `round` does.
std::map<std::string, Figures> round_end(Block& block) {
  std::map<std::string, Figures> figures;
  const auto rounded = [&](const std::string& name, const at::Tensor& weight) {
    auto codes = std::make_shared<QuantizedLinear>(round_to_nearest(weight, kCodes, {}));
    figures[name]["weight_sqnr_db"] = weight_sqnr_db(weight, *codes);
    return codes;
  };
  for (auto& [name, linear] : block.linears) linear.quantized = rounded(name, linear.weight);
  for (auto& [name, table] : block.params) block.embeddings[name] = rounded(name, table);
  return figures;
}

class EndsInRuns : public testing::TestWithParam<std::tuple<const char*, bool>> {};

TEST_P(EndsInRuns, AreTheWhole) {
  const auto [name, coded] = GetParam();
  const SourceModel source = open_source(qwen2_vl().model);
  const BlockSpec& spec = *std::ranges::find(source.model.blocks, name, &BlockSpec::name);
  const StoredTypes types = types_in(source.checkpoint, source.model, DType::f32);
  const std::int64_t rows = rows_of_end(spec);
  ASSERT_GT(rows, 20);
  const auto finished = [&, coded = coded](Block block, std::map<std::string, Figures>& figures) {
    round_to_stored(block, types, coded);
    if (coded) figures = round_end(block);
    return block;
  };
  std::map<std::string, Figures> figures;
  const Block whole_block = finished(load_block(source.checkpoint, source.model, spec, at::kDouble), figures);
  const StoredBlock whole = to_stored(whole_block, types);

  EndRows end(spec, rows);
  const std::int64_t most = rows / 3 + 1;
  for (std::int64_t begin = 0; begin < rows; begin += most) {
    const BlockSpec run = with_rows(spec, std::min(most, rows - begin));
    std::map<std::string, Figures> of_run;
    const Block block =
        finished(load_rows_of_end(source.checkpoint, source.model, spec, run, begin, at::kDouble), of_run);
    end.add(block, to_stored(block, types), of_run);
  }
  const StoredBlock found = end.take();
  const auto expect_same = [&](const StoredLinear& a, const StoredLinear& b) {
    EXPECT_TRUE(a.weight.bytes == b.weight.bytes && a.weight.shape == b.weight.shape);
    ASSERT_EQ(a.quantized.has_value(), b.quantized.has_value());
    if (!a.quantized) return;
    EXPECT_EQ(a.quantized->out, b.quantized->out);
    EXPECT_TRUE(a.quantized->codes == b.quantized->codes);
    EXPECT_TRUE(a.quantized->weight_scale == b.quantized->weight_scale);
  };
  ASSERT_EQ(found.linears.size(), whole.linears.size());
  for (const auto& [linear, stored] : whole.linears) expect_same(found.linears.at(linear), stored);
  ASSERT_EQ(found.embeddings.size(), whole.embeddings.size());
  for (const auto& [table, stored] : whole.embeddings) expect_same(found.embeddings.at(table), stored);
  ASSERT_EQ(found.params.size(), whole.params.size());
  for (const auto& [param, data] : whole.params)
    EXPECT_TRUE(found.params.at(param).bytes == data.bytes && found.params.at(param).shape == data.shape);
  for (const auto& [norm, stored] : whole.norms)
    EXPECT_TRUE(found.norms.at(norm).scale.bytes == stored.scale.bytes);
  ASSERT_EQ(found.figures.size(), figures.size());
  for (const auto& [part, of_part] : figures)
    EXPECT_NEAR(found.figures.at(part).at("weight_sqnr_db"), of_part.at("weight_sqnr_db"), 1e-6);
}

INSTANTIATE_TEST_SUITE_P(OfADecoder, EndsInRuns,
                         testing::Combine(testing::Values("embed", "head"), testing::Bool()),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param)) +
                                  (std::get<1>(test.param) ? "InCodes" : "InFloat");
                         });

TEST(EndRows, RunsCoverAllRowsAndAreBounded) {
  const SourceModel source = open_source(qwen2_vl().model);
  const BlockSpec large = with_rows(source.model.blocks.back(), 3'000'000);
  std::int64_t next = 0;
  for (const RowRun& run : runs_of_end(large, 3'000'000)) {
    EXPECT_EQ(run.begin, next);
    EXPECT_LE(run.count * large.linears.front().in * 8, std::int64_t{64} << 20);
    next += run.count;
  }
  EXPECT_EQ(next, 3'000'000);
}

}  // namespace
}  // namespace mquant::test
