#include "artifact/matrices.h"

#include <gtest/gtest.h>

#include <functional>

#include "artifact/tensor_data.h"
#include "mquant/error.h"
#include "tests/unit/artifact/made_up_model.h"

namespace mquant {
namespace {

const ModelSpec kNoRenames;
const OfficialNames kAsDescribed(kNoRenames, [](const std::string&) { return true; });

const Matrix& matrix_named(const std::vector<Matrix>& all, const std::string& module) {
  for (const Matrix& matrix : all)
    if (matrix.module == module) return matrix;
  fail(ErrorKind::internal, "no matrix ", module);
}

/// Each part's weight filled with its letter, row by row numbers: q0 = 1000, q1 = 1001, ..., k0 = 2000, ...
StoredBlock numbered(const BlockSpec& spec) {
  StoredBlock block;
  block.name = spec.name;
  const std::map<std::string, float> base = {
      {"q", 1000}, {"k", 2000}, {"v", 3000}, {"gate", 4000}, {"up", 5000}};
  for (const LinearSpec& linear : spec.linears) {
    if (!base.contains(linear.name)) continue;
    std::vector<float> values;
    for (std::int64_t row = 0; row < linear.out; ++row)
      values.insert(values.end(), static_cast<std::size_t>(linear.in),
                    base.at(linear.name) + static_cast<float>(row));
    block.linears[linear.name].weight = float_tensor(values, {linear.out, linear.in});
  }
  return block;
}

/// First column of the joined matrix.
std::vector<float> column(const StoredLinear& linear, std::int64_t in) {
  const std::vector<float> all = f32_values(view_of(linear.weight));
  std::vector<float> rows;
  for (std::size_t i = 0; i < all.size(); i += static_cast<std::size_t>(in)) rows.push_back(all[i]);
  return rows;
}

/// Channels 0 and 3, whose values count from `first`.
SplitColumns split_of(std::int64_t out, bool quantized, std::int8_t first) {
  SplitColumns split{.channels = {0, 3}, .quantized = quantized};
  for (std::int64_t i = 0; i < 2 * out; ++i) {
    const int value = first + static_cast<int>(i);
    if (quantized)
      split.codes.push_back(static_cast<std::int8_t>(value));
    else
      split.values.push_back(static_cast<float>(value));
  }
  if (!quantized) return split;
  split.weight_scale = {0.5F, 0.25F};
  split.input_scales.resize(2);
  split.input_scales[1].scale[0] = 2;
  return split;
}

TEST(Matrices, RowsLieAsEachKindOfFusionSays) {
  const ModelSpec model = test::made_up_model();
  const auto joined = [&](std::size_t block, const std::string& module) {
    StoredBlock stored = numbered(model.blocks[block]);
    const std::vector<Matrix> all = matrices_of(model.blocks[block], kAsDescribed);
    const Matrix& matrix = matrix_named(all, module);
    return column(join(matrix, model.blocks[block], stored), matrix.in);
  };
  // two heads of four: [head][q, k, v][dim]
  EXPECT_EQ(joined(1, "visual.blocks.0.attn.qkv"),
            (std::vector<float>{1000, 1001, 1002, 1003, 2000, 2001, 2002, 2003, 3000, 3001, 3002, 3003,
                                1004, 1005, 1006, 1007, 2004, 2005, 2006, 2007, 3004, 3005, 3006, 3007}));
  // [q; k; v]
  EXPECT_EQ(joined(2, "visual.blocks.1.attn.qkv"),
            (std::vector<float>{1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 2000, 2001, 2002, 2003,
                                2004, 2005, 2006, 2007, 3000, 3001, 3002, 3003, 3004, 3005, 3006, 3007}));
  // two key heads, two query heads each: [kv head][q, q, k, v][dim]
  const std::vector<float> grouped = joined(5, "model.layers.0.attention.wqkv");
  ASSERT_EQ(grouped.size(), 32);
  EXPECT_EQ(std::vector<float>(grouped.begin() + 8, grouped.begin() + 20),
            (std::vector<float>{2000, 2001, 2002, 2003, 3000, 3001, 3002, 3003, 1008, 1009, 1010, 1011}));
  EXPECT_EQ(joined(5, "model.layers.0.mlp.gate_up")[20], 5000);
}

TEST(Matrices, PartsThatDoNotAgreeAreBadInput) {
  const BlockSpec spec = test::made_up_model().blocks[5];
  const std::vector<Matrix> all = matrices_of(spec, kAsDescribed);
  const auto refused = [&](auto change) {
    StoredBlock block = test::made_up_block(spec, test::Contents::plain);
    change(block.linears.at("k"));
    try {
      join(matrix_named(all, "model.layers.0.attention.wqkv"), spec, block);
    } catch (const Error& error) {
      return error.kind() == ErrorKind::input;
    }
    return false;
  };
  EXPECT_FALSE(refused([](StoredLinear&) {}));
  EXPECT_TRUE(refused([](StoredLinear& l) { l.quantized->scheme = {8, 8}; }));
  EXPECT_TRUE(refused([](StoredLinear& l) { l.quantized->input_scales.scale[0] = 0.5F; }));
  EXPECT_TRUE(refused([](StoredLinear& l) { l.rotation = {16, 16, {}}; }));
  EXPECT_TRUE(refused([](StoredLinear& l) { l.quantized.reset(); }));
  EXPECT_TRUE(refused([](StoredLinear& l) { l.quantized->split = split_of(l.quantized->out, true, 1); }));
}

TEST(Matrices, SplitColumnsAreThoseOfOneMatrix) {
  const BlockSpec spec = test::made_up_model().blocks[5];
  const std::vector<Matrix> all = matrices_of(spec, kAsDescribed);
  const Matrix& matrix = matrix_named(all, "model.layers.0.attention.wqkv");
  for (const bool quantized : {true, false}) {
    const auto block = [&] {
      StoredBlock made = test::made_up_block(spec, test::Contents::plain);
      std::int8_t first = 1;
      for (const LinearSpec* part : matrix.parts) {
        made.linears.at(part->name).quantized->split = split_of(part->out, quantized, first);
        first = static_cast<std::int8_t>(first + 40);
      }
      return made;
    };
    StoredBlock stored = block(), back;
    const StoredLinear joined = join(matrix, spec, stored);
    const SplitColumns& split = joined.quantized->split;
    EXPECT_EQ(split.channels, (std::vector<std::int64_t>{0, 3}));
    // [kv head][q, q, k, v][dim]: k's first row follows eight of q; its codes begin at 41.
    const auto out = static_cast<std::size_t>(matrix.out);
    if (quantized) {
      ASSERT_EQ(split.codes.size(), 2 * out);
      EXPECT_EQ(split.codes[8], 41);
    } else {
      ASSERT_EQ(split.values.size(), 2 * out);
      EXPECT_EQ(split.values[8], 41);
    }
    separate(matrix, spec, joined, back);
    const StoredBlock expected = block();
    for (const LinearSpec* part : matrix.parts) {
      const SplitColumns &is = back.linears.at(part->name).quantized->split,
                         &was = expected.linears.at(part->name).quantized->split;
      EXPECT_EQ(is.channels, was.channels) << part->name;
      EXPECT_EQ(is.quantized, was.quantized) << part->name;
      EXPECT_EQ(is.codes, was.codes) << part->name;
      EXPECT_EQ(is.values, was.values) << part->name;
      EXPECT_EQ(is.weight_scale, was.weight_scale) << part->name;
      EXPECT_EQ(is.input_scales.size(), was.input_scales.size()) << part->name;
    }
    const std::vector<std::function<void(SplitColumns&)>> changes = {
        [](SplitColumns& other) { other.channels = {0, 4}; },
        [](SplitColumns& other) { other.quantized = !other.quantized; },
        [](SplitColumns& other) { other.weight_scale = {0.5F, 0.125F}; },
        [](SplitColumns& other) { other.input_scales = {{}, {}, {}}; },
        [](SplitColumns& other) { other = {}; },
    };
    for (std::size_t i = 0; i < changes.size(); ++i) {
      StoredBlock changed = block();
      changes[i](changed.linears.at("v").quantized->split);
      EXPECT_THROW(join(matrix, spec, changed), Error) << i;
    }
  }
}

TEST(Matrices, LinearsThatDoNotFillTheirTensorAreABug) {
  BlockSpec spec = test::made_up_model().blocks[1];
  std::erase_if(spec.linears, [](const LinearSpec& linear) { return linear.name == "k"; });
  EXPECT_THROW(matrices_of(spec, kAsDescribed), Error);
}

TEST(Matrices, NormThatFoldedIntoFewOfItsPartsGetsZerosForTheOthers) {
  const BlockSpec spec = test::made_up_model().blocks[5];
  StoredBlock block = test::made_up_block(spec, test::Contents::plain);
  block.linears.at("k").bias = {};
  const std::vector<Matrix> all = matrices_of(spec, kAsDescribed);
  const Matrix& matrix = matrix_named(all, "model.layers.0.attention.wqkv");
  StoredBlock back;
  separate(matrix, spec, join(matrix, spec, block), back);
  EXPECT_FALSE(back.linears.at("k").bias);
  EXPECT_EQ(back.linears.at("v").bias.bytes,
            test::made_up_block(spec, test::Contents::plain).linears.at("v").bias.bytes);
}

}  // namespace
}  // namespace mquant
