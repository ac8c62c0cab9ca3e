#include "artifact/stored_block.h"

#include <gtest/gtest.h>

#include <limits>

#include "artifact/tensor_data.h"
#include "mquant/error.h"
#include "tests/support/files.h"
#include "tests/unit/artifact/made_up_model.h"

namespace mquant {
namespace {

using test::Contents;

class StoredBlockFiles : public testing::Test {
 protected:
  StoredBlock through(const StoredBlock& block) {
    write_stored_block(block, shard(), record());
    return read_stored_block(shard(), record());
  }
  std::filesystem::path shard() const { return directory_ / "block.safetensors"; }
  std::filesystem::path record() const { return directory_ / "block.json"; }
  /// What reading says once `from` in the record has become `to`.
  std::string error_after(const std::string& from, const std::string& to) {
    std::string text = test::read_text(record());
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    test::write_text(record(), text.replace(at, from.size(), to));
    try {
      read_stored_block(shard(), record());
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input) << error.what();
      return error.what();
    }
    return "";
  }

  test::TempDir directory_;
};

TEST_F(StoredBlockFiles, EveryBlockComesBackBitForBit) {
  for (const Contents contents : {Contents::plain, Contents::all})
    for (const BlockSpec& spec : test::made_up_model().blocks) {
      const StoredBlock block = test::made_up_block(spec, contents);
      EXPECT_EQ(test::difference(block, through(block)), "") << spec.name;
    }
}

TEST_F(StoredBlockFiles, SameBlockGivesSameBytes) {
  const StoredBlock block = test::made_up_block(test::made_up_model().blocks[5], Contents::all);
  const BlockDigests first = write_stored_block(block, shard(), record());
  const BlockDigests again = write_stored_block(block, shard(), record());
  EXPECT_EQ(first.shard, again.shard);
  EXPECT_EQ(first.record, again.record);
}

TEST_F(StoredBlockFiles, OutlineKeepsEverythingButLargeTensors) {
  const StoredBlock block = test::made_up_block(test::made_up_model().blocks[5], Contents::all);
  write_stored_block(block, shard(), record());
  const StoredBlock outline = read_stored_block(shard(), record(), Detail::outline);
  const QuantizedLinear& down = *outline.linears.at("down").quantized;
  EXPECT_TRUE(down.codes.empty());
  EXPECT_EQ(down.weight_scale, block.linears.at("down").quantized->weight_scale);
  EXPECT_EQ(down.split.channels, block.linears.at("down").quantized->split.channels);
  EXPECT_EQ(outline.linears.at("down").rotation.size, 20);
}

TEST_F(StoredBlockFiles, HostileRecordIsAnInputErrorThatNamesThePlace) {
  const std::pair<const char*, const char*> changes[] = {
      {"\"out\": 16", "\"out\": 17"},
      {"\"out\": 16", "\"out\": -1"},
      {"\"in\": 20", "\"in\": 9223372036854775807"},
      {"\"weight_bits\": 4", "\"weight_bits\": 5"},
      {"\"weight_bits\": 4", "\"weight_bits\": \"4\""},
      {"\"activation_bits\": 8", "\"activation_bits\": 16"},
      {"\"block\": 20", "\"block\": 7"},
      {"\"size\": 20", "\"size\": 40"},
      {"\"kind\": \"rms\"", "\"kind\": \"group\""},
      {"\"name\": \"decoder.0\"", "\"nome\": \"decoder.0\""},
      {"\"params\": []", "\"params\": [\"table\"]"},
      {"\"quantized\": true", "\"quantized\": false"},
      {"\"inf\"", "\"infinite\""},
      {"\"visual\": ", "\"visual\": -"},
      {"\"kv_heads\": 2", "\"kv_heads\": 3"},
      {"\"values\": [", "\"values\": [-1, "},
      {"\"values\": [", "\"values\": [\"nan\", "},
  };
  for (const auto& [from, to] : changes) {
    StoredBlock block = test::made_up_block(test::made_up_model().blocks[5], Contents::all);
    block.linears["down"].rotation.block = 20;
    write_stored_block(block, shard(), record());
    EXPECT_NE(error_after(from, to).find("block."), std::string::npos) << from << " -> " << to;
  }
}

TEST_F(StoredBlockFiles, HostileRecordOfEmbeddingsIsAnInputErrorThatNamesThePlace) {
  const StoredBlock block = test::made_up_block(test::made_up_model().blocks[4], Contents::all);
  ASSERT_TRUE(block.embeddings.contains("table"));
  const std::pair<const char*, const char*> changes[] = {
      {"\"out\": 24", "\"out\": 25"},
      {"\"in\": 16", "\"in\": -16"},
      {"\"weight_bits\": 8", "\"weight_bits\": 16"},
      {"\"weight_bits\": 8", "\"weight_bits\": 4"},
      {"\"activation_bits\": 16", "\"activation_bits\": 8"},
      {"\"params\": []", "\"params\": [\"table\"]"},
      {"\"table\": {\n   \"out\"", "\"tables\": {\n   \"out\""},
      {"\"embeddings\"", "\"linears_\""},
      {"\"text\": null", "\"text\": 0.5"},
  };
  for (const auto& [from, to] : changes) {
    write_stored_block(block, shard(), record());
    EXPECT_NE(error_after(from, to).find("block."), std::string::npos) << from << " -> " << to;
  }
}

TEST_F(StoredBlockFiles, EmbeddingsThatAreMoreThanCodesAreNotWritten) {
  const auto refused = [&](auto change) {
    StoredBlock block = test::made_up_block(test::made_up_model().blocks[4], Contents::all);
    change(block, block.embeddings.at("table"));
    try {
      write_stored_block(block, shard(), record());
    } catch (const Error& error) {
      return error.kind() == ErrorKind::internal &&
             std::string(error.what()).find("'table'") != std::string::npos;
    }
    return false;
  };
  EXPECT_FALSE(refused([](StoredBlock&, StoredLinear&) {}));
  EXPECT_TRUE(refused([](StoredBlock&, StoredLinear& t) { t.quantized->codes[3] = -128; }));
  EXPECT_TRUE(refused([](StoredBlock&, StoredLinear& t) { t.quantized->weight_scale[1] = -1; }));
  EXPECT_TRUE(refused([](StoredBlock&, StoredLinear& t) { t.quantized->scheme = {4, 16}; }));
  EXPECT_TRUE(refused([](StoredBlock&, StoredLinear& t) { t.rotation = {16, 4, {}}; }));
  EXPECT_TRUE(refused([](StoredBlock&, StoredLinear& t) { t.bias = filled(0, {24}, DType::f32); }));
  EXPECT_TRUE(
      refused([](StoredBlock& b, StoredLinear&) { b.params["table"] = filled(0, {24, 16}, DType::f32); }));
}

TEST_F(StoredBlockFiles, CutShardIsAnInputError) {
  write_stored_block(test::made_up_block(test::made_up_model().blocks[5], Contents::all), shard(), record());
  const std::string whole = test::read_text(shard());
  for (std::size_t size = 0; size < whole.size(); size += 61) {
    test::write_text(shard(), whole.substr(0, size));
    EXPECT_THROW(read_stored_block(shard(), record()), Error) << size;
  }
}

TEST_F(StoredBlockFiles, CacheScalesThatAreNoneAreNotWritten) {
  const auto refused = [&](auto change) {
    StoredBlock block = test::made_up_block(test::made_up_model().blocks[6], Contents::all);
    change(*block.kv_scales);
    try {
      write_stored_block(block, shard(), record());
    } catch (const Error& error) {
      return error.kind() == ErrorKind::internal &&
             std::string(error.what()).find("decoder.1': kv_cache") != std::string::npos;
    }
    return false;
  };
  EXPECT_FALSE(refused([](KvScales&) {}));
  EXPECT_TRUE(refused([](KvScales& s) { s.keys[3] = std::numeric_limits<float>::quiet_NaN(); }));
  EXPECT_TRUE(refused([](KvScales& s) { s.values[1] = -1; }));
  EXPECT_TRUE(refused([](KvScales& s) { s.keys.pop_back(); }));
  EXPECT_TRUE(refused([](KvScales& s) { s.values.clear(); }));
  EXPECT_TRUE(refused([](KvScales& s) { s.kv_heads = 4; }));
}

TEST_F(StoredBlockFiles, BlockThatContradictsItselfIsNotWritten) {
  const BlockSpec spec = test::made_up_model().blocks[6];
  const auto refused = [&](const char* linear, auto change) {
    StoredBlock block = test::made_up_block(spec, Contents::all);
    change(block.linears.at(linear));
    try {
      write_stored_block(block, shard(), record());
    } catch (const Error& error) {
      return error.kind() == ErrorKind::internal &&
             std::string(error.what()).find(linear) != std::string::npos;
    }
    return false;
  };
  EXPECT_TRUE(refused("q", [](StoredLinear& l) { l.quantized->codes[3] = 8; }));
  EXPECT_TRUE(refused("q", [](StoredLinear& l) { l.quantized->codes.pop_back(); }));
  EXPECT_TRUE(refused("q", [](StoredLinear& l) { l.quantized->weight_scale[0] = 0; }));
  EXPECT_TRUE(refused(
      "q", [](StoredLinear& l) { l.quantized->weight_scale[0] = std::numeric_limits<float>::quiet_NaN(); }));
  EXPECT_TRUE(refused("q", [](StoredLinear& l) { l.quantized->input_scales.scale[0] = -1.0F; }));
  EXPECT_TRUE(refused("q", [](StoredLinear& l) { l.weight = filled(0, {16, 16}, DType::f32); }));
  EXPECT_TRUE(refused("q", [](StoredLinear& l) { l.bias = filled(0, {15}, DType::f32); }));
  EXPECT_TRUE(refused("down", [](StoredLinear& l) { l.quantized->split.channels = {3, 0}; }));
  EXPECT_TRUE(refused("down", [](StoredLinear& l) { l.quantized->split.channels = {3, 20}; }));
  EXPECT_TRUE(refused("down", [](StoredLinear& l) { l.rotation.signs[1] = 0; }));
  EXPECT_TRUE(refused("down", [](StoredLinear& l) { l.rotation.block = 3; }));
}

}  // namespace
}  // namespace mquant
