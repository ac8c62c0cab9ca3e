#include "io/sharded_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "support/sha256.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/io/tensors.h"

namespace mquant {
namespace {

using test::random_bytes;
using test::text_of;
using test::thrown;
using testing::ElementsAre;
using testing::UnorderedElementsAre;

struct Owned {
  TensorView view;
  std::vector<std::byte> bytes;
};

Owned bytes_tensor(std::int64_t count, std::uint64_t seed, DType dtype = DType::u8) {
  Owned owned{{dtype, {count / byte_size(dtype)}, {}}, random_bytes(static_cast<std::size_t>(count), seed)};
  owned.view.bytes = owned.bytes;
  return owned;
}

std::vector<std::string> names_of(const std::vector<WrittenFile>& files) {
  std::vector<std::string> names;
  for (const WrittenFile& file : files) names.push_back(file.name);
  return names;
}

std::vector<std::string> listing(const std::filesystem::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

TEST(ShardedWriter, OneShardIsAFileWithoutAnIndex) {
  const test::TempDir directory;
  const Owned odd = bytes_tensor(3, 1), aligned = bytes_tensor(8, 2, DType::f32);
  ShardedWriter writer(directory.path());
  writer.add("odd", odd.view);
  writer.add("w", aligned.view);
  const std::vector<WrittenFile> files = writer.finish();
  EXPECT_THAT(names_of(files), ElementsAre("model.safetensors"));
  EXPECT_THAT(listing(directory.path()), ElementsAre("model.safetensors"));
  EXPECT_EQ(files[0].sha256, sha256_file(directory / "model.safetensors"));
  const SafetensorsFile file(directory / "model.safetensors");
  EXPECT_EQ(file.metadata(), (TensorFileMetadata{{"format", "pt"}}));
  EXPECT_EQ(text_of(file.get("odd").bytes), text_of(odd.bytes));
  EXPECT_EQ(text_of(file.get("w").bytes), text_of(aligned.bytes));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(file.get("w").bytes.data()) % 4, 0U);
}

TEST(ShardedWriter, ShardsStayBelowTheLimitAndTheIndexFindsEveryTensor) {
  const test::TempDir directory;
  std::map<std::string, Owned> tensors;
  ShardedWriter writer(directory.path(), 100);
  // 60 | 50 + 50 (exactly the limit) | 250 (more than it) | 1 + 0
  const std::vector<std::pair<std::string, std::int64_t>> sizes = {{"e", 60},  {"d", 50}, {"c", 50},
                                                                   {"b", 250}, {"a", 1},  {"zero", 0}};
  for (const auto& [name, size] : sizes) {
    tensors[name] = bytes_tensor(size, tensors.size());
    writer.add(name, tensors[name].view);
  }
  const std::vector<WrittenFile> files = writer.finish();
  EXPECT_THAT(names_of(files),
              ElementsAre("model-00001-of-00004.safetensors", "model-00002-of-00004.safetensors",
                          "model-00003-of-00004.safetensors", "model-00004-of-00004.safetensors",
                          "model.safetensors.index.json"));
  EXPECT_THAT(listing(directory.path()), testing::UnorderedElementsAreArray(names_of(files)));
  for (const WrittenFile& file : files)
    EXPECT_EQ(file.sha256, sha256_file(directory / file.name)) << file.name;
  EXPECT_EQ(test::read_text(directory / "model.safetensors.index.json"), R"({
  "metadata": {
    "total_size": 411
  },
  "weight_map": {
    "a": "model-00004-of-00004.safetensors",
    "b": "model-00003-of-00004.safetensors",
    "c": "model-00002-of-00004.safetensors",
    "d": "model-00002-of-00004.safetensors",
    "e": "model-00001-of-00004.safetensors",
    "zero": "model-00004-of-00004.safetensors"
  }
}
)");
  const Checkpoint checkpoint = Checkpoint::open(directory.path());
  ASSERT_EQ(checkpoint.names().size(), sizes.size());
  for (const auto& [name, tensor] : tensors) {
    EXPECT_EQ(text_of(checkpoint.get(name).bytes), text_of(tensor.bytes)) << name;
  }
}

TEST(ShardedWriter, NoTensorsGiveAValidFile) {
  const test::TempDir directory;
  EXPECT_THAT(names_of(ShardedWriter(directory.path()).finish()), ElementsAre("model.safetensors"));
  EXPECT_TRUE(SafetensorsFile(directory / "model.safetensors").names().empty());
}

TEST(ShardedWriter, UnfinishedItLeavesTheDirectoryAsItWas) {
  const test::TempDir directory;
  test::write_text(directory / "config.json", "{}");
  {
    ShardedWriter writer(directory.path(), 10);
    for (const char* name : {"a", "b", "c"}) writer.add(name, bytes_tensor(8, 1).view);
  }
  EXPECT_THAT(listing(directory.path()), ElementsAre("config.json"));
}

TEST(ShardedWriter, AKilledRunLeavesNoWeightsAndTheNextOneSucceeds) {
  const test::TempDir directory;
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ShardedWriter writer(directory.path(), 10);
    for (const char* name : {"a", "b", "c"}) writer.add(name, bytes_tensor(8, 1).view);
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_THAT(listing(directory.path()),
              UnorderedElementsAre("unfinished-00001.safetensors", "unfinished-00002.safetensors",
                                   "unfinished-data"));
  EXPECT_EQ(thrown([&] { Checkpoint::open(directory.path()); }).find("input: no weights in"), 0U);

  ShardedWriter writer(directory.path());
  writer.add("a", bytes_tensor(8, 1).view);
  writer.finish();
  EXPECT_THAT(listing(directory.path()), ElementsAre("model.safetensors"));
}

TEST(ShardedWriter, RefusesADirectoryWithWeights) {
  for (const char* name :
       {"model.safetensors", "model-00001-of-00002.safetensors", "model.safetensors.index.json"}) {
    const test::TempDir directory;
    test::write_text(directory / name, "");
    EXPECT_EQ(
        thrown([&] { ShardedWriter writer(directory.path()); }),
        cat("usage: '", directory.path().string(), "' holds '", name, "' already; name an empty directory"));
  }
  const test::TempDir directory;
  EXPECT_EQ(
      thrown([&] { ShardedWriter writer(directory / "none"); }),
      cat("resources: cannot write into '", (directory / "none").string(), "': No such file or directory"));
}

TEST(ShardedWriter, RefusesWhatNoFileCanHold) {
  const test::TempDir directory;
  ShardedWriter writer(directory.path());
  const Owned four = bytes_tensor(4, 1);
  writer.add("a", four.view);
  EXPECT_EQ(thrown([&] { writer.add("a", four.view); }), "internal: ShardedWriter: tensor 'a' twice");
  TensorView torn = four.view;
  torn.dtype = DType::f32;
  EXPECT_EQ(thrown([&] { writer.add("b", torn); }),
            "internal: ShardedWriter: tensor 'b': 4 bytes for shape [4] of F32");
  writer.finish();
  EXPECT_EQ(thrown([&] { writer.add("c", four.view); }), "internal: ShardedWriter: 'c' after finish()");
  EXPECT_EQ(thrown([&] { writer.finish(); }), "internal: ShardedWriter: finish() twice");
}

}  // namespace
}  // namespace mquant
