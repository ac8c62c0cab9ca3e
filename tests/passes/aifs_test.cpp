// AIFS: the order is a stable partition, the mask rule equals brute force, and logits do not change.
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "nn/token_order.h"
#include "support/rng.h"
#include "tests/support/tiny_model.h"

namespace mquant::test {
namespace {

std::vector<TokenClass> classes_of(const std::string& layout) {
  std::vector<TokenClass> classes;
  for (const char c : layout) classes.push_back(c == 'v' ? TokenClass::visual : TokenClass::text);
  return classes;
}

/// Layouts that break naive formulas, and random ones.
std::vector<std::string> layouts() {
  std::vector<std::string> all = {"t",    "v",    "tttt",   "vvvv",   "vvtt",
                                  "ttvv", "tvvt", "tvtvvt", "vvtvvt", "tvvttvvvtt"};
  Rng rng(11);
  for (int i = 0; i < 200; ++i) {
    std::string layout;
    for (std::uint64_t n = 1 + rng.next() % 24; n > 0; --n) layout += rng.next() % 2 == 0 ? 'v' : 't';
    all.push_back(layout);
  }
  return all;
}

TEST(ClassOrder, IsAStablePartitionVisualFirst) {
  for (const std::string& layout : layouts()) {
    const auto classes = classes_of(layout);
    const std::vector<std::int64_t> order = class_order(classes);
    const std::set<std::int64_t> once(order.begin(), order.end());
    ASSERT_EQ(once.size(), layout.size()) << layout;
    const auto visual = static_cast<std::size_t>(std::ranges::count(layout, 'v'));
    for (std::size_t i = 0; i < order.size(); ++i) {
      EXPECT_EQ(layout[static_cast<std::size_t>(order[i])], i < visual ? 'v' : 't') << layout;
      if (i > 0 && i != visual) {
        EXPECT_LT(order[i - 1], order[i]) << layout;
      }
    }
  }
}

TEST(ClassOrder, MaskByOriginalPositionsEqualsThePermutedCausalMask) {
  for (const std::string& layout : layouts())
    for (const std::int64_t window : {std::int64_t{0}, std::int64_t{3}}) {
      const std::vector<std::int64_t> order = class_order(classes_of(layout));
      const auto n = static_cast<std::int64_t>(order.size());
      // Brute force: the causal mask of the original sequence, rows and columns permuted.
      for (std::size_t i = 0; i < order.size(); ++i)
        for (std::size_t j = 0; j < order.size(); ++j) {
          const std::int64_t query = order[i], key = order[j];
          const bool original = key <= query && (window == 0 || query - key < window);
          const KeyInterval keys = causal_keys(query, window);
          EXPECT_EQ(original, key >= keys.begin && key < keys.end) << layout << " " << i << " " << j;
          ASSERT_LE(keys.end, n);
        }
    }
}

std::vector<Block> load_all(const TinyModel& tiny, at::ScalarType dtype) {
  std::vector<Block> blocks;
  for (const BlockSpec& spec : tiny.spec.blocks)
    blocks.push_back(load_block(tiny.checkpoint, tiny.spec, spec, dtype));
  return blocks;
}

TEST(Aifs, KeepsLogitsInFloat64) {
  const auto tiny = tiny_model();
  const std::vector<Block> blocks = load_all(*tiny, at::kDouble);
  for (const std::string layout : {"ttt", "vttt", "tttv", "tvvt", "tvtvtt", "v"}) {
    const Features features = tiny_features(tiny->spec, layout, 5);
    const at::Tensor plain = run_model(blocks, features, at::kDouble, false);
    const at::Tensor ordered = run_model(blocks, features, at::kDouble, true);
    EXPECT_LT((plain - ordered).abs().max().item<double>(), 1e-10) << layout;
  }
}

/// Runs `features` on the decoder with caches, as a turn behind `past` tokens.
at::Tensor run_turn(const std::vector<Block>& blocks, const Features& features, std::vector<KvCache>& caches,
                    std::int64_t past, bool reorder) {
  SampleState state = start(features, at::kDouble);
  state.past = past;
  std::size_t layer = 0;
  for (const Block& block : blocks) {
    if (!takes_part(block.spec(), features)) continue;
    if (block.spec().name == "head") restore_order(state);
    state.cache = block.spec().name.starts_with("decoder.") ? &caches.at(layer++) : nullptr;
    run_block(block, state);
    if (block.spec().name == "embed" && reorder) order_tokens(state);
  }
  return state.registers.at("logits");
}

/// Tokens [begin, end) of `features`; pictures must not be cut.
Features turn_of(const Features& f, std::size_t begin, std::size_t end) {
  Features turn = f;
  const auto cut = [&](auto& v) {
    v = {v.begin() + static_cast<std::ptrdiff_t>(begin), v.begin() + static_cast<std::ptrdiff_t>(end)};
  };
  cut(turn.input_ids);
  cut(turn.token_class);
  cut(turn.positions);
  cut(turn.picture);
  std::vector<std::size_t> pictures;
  for (const std::int64_t p : turn.picture)
    if (p >= 0 && (pictures.empty() || pictures.back() != static_cast<std::size_t>(p)))
      pictures.push_back(static_cast<std::size_t>(p));
  turn.grids.clear();
  turn.pixels.clear();
  turn.patches.clear();
  for (const std::size_t p : pictures) {
    const auto rows = static_cast<std::size_t>(f.grids[p].rows()),
               columns = static_cast<std::size_t>(f.pixel_columns);
    turn.grids.push_back(f.grids[p]);
    for (std::size_t r = p * rows; r < (p + 1) * rows; ++r) {
      turn.patches.push_back(f.patches[r]);
      for (std::size_t c = 0; c < columns; ++c) turn.pixels.push_back(f.pixels[r * columns + c]);
    }
  }
  return turn;
}

TEST(Aifs, KeepsLogitsOverTurnsAndDecodeSteps) {
  const auto tiny = tiny_model();
  const std::vector<Block> blocks = load_all(*tiny, at::kDouble);
  const Features whole = tiny_features(tiny->spec, "tvtttvttt", 9);
  const std::size_t n = whole.input_ids.size();
  const at::Tensor expected = run_model(blocks, whole, at::kDouble, false);
  for (const bool reorder : {false, true}) {
    std::vector<KvCache> caches;
    for (int i = 0; i < 2; ++i)
      caches.push_back({at::zeros({static_cast<std::int64_t>(n), 8}, at::kDouble),
                        at::zeros({static_cast<std::int64_t>(n), 8}, at::kDouble), 0});
    std::size_t begin = 0;
    for (const std::size_t end : {std::size_t{7}, n - 2, n - 1, n}) {  // two turns, two decode steps
      const at::Tensor found =
          run_turn(blocks, turn_of(whole, begin, end), caches, static_cast<std::int64_t>(begin), reorder);
      const at::Tensor wanted =
          expected.slice(0, static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end));
      EXPECT_LT((found - wanted).abs().max().item<double>(), 1e-10) << reorder << " " << begin;
      begin = end;
    }
  }
}

}  // namespace
}  // namespace mquant::test
