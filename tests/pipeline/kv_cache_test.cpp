// The int8 key-value cache, from calibrate-kv to the logits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "eval/greedy.h"
#include "eval/loaded_model.h"
#include "mquant/artifact.h"
#include "mquant/error.h"
#include "tests/pipeline/kv8_run.h"
#include "tests/pipeline/runs.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

class KvCacheRun : public Kv8Run {
 protected:
  static std::vector<Features> features_of(const LoadedModel& model, WithAnswer with_answer) {
    return model.features(read_samples(qwen2_vl().samples), with_answer);
  }
};

std::vector<KvScales> scales_in(const std::filesystem::path& calibration, const LoadedModel& model) {
  const CalibrationStore store = CalibrationStore::open(calibration);
  std::vector<KvScales> scales;
  for (const BlockSpec& spec : model.spec().blocks) {
    const StoredBlock block = store.read(spec.name);
    EXPECT_EQ(block.kv_scales.has_value(), spec.has_kv_cache()) << spec.name;
    if (block.kv_scales) scales.push_back(*block.kv_scales);
  }
  return scales;
}

/// Each scale is the least bfloat16 that does not clip what it is for, absmax [scales].
void expect_covers(const std::vector<float>& scales, const at::Tensor& absmax) {
  ASSERT_EQ(std::ssize(scales), absmax.numel());
  for (std::size_t i = 0; i < scales.size(); ++i) {
    const double range = 127.0 * double{scales[i]},
                 seen = double{absmax[static_cast<std::int64_t>(i)].item<float>()};
    EXPECT_GE(range, seen) << i;
    EXPECT_LE(range, seen * (1 + 1.0 / 128)) << i;
  }
}

TEST_F(KvCacheRun, ScalesCoverWhatCachesHoldOverTheCalibrationSamples) {
  const LoadedModel model = LoadedModel::open(calibration());
  const std::vector<KvScales> scales = scales_in(calibration(), model);
  ASSERT_EQ(scales.size(), 3U);
  std::vector<at::Tensor> keys(scales.size()), values(scales.size());
  for (const Features& features : features_of(model, WithAnswer::yes)) {
    std::vector<KvCache> caches = model.make_caches(std::ssize(features.input_ids));
    model.logits(features, caches, 0, LogitRows::last);
    for (std::size_t i = 0; i < caches.size(); ++i) {
      ASSERT_FALSE(caches[i].is_int8());
      const at::Tensor k = caches[i].keys.abs().amax(0),
                       v = caches[i].values.abs().amax(0).view({scales[i].kv_heads, -1}).amax(1);
      keys[i] = keys[i].defined() ? keys[i].maximum(k) : k;
      values[i] = values[i].defined() ? values[i].maximum(v) : v;
    }
  }
  for (std::size_t i = 0; i < scales.size(); ++i) {
    expect_covers(scales[i].keys, keys[i]);
    expect_covers(scales[i].values, values[i]);
  }
}

TEST_F(KvCacheRun, ScalesCanBeOfHeadsOrOfChannels) {
  calibrate_into(
      *directory_ / "turned_about", qwen2_vl(),
      {.recipe = "w4a8-kv8", .overrides = {"calibrate-kv.keys=per_head", "calibrate-kv.values=per_channel"}});
  const LoadedModel model = LoadedModel::open(*directory_ / "turned_about");
  const std::vector<KvScales> scales = scales_in(*directory_ / "turned_about", model),
                              before = scales_in(calibration(), model);
  for (std::size_t i = 0; i < scales.size(); ++i) {
    const std::int64_t heads = scales[i].kv_heads, dim = scales[i].head_dim;
    ASSERT_EQ(std::ssize(scales[i].keys), heads);
    ASSERT_EQ(std::ssize(scales[i].values), heads * dim);
    for (std::int64_t h = 0; h < heads; ++h) {  // the head's scale is that of its largest channel
      const auto first = before[i].keys.begin() + h * dim, channel = scales[i].values.begin() + h * dim;
      EXPECT_EQ(scales[i].keys[static_cast<std::size_t>(h)], *std::max_element(first, first + dim));
      EXPECT_EQ(before[i].values[static_cast<std::size_t>(h)], *std::max_element(channel, channel + dim));
    }
  }
}

TEST_F(KvCacheRun, ScalesAreAllThatTheRecipeAddsAndDoNotDependOnThreads) {
  calibrate_into(*directory_ / "threads", qwen2_vl(), {.recipe = "w4a8-kv8", .threads = 2});
  export_into(*directory_ / "of_threads", *directory_ / "threads");
  expect_same_files(artifact(), *directory_ / "of_threads", 8);
  calibrate_into(*directory_ / "plain", qwen2_vl(), {.recipe = "w4a8"});
  export_into(*directory_ / "of_plain", *directory_ / "plain");
  EXPECT_EQ(files_below(artifact()), files_below(*directory_ / "of_plain"));
  int compared = 0;
  for (const std::string& name : files_below(artifact())) {
    if (name == "mquant_manifest.json") continue;
    const auto text = [&](const std::filesystem::path& path) {
      std::ifstream file(path / name, std::ios::binary);
      return std::string(std::istreambuf_iterator<char>(file), {});
    };
    EXPECT_TRUE(text(artifact()) == text(*directory_ / "of_plain")) << name;
    ++compared;
  }
  EXPECT_GE(compared, 7);
}

TEST_F(KvCacheRun, ArtifactGivesTheLogitsOfTheCalibration) {
  LoadedModel calibrated = LoadedModel::open(calibration()), exported = LoadedModel::open(artifact());
  calibrated.use_kv_cache(KvCacheType::automatic);
  exported.use_kv_cache(KvCacheType::int8);
  EXPECT_EQ(exported.kv_cache().type, "int8");
  std::vector<KvCache> none;
  for (const Features& features : features_of(exported, WithAnswer::no)) {
    const at::Tensor coded = exported.logits(features, none, 0, LogitRows::all);
    EXPECT_TRUE(coded.equal(calibrated.logits(features, none, 0, LogitRows::all)));
    exported.use_kv_cache(KvCacheType::float32);
    EXPECT_FALSE(coded.equal(exported.logits(features, none, 0, LogitRows::all))) << "the codes are not used";
    exported.use_kv_cache(KvCacheType::int8);
  }
}

/// Text tokens behind `before` as one turn.
Features text_turn(const Features& before, std::int64_t first_token, std::int64_t count, std::int64_t done) {
  Features turn = decode_step(before, first_token, done);
  for (std::int64_t i = 1; i < count; ++i) {
    const Features next = decode_step(before, first_token + i, done + i);
    turn.input_ids.push_back(next.input_ids[0]);
    turn.token_class.push_back(next.token_class[0]);
    turn.positions.push_back(next.positions[0]);
    turn.picture.push_back(-1);
  }
  return turn;
}

TEST_F(KvCacheRun, TurnsAndDecodeStepsHoldTheCodesOfOneWholeForwardPass) {
  LoadedModel model = LoadedModel::open(artifact());
  model.use_kv_cache(KvCacheType::int8);
  const Features prompt =
      model.features({sample_named(qwen2_vl().samples, "two_images")}, WithAnswer::no).front();
  const auto n = static_cast<std::int64_t>(prompt.input_ids.size());
  std::vector<KvCache> turns = model.make_caches(n + 6), whole = model.make_caches(n + 6);
  model.logits(prompt, turns, 0, LogitRows::last);
  model.logits(text_turn(prompt, 20, 4, 0), turns, n, LogitRows::last);
  model.logits(text_turn(prompt, 24, 1, 4), turns, n + 4, LogitRows::last);
  const at::Tensor last = model.logits(text_turn(prompt, 25, 1, 5), turns, n + 5, LogitRows::last);
  Features all = prompt;
  const Features rest = text_turn(prompt, 20, 6, 0);
  const auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
  append(all.input_ids, rest.input_ids);
  append(all.token_class, rest.token_class);
  append(all.positions, rest.positions);
  append(all.picture, rest.picture);
  const at::Tensor expected = model.logits(all, whole, 0, LogitRows::last);
  EXPECT_TRUE(last.allclose(expected, 1e-5, 1e-5)) << (last - expected).abs().max().item<float>();
  for (std::size_t i = 0; i < turns.size(); ++i) {
    ASSERT_TRUE(turns[i].is_int8());
    EXPECT_EQ(turns[i].length, n + 6);
    EXPECT_TRUE(turns[i].keys.equal(whole[i].keys)) << i;
    EXPECT_TRUE(turns[i].values.equal(whole[i].values)) << i;
  }
}

TEST_F(KvCacheRun, GreedyAnswersAreThoseOfWholeForwardPasses) {
  LoadedModel model = LoadedModel::open(artifact());
  model.use_kv_cache(KvCacheType::automatic);
  for (const Features& features : features_of(model, WithAnswer::no)) {
    const GreedyOptions cached{.max_new_tokens = 8, .stop = false}, whole{8, false, false};
    EXPECT_EQ(greedy(model, features, cached), greedy(model, features, whole));
  }
}

TEST_F(KvCacheRun, CodesTakeAQuarterOfTheBytes) {
  LoadedModel model = LoadedModel::open(artifact());
  EXPECT_EQ(model.kv_cache().type, "float");
  const std::int64_t bytes = model.kv_cache().bytes_per_token;
  model.use_kv_cache(KvCacheType::int8);
  std::int64_t channels = 0;
  for (const BlockSpec& spec : model.spec().blocks)
    if (spec.has_kv_cache()) channels += 2 * spec.attention.kv_heads * spec.attention.head_dim;
  EXPECT_EQ(bytes, 4 * channels);
  EXPECT_EQ(model.kv_cache().bytes_per_token, channels);
}

TEST(KvCacheOfOtherModels, IsFloatAndInt8IsRefused) {
  LoadedModel model = LoadedModel::open(qwen2_vl().model);
  model.use_kv_cache(KvCacheType::automatic);
  EXPECT_EQ(model.kv_cache().type, "float");
  try {
    model.use_kv_cache(KvCacheType::int8);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), testing::HasSubstr("has no scales of an int8 key-value cache"));
  }
}

}  // namespace
}  // namespace mquant::test
