#include "mquant/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "io/safetensors.h"
#include "support/sha256.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/io/tensors.h"

namespace mquant {
namespace {

using test::text_of;
using test::thrown;
using test::write_text;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

/// A shard with the U8 tensors of those names, each of one byte: the first letter of its name.
void write_shard(const std::filesystem::path& path, const std::vector<std::string>& names) {
  std::map<std::string, TensorView> tensors;
  for (const std::string& name : names)
    tensors[name] = {DType::u8, {1}, std::as_bytes(std::span(name)).first(1)};
  write_safetensors(path, tensors);
}

std::string index_of(std::string_view weight_map) { return cat(R"({"weight_map":)", weight_map, "}"); }

/// The message of opening a directory whose index is `text`, without "input: <path>: ".
std::string index_error(std::string_view text) {
  const test::TempDir directory;
  const std::string prefix = cat("input: ", (directory / "model.safetensors.index.json").string(), ": ");
  write_shard(directory / "s.safetensors", {"a"});
  write_text(directory / "model.safetensors.index.json", text);
  const std::string message = thrown([&] { Checkpoint::open(directory.path()); });
  return message.starts_with(prefix) ? message.substr(prefix.size()) : "elsewhere: " + message;
}

/// A .bin opener without libtorch: the file's text is its only tensor.
class OneTensor final : public TensorFile {
 public:
  explicit OneTensor(const std::filesystem::path& path) : text_(test::read_text(path)) {}
  std::vector<std::string> names() const override { return {"bin"}; }
  TensorView get(const std::string&) const override {
    return {DType::u8, {static_cast<std::int64_t>(text_.size())}, std::as_bytes(std::span(text_))};
  }
  TensorHeader header(const std::string&) const override {
    return {"U8", {static_cast<std::int64_t>(text_.size())}};
  }

 private:
  std::string text_;
};
std::unique_ptr<TensorFile> open_one(const std::filesystem::path& path) {
  return std::make_unique<OneTensor>(path);
}

TEST(Checkpoint, OpensASingleFile) {
  const test::TempDir directory;
  write_shard(directory / "model.safetensors", {"b", "a"});
  const Checkpoint checkpoint = Checkpoint::open(directory.path());
  EXPECT_THAT(checkpoint.names(), ElementsAre("a", "b"));
  EXPECT_THAT(checkpoint.files(), ElementsAre(directory / "model.safetensors"));
  EXPECT_EQ(checkpoint.directory(), directory.path());
  EXPECT_TRUE(checkpoint.has("a"));
  EXPECT_FALSE(checkpoint.has("c"));
  EXPECT_EQ(text_of(checkpoint.get("b").bytes), "b");
}

/// The digest over names and bytes, in the order of names, was computed by Python.
TEST(Checkpoint, ReadsTheShardsOfAnOfficialWriter) {
  const Checkpoint checkpoint = Checkpoint::open(test::data_path("goldens/qwen2_vl/model"));
  EXPECT_EQ(checkpoint.files().size(), 2U);
  ASSERT_EQ(checkpoint.names().size(), 70U);
  Sha256 digest;
  for (const std::string& name : checkpoint.names()) {
    digest.update(name);
    digest.update(checkpoint.get(name).bytes);
  }
  EXPECT_EQ(digest.hex(), "1147d9bcce138f82158fe6e71e84aa43ccf3068f1644f67cefbc108d5187b051");
}

/// As official loaders have it: an index says which files there are, and the files say which tensors.
TEST(Checkpoint, AnIndexListsAllButBuffers) {
  const test::TempDir directory;
  write_shard(directory / "s1", {"a", "d.inv_freq"});
  write_shard(directory / "s2", {"b"});
  write_shard(directory / "s3", {"e"});
  write_text(directory / "model.safetensors.index.json", index_of(R"({"a":"s1","b":"s2"})"));
  const Checkpoint checkpoint = Checkpoint::open(directory.path());
  EXPECT_THAT(checkpoint.names(), ElementsAre("a", "b", "d.inv_freq"));
  EXPECT_THAT(checkpoint.files(), ElementsAre(directory / "s1", directory / "s2"));
  for (const std::string& name : checkpoint.names())
    EXPECT_EQ(text_of(checkpoint.get(name).bytes), name.substr(0, 1));
  write_text(directory / "model.safetensors.index.json", index_of(R"({"a":"s1","e":"s3"})"));
  write_shard(directory / "s3", {"e", "f"});
  EXPECT_THAT(thrown([&] { Checkpoint::open(directory.path()); }),
              HasSubstr("no tensor 'f', which is in 's3'; shards and index may be of different downloads"));
}

TEST(Checkpoint, HeadersOfAllShardsAreReadAtOnce) {
  const test::TempDir directory;
  write_shard(directory / "s1", {"a"});
  write_text(directory / "s2", "broken");
  write_text(directory / "model.safetensors.index.json", index_of(R"({"a":"s1","b":"s2"})"));
  EXPECT_THAT(thrown([&] { Checkpoint::open(directory.path()); }),
              StartsWith("input: " + (directory / "s2").string()));
}

TEST(Checkpoint, ATensorStandsInOneShard) {
  const test::TempDir directory;
  write_shard(directory / "s1", {"a", "twice"});
  write_shard(directory / "s2", {"b", "twice"});
  const std::string index = (directory / "model.safetensors.index.json").string(), begin = "input: " + index;
  for (const char* map : {R"({"a":"s1","b":"s2"})", R"({"a":"s1","b":"s2","twice":"s1"})",
                          R"({"a":"s1","b":"s2","twice":"s2"})"}) {
    write_text(index, index_of(map));
    EXPECT_EQ(thrown([&] { Checkpoint::open(directory.path()); }),
              begin +
                  ": tensor 'twice' is in two shards, 's1' and 's2': expected one; the shards may be of "
                  "different downloads");
  }
}

TEST(Checkpoint, ATensorStandsWhereTheIndexPutsIt) {
  const test::TempDir directory;
  write_shard(directory / "s1", {"a", "c"});
  write_shard(directory / "s2", {"b"});
  const std::string index = (directory / "model.safetensors.index.json").string();
  write_text(index, index_of(R"({"a":"s1","b":"s2","c":"s2"})"));
  EXPECT_EQ(
      thrown([&] { Checkpoint::open(directory.path()); }),
      cat("input: ", index, ": tensor 'c' is in 's1': expected in 's2', where the index puts it; shards ",
          "and index may be of different downloads"));
}

TEST(Checkpoint, AnAbsentTensorIsNamedWithItsNearest) {
  const test::TempDir directory;
  write_shard(directory / "model.safetensors", {"model.layers.0.mlp.up_proj.weight", "lm_head.weight"});
  const Checkpoint checkpoint = Checkpoint::open(directory.path());
  EXPECT_EQ(
      thrown([&] { checkpoint.get("layers.0.mlp.up_proj.weight"); }),
      cat("input: '", directory.path().string(), "': no tensor 'layers.0.mlp.up_proj.weight'; did you mean ",
          "'model.layers.0.mlp.up_proj.weight'?"));
  EXPECT_EQ(thrown([&] { checkpoint.get("visual.proj"); }),
            cat("input: '", directory.path().string(), "': no tensor 'visual.proj'"));
}

TEST(Checkpoint, ATensorThatItsShardLacksIsNamed) {
  const test::TempDir directory;
  write_shard(directory / "s", {"a"});
  write_text(directory / "model.safetensors.index.json", index_of(R"({"a":"s","b":"s"})"));
  EXPECT_EQ(thrown([&] { Checkpoint::open(directory.path()); }),
            cat("input: ", (directory / "s").string(),
                ": tensor 'b' is not in this shard, where the index puts it; ",
                "shard and index may be of different downloads"));
}

TEST(Checkpoint, AnIndexMayNotLeaveItsDirectory) {
  const test::TempDir directory;
  std::filesystem::create_directory(directory / "model");
  write_shard(directory / "secret", {"a"});  // it is there: only the name must stop it
  const std::vector<std::string> names = {
      "../secret", (directory / "secret").string(), "..", ".", "", "./s", "sub/s", "sub\\s"};
  for (const std::string& name : names) {
    const std::string escaped = name == "sub\\s" ? R"(sub\\s)" : name;
    write_text(directory / "model/model.safetensors.index.json", index_of(cat(R"({"a":")", escaped, "\"}")));
    EXPECT_EQ(thrown([&] { Checkpoint::open(directory / "model"); }),
              cat("input: ", (directory / "model/model.safetensors.index.json").string(), ": tensor 'a': '",
                  name, "' is not the name of a file beside the index"));
  }
  EXPECT_EQ(index_error(index_of(R"({"a":"s\u0000x"})")),
            R"(tensor 'a': 's\x00x' is not the name of a file beside the index)");
}

TEST(Checkpoint, SymbolicLinksAreFollowedAsInACache) {
  const test::TempDir directory;
  std::filesystem::create_directory(directory / "snapshot");
  write_shard(directory / "blob", {"a"});
  std::filesystem::create_symlink("../blob", directory / "snapshot/model.safetensors");
  EXPECT_EQ(text_of(Checkpoint::open(directory / "snapshot").get("a").bytes), "a");
}

TEST(Checkpoint, ABrokenIndexIsRefusedWithItsCause) {
  EXPECT_EQ(index_error("[]"), "expected an object, found []");
  EXPECT_EQ(index_error("{}"), "no key 'weight_map'");
  EXPECT_EQ(index_error(index_of("[1]")), "'weight_map': expected an object, found [1]");
  EXPECT_EQ(index_error(index_of("{}")), "'weight_map' is empty");
  EXPECT_EQ(index_error(index_of(R"({"a":1})")), "tensor 'a': expected a file name, found 1");
  EXPECT_EQ(index_error(index_of(R"({"a":"t"})")), "shard 't' is not there; the download may be incomplete");
  EXPECT_EQ(index_error(index_of(R"({"a":"s.safetensors","a":"t"})")),
            "key 'a' is there twice in one object; remove one");
  EXPECT_EQ(index_error(""),
            "parse error at line 1, column 1: syntax error while parsing value - unexpected end of "
            "input; expected '[', '{', or a literal");
}

TEST(Checkpoint, ADirectoryWithoutWeightsSaysWhatWasExpected) {
  const test::TempDir directory;
  const std::string none =
      cat("input: no weights in '", directory.path().string(),
          "': expected model.safetensors, pytorch_model.bin, or the .index.json of one of them");
  EXPECT_EQ(thrown([&] { Checkpoint::open(directory.path()); }), none);
  std::filesystem::create_directory(directory / "snapshots");
  EXPECT_EQ(thrown([&] { Checkpoint::open(directory.path()); }),
            none + "; give one of the folders in its snapshots/");
  EXPECT_EQ(thrown([&] { Checkpoint::open(directory / "none"); }),
            cat("input: '", (directory / "none").string(),
                "' is not a directory; expected a downloaded HuggingFace model"));
}

TEST(Checkpoint, BinShardsGoThroughTheirOpener) {
  const test::TempDir directory;
  write_text(directory / "pytorch_model.bin", "hello");
  EXPECT_EQ(text_of(Checkpoint::open(directory.path(), open_one).get("bin").bytes), "hello");
  EXPECT_EQ(thrown([&] { Checkpoint::open(directory.path()); }),
            cat("unsupported: '", (directory / "pytorch_model.bin").string(),
                "': PyTorch's .bin weights cannot be read here; give the model's .safetensors files"));
}

TEST(Checkpoint, BinIndexesGoThroughTheirOpener) {
  const test::TempDir directory;
  write_text(directory / "x.bin", "hello");
  write_text(directory / "pytorch_model.bin.index.json", index_of(R"({"bin":"x.bin"})"));
  EXPECT_EQ(text_of(Checkpoint::open(directory.path(), open_one).get("bin").bytes), "hello");
  write_text(directory / "y.bin", "again");
  write_text(directory / "pytorch_model.bin.index.json", index_of(R"({"bin":"x.bin","other":"y.bin"})"));
  EXPECT_THAT(thrown([&] { Checkpoint::open(directory.path(), open_one); }),
              HasSubstr("tensor 'other' is not in this shard"));
}

TEST(Checkpoint, PrefersSafetensors) {
  const test::TempDir directory;
  write_text(directory / "pytorch_model.bin", "hello");
  write_shard(directory / "s", {"a"});
  write_text(directory / "model.safetensors.index.json", index_of(R"({"a":"s"})"));
  EXPECT_THAT(Checkpoint::open(directory.path(), open_one).names(), ElementsAre("a"));
  write_shard(directory / "model.safetensors", {"whole"});
  EXPECT_THAT(Checkpoint::open(directory.path(), open_one).names(), ElementsAre("whole"));
}

TEST(Checkpoint, ManyThreadsMayReadAtOnce) {
  const test::TempDir directory;
  std::string weight_map = "{";
  for (const std::string name : {"a", "b", "c", "d"}) {
    write_shard(directory / name, {name});
    weight_map += cat(name == "a" ? "" : ",", '"', name, R"(":")", name, '"');
  }
  write_text(directory / "model.safetensors.index.json", index_of(weight_map + "}"));
  const Checkpoint checkpoint = Checkpoint::open(directory.path());
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (const std::string name : {"a", "b", "c", "d"})
        right += text_of(checkpoint.get(name).bytes) == name ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 32);
}

TEST(Checkpoint, MovesWithItsTensors) {
  const test::TempDir directory;
  write_shard(directory / "model.safetensors", {"a"});
  Checkpoint first = Checkpoint::open(directory.path());
  const TensorView view = first.get("a");
  const Checkpoint second = std::move(first);
  EXPECT_EQ(text_of(view.bytes), "a");
  EXPECT_EQ(text_of(second.get("a").bytes), "a");
}

}  // namespace
}  // namespace mquant
