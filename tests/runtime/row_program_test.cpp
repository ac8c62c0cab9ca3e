#include "runtime/row_program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/runtime/mlp_block.h"

namespace mquant::test {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

const std::set<std::string, std::less<>> kAll = {"gate", "up", "down"};

StepRange all_steps(const BlockSpec& spec) { return {0, spec.steps.size()}; }

RowProgram compiled(const Block& block, PreparedLinears& linears) {
  for (const LinearSpec& linear : block.spec().linears)
    linears.emplace(linear.name, PreparedLinear(linear.name, block.linear(linear.name), linear.rows));
  return compile_rows(block, linears, row_wise_ranges(block.spec(), all_steps(block.spec()), kAll).at(0));
}

std::vector<std::string> names(const RowProgram& program, Slot::Place place) {
  std::vector<std::string> found;
  for (const Slot& slot : program.slots)
    if (slot.place == place) found.push_back(slot.name);
  return found;
}

TEST(RowProgram, QuantizesOnceForLinearsThatShareAnInputAndFusesWhatLiesBetweenProducts) {
  const BlockSpec spec = mlp_spec();
  const Block block = mlp_block(spec);
  PreparedLinears linears;
  const RowProgram program = compiled(block, linears);
  EXPECT_THAT(program.codes, SizeIs(2));  // one for gate and up, one for down
  ASSERT_THAT(program.phases, SizeIs(3));
  EXPECT_THAT(program.phases[0].rows, SizeIs(2));  // norm, quantize
  EXPECT_THAT(program.phases[0].linears,
              SizeIs(2));  // gate and up: the activation between them does not part them
  EXPECT_THAT(program.phases[1].rows, SizeIs(3));  // activation, multiply, quantize
  EXPECT_THAT(program.phases[1].linears, SizeIs(1));
  EXPECT_THAT(program.phases[2].rows, SizeIs(1));  // add
  EXPECT_TRUE(program.codes[1].hadamard.has_value());
}

TEST(RowProgram, KeepsRegistersNoLongerThanTheyAreSeen) {
  const BlockSpec spec = mlp_spec();
  const Block block = mlp_block(spec);
  PreparedLinears linears;
  const RowProgram program = compiled(block, linears);
  EXPECT_THAT(names(program, Slot::Place::outside), ElementsAre("x", "x"));      // before and after
  EXPECT_THAT(names(program, Slot::Place::row), ElementsAre("n", "gate", "h"));  // gate after the activation
  EXPECT_THAT(names(program, Slot::Place::chunk), ElementsAre("gate", "up", "down"));  // what products write
}

TEST(RowWiseRanges, EndWhereRowsAreOthersAndHoldAProduct) {
  BlockSpec spec = mlp_spec();
  EXPECT_THAT(row_wise_ranges(spec, all_steps(spec), kAll), SizeIs(1));
  EXPECT_TRUE(row_wise_ranges(spec, all_steps(spec), {}).empty());  // no product by codes: nothing to prepare
  Step merge;
  merge.op = Op::merge_rows;
  merge.in = {"n"};
  merge.out = "n";
  merge.count = 2;
  spec.steps.insert(spec.steps.begin() + 1, merge);  // fewer rows than x from here on
  const std::vector<StepRange> ranges = row_wise_ranges(spec, all_steps(spec), kAll);
  ASSERT_THAT(ranges, SizeIs(1));
  EXPECT_EQ(ranges[0].begin, 2U);
}

}  // namespace
}  // namespace mquant::test
