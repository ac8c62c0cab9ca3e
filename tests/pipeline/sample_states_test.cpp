// The samples' states of an unfinished calibration are read back exactly, or refused.
#include "pipeline/sample_states.h"

#include <ATen/ops/abs.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/sum.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <span>

#include "io/safetensors.h"
#include "mquant/error.h"
#include "pipeline/source.h"
#include "support/sha256.h"
#include "tests/pipeline/runs.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

class States : public testing::Test {
 protected:
  States()
      : source_(open_source(qwen2_vl().model)),
        features_(all_features(*source_.processor, source_.model, read_samples(qwen2_vl().samples, 2),
                               WithAnswer::no)),
        store_(CalibrationStore::create(directory_ / "cal", {})),
        embed_(*std::ranges::find(source_.model.blocks, "embed", &BlockSpec::name)) {
    for (const Features& features : features_) {
      SampleState& state = states_.emplace_back();
      state.features = &features;
      const auto tokens = static_cast<std::int64_t>(state.features->input_ids.size());
      state.registers = {{"x", at::rand({tokens, 8})}};
      state.order.resize(static_cast<std::size_t>(tokens));
      for (std::int64_t i = 0; i < tokens; ++i) state.order[static_cast<std::size_t>(i)] = tokens - 1 - i;
    }
    save_states(store_, "embed", states_);
  }

  std::vector<SampleState> loaded() {
    std::vector<SampleState> states(features_.size());
    for (std::size_t i = 0; i < states.size(); ++i) states[i].features = &features_[i];
    load_states(store_, "embed", embed_, states);
    return states;
  }

  /// What loading says after `change` of the file's tensors.
  template <class Change>
  ErrorKind kind_after(const Change& change) {
    save_states(store_, "embed", states_);
    const std::filesystem::path path = store_.state_directory() / "embed.safetensors";
    const SafetensorsFile file(path);
    std::map<std::string, TensorView> views;
    for (const std::string& name : file.names()) views[name] = file.get(name);
    change(views);
    write_safetensors(path, views);
    try {
      loaded();
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::internal;
  }

  TempDir directory_;
  SourceModel source_;
  std::vector<Features> features_;
  CalibrationStore store_;
  const BlockSpec& embed_;
  std::vector<SampleState> states_;
};

TEST_F(States, ComeBackBitForBit) {
  const std::vector<SampleState> again = loaded();
  for (std::size_t i = 0; i < states_.size(); ++i) {
    EXPECT_TRUE(again[i].registers.at("x").equal(states_[i].registers.at("x")));
    EXPECT_EQ(again[i].order, states_[i].order);
  }
}

/// Whether samples wait in memory or on disk, and whatever is in a batch, the file has the same bytes.
TEST_F(States, OfAStoreAreTheSameFile) {
  for (const std::int64_t memory : {std::int64_t{0}, std::int64_t{1} << 20})
    for (const std::int64_t batch : {std::int64_t{1}, std::int64_t{1} << 20}) {
      StateStore store(features_, 8, 8, {memory, batch, directory_.path()});
      load_states(store_, "embed", embed_, store);
      EXPECT_EQ(store.batches(), batch == 1 ? features_.size() : 1U);
      EXPECT_EQ(store.spilled_bytes() > 0, memory == 0);
      const WrittenState written = save_states(store_, "again", store);
      EXPECT_EQ(written.digest, sha256_file(store_.state_directory() / "embed.safetensors"));
      EXPECT_EQ(written.digest, sha256_file(store_.state_directory() / written.file));
    }
}

TEST_F(States, ComeBackWhenAStoreIsRestored) {
  StateStore store(features_, 8, 8, {0, 1, directory_.path()});
  load_states(store_, "embed", embed_, store);
  store.remember();
  store.each_sample([](SampleState& state) {
    state.registers.at("x").zero_();
    state.order.clear();
  });
  EXPECT_EQ(store.sample(1).registers.at("x").abs().sum().item<float>(), 0);
  store.restore();
  EXPECT_TRUE(store.sample(1).registers.at("x").equal(states_[1].registers.at("x")));
  EXPECT_EQ(store.sample(1).order, states_[1].order);
}

TEST_F(States, ThatAreForgedAreAnInputError) {
  using Views = std::map<std::string, TensorView>;
  const auto rename = [](const char* name) {
    return [name](Views& views) { views[name] = views.extract("0/x").mapped(); };
  };
  for (const char* name : {"x", "/x", "a/x", "0x1/x", "-1/x", "7/x", "99999999999999999999/x", "0/y"})
    EXPECT_EQ(kind_after(rename(name)), ErrorKind::input) << name;
  EXPECT_EQ(kind_after([](Views& views) { views["0/order"] = views.at("0/x"); }), ErrorKind::input);
  EXPECT_EQ(kind_after([](Views& views) { views["0/x"] = views.at("0/order"); }), ErrorKind::input);
  const std::vector<std::int64_t> repeated(states_[0].order.size(), 0);
  EXPECT_EQ(kind_after([&](Views& views) { views["0/order"].bytes = std::as_bytes(std::span(repeated)); }),
            ErrorKind::input);
}

}  // namespace
}  // namespace mquant::test
