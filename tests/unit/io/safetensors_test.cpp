#include "io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>

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

TEST(Safetensors, TheBytesAreThoseOfTheFormat) {
  const test::TempDir directory;
  const std::vector<std::byte> one = random_bytes(1, 1), four = random_bytes(4, 2);
  write_safetensors(directory / "a", {{"odd", {DType::i8, {1}, one}}, {"x", {DType::bf16, {2, 1}, four}}},
                    {{"format", "pt"}});
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"x":{"dtype":"BF16","shape":[2,1],"data_offsets":[0,4]},)"
      R"("odd":{"dtype":"I8","shape":[1],"data_offsets":[4,5]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  EXPECT_EQ(test::read_text(directory / "a"), test::safetensors_file(padded, text_of(four) + text_of(one)));
}

TEST(Safetensors, EveryTypeAndShapeComesBackAlignedToItsElements) {
  const test::TempDir directory;
  const std::vector<std::vector<std::int64_t>> shapes = {{}, {3}, {0, 7}, {3, 1, 5}};
  std::map<std::string, std::vector<std::byte>> bytes;
  std::map<std::string, TensorView> tensors;
  for (const DType dtype : {DType::boolean, DType::u8, DType::i8, DType::i16, DType::i32, DType::i64,
                            DType::f16, DType::bf16, DType::f32, DType::f64}) {
    for (const auto& shape : shapes) {
      TensorView view{dtype, shape, {}};
      const std::string name = cat("\"\xC3\xA9\n", dtype_name(dtype), ".", shape.size());
      bytes[name] = random_bytes(static_cast<std::size_t>(view.numel() * byte_size(dtype)), bytes.size());
      view.bytes = bytes[name];
      tensors[name] = view;
    }
  }
  ASSERT_EQ(tensors.size(), 10 * shapes.size());
  const std::string digest = write_safetensors(directory / "a", tensors);
  EXPECT_EQ(digest, sha256_file(directory / "a"));

  const SafetensorsFile file(directory / "a");
  ASSERT_EQ(file.names().size(), tensors.size());
  EXPECT_TRUE(file.metadata().empty());
  for (const auto& [name, written] : tensors) {
    const TensorView read = file.get(name);
    EXPECT_EQ(read.dtype, written.dtype);
    EXPECT_EQ(read.shape, written.shape);
    EXPECT_EQ(text_of(read.bytes), text_of(written.bytes)) << name;
    // The mapping is page-aligned, so this is the alignment in the file.
    EXPECT_EQ(
        reinterpret_cast<std::uintptr_t>(read.bytes.data()) % static_cast<std::size_t>(byte_size(read.dtype)),
        0U);
  }
}

TEST(Safetensors, MetadataAndNamesComeBack) {
  const test::TempDir directory;
  const std::vector<std::byte> bytes = random_bytes(4, 5);
  const TensorFileMetadata metadata = {{"format", "pt"}, {"note", "line\nbreak \"quoted\""}};
  write_safetensors(directory / "a", {{"w", {DType::f32, {1}, bytes}}, {"b", {DType::u8, {4}, bytes}}},
                    metadata);
  const SafetensorsFile file(directory / "a");
  EXPECT_EQ(file.metadata(), metadata);
  EXPECT_THAT(file.names(), ElementsAre("b", "w"));
  EXPECT_TRUE(file.has("w"));
  EXPECT_FALSE(file.has("W"));
}

TEST(Safetensors, AFileWithoutTensorsIsValid) {
  const test::TempDir directory;
  write_safetensors(directory / "a", {});
  EXPECT_EQ(test::read_text(directory / "a"), test::safetensors_file("{}      ", ""));
  EXPECT_TRUE(SafetensorsFile(directory / "a").names().empty());
}

/// Goldens of the official writer; the digest over names and bytes in the order of names was computed by Python.
TEST(Safetensors, ReadsWhatTheOfficialWriterWrote) {
  const SafetensorsFile file(test::data_path("goldens/qwen2_vl/model/model-00001-of-00002.safetensors"));
  EXPECT_EQ(file.metadata(), (TensorFileMetadata{{"format", "pt"}}));
  Sha256 digest;
  for (const std::string& name : file.names()) {
    digest.update(name);
    digest.update(file.get(name).bytes);
  }
  EXPECT_EQ(digest.hex(), "d35b2e13d62e79bac1dedcaa821c301d5a201516284c69cd62924df08cf545a7");
  EXPECT_EQ(file.get("model.embed_tokens.weight").shape, (std::vector<std::int64_t>{672, 64}));
}

TEST(Safetensors, AnAbsentTensorIsNamedWithItsNearest) {
  const test::TempDir directory;
  const std::vector<std::byte> bytes = random_bytes(4, 5);
  write_safetensors(directory / "a", {{"layers.0.weight", {DType::f32, {1}, bytes}}});
  const SafetensorsFile file(directory / "a");
  EXPECT_EQ(thrown([&] { file.get("layer.0.weight"); }),
            cat("input: ", (directory / "a").string(),
                ": no tensor 'layer.0.weight'; did you mean 'layers.0.weight'?"));
}

TEST(SafetensorsWriter, TakesTensorsInPieces) {
  const test::TempDir directory;
  const std::vector<std::byte> bytes = random_bytes(12, 3);
  const std::span<const std::byte> all(bytes);
  SafetensorsWriter writer(
      directory / "a",
      {{"b", DType::u8, {2}}, {"none", DType::f32, {0}}, {"w", DType::i32, {2}}, {"c", DType::u8, {2}}});
  std::vector<std::string> order;
  for (const TensorPlan& tensor : writer.plan()) order.push_back(tensor.name);
  EXPECT_THAT(order, ElementsAre("none", "w", "b", "c"));
  writer.append("w", all.subspan(0, 3));
  writer.append("w", {});
  writer.append("w", all.subspan(3, 5));
  writer.append("b", all.subspan(8, 2));
  writer.append("c", all.subspan(10, 2));
  const std::string digest = writer.finish();
  EXPECT_EQ(digest, sha256_file(directory / "a"));
  const SafetensorsFile file(directory / "a");
  EXPECT_EQ(text_of(file.get("w").bytes), text_of(all.subspan(0, 8)));
  EXPECT_EQ(text_of(file.get("c").bytes), text_of(all.subspan(10, 2)));
  EXPECT_EQ(file.get("none").shape, (std::vector<std::int64_t>{0}));
}

TEST(SafetensorsWriter, TheSameTensorsGiveTheSameBytes) {
  const test::TempDir directory;
  const std::vector<std::byte> bytes = random_bytes(4, 5);
  const std::map<std::string, TensorView> tensors = {{"w", {DType::f32, {1}, bytes}},
                                                     {"b", {DType::u8, {4}, bytes}}};
  EXPECT_EQ(write_safetensors(directory / "a", tensors), write_safetensors(directory / "b", tensors));
}

TEST(SafetensorsWriter, RefusesWhatIsNotThePlan) {
  const test::TempDir directory;
  const std::string a = (directory / "a").string();
  const std::vector<std::byte> bytes = random_bytes(8, 3);
  const auto writer = [&](std::vector<TensorPlan> plan) {
    return SafetensorsWriter(directory / "a", std::move(plan));
  };
  const std::vector<TensorPlan> two = {{"x", DType::u8, {4}}, {"y", DType::u8, {4}}};
  const std::span<const std::byte> four = std::span<const std::byte>(bytes).first(4);

  EXPECT_EQ(thrown([&] { writer(two).append("y", four); }),
            cat("internal: ", a, ": expected 4 more bytes of tensor 'x', got tensor 'y'"));
  EXPECT_EQ(thrown([&] { writer(two).append("x", bytes); }),
            cat("internal: ", a, ": tensor 'x': got 8 bytes, expected at most 4 more"));
  EXPECT_EQ(thrown([&] { writer(two).append("z", {}); }),
            cat("internal: ", a, ": expected 4 more bytes of tensor 'x', got tensor 'z'"));
  EXPECT_EQ(thrown([&] {
              SafetensorsWriter half = writer(two);
              half.append("x", four);
              half.append("y", four);
              half.append("x", four);
            }),
            cat("internal: ", a, ": tensor 'x' after the last of the plan, or twice"));
  EXPECT_EQ(thrown([&] {
              SafetensorsWriter half = writer(two);
              half.append("x", four);
              half.finish();
            }),
            cat("internal: ", a, ": 4 bytes of the last tensor are missing"));
  EXPECT_EQ(thrown([&] { writer(two).finish(); }),
            cat("internal: ", a, ": expected 4 more bytes of tensor 'x', got tensor 'y'"));
  EXPECT_EQ(thrown([&] { writer({{"x", DType::u8, {}}, {"x", DType::u8, {}}}); }),
            cat("internal: ", a, ": tensor 'x' is planned twice"));
  EXPECT_EQ(thrown([&] { writer({{"", DType::u8, {}}}); }),
            cat("internal: ", a, ": no tensor can be called ''"));
  EXPECT_EQ(thrown([&] { writer({{"__metadata__", DType::u8, {}}}); }),
            cat("internal: ", a, ": no tensor can be called '__metadata__'"));
  EXPECT_EQ(thrown([&] { writer({{"x", DType::f64, {INT64_MAX}}}); }),
            "internal: safetensors: tensor 'x': bad shape [9223372036854775807]");
  EXPECT_EQ(thrown([&] { writer({{"x\xFF", DType::u8, {}}}); }),
            cat("input: ", a, ": a tensor's name or the metadata is not UTF-8"));
  EXPECT_FALSE(std::filesystem::exists(directory / "a"));
}

TEST(SafetensorsWriter, AKilledRunLeavesNothingUnderTheNameAndTheNextOneSucceeds) {
  const test::TempDir directory;
  const std::vector<std::byte> bytes = random_bytes(std::size_t{3} << 20, 3);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    SafetensorsWriter writer(directory / "a", {{"x", DType::u8, {6 << 20}}});
    writer.append("x", bytes);  // half of it
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_FALSE(std::filesystem::exists(directory / "a"));
  EXPECT_TRUE(std::filesystem::exists(directory / "a.partial"));
  write_safetensors(directory / "a", {{"x", {DType::u8, {3 << 20}, bytes}}});
  EXPECT_EQ(text_of(SafetensorsFile(directory / "a").get("x").bytes), text_of(bytes));
  EXPECT_FALSE(std::filesystem::exists(directory / "a.partial"));
}

TEST(SafetensorsWriter, AnUnfinishedFileKeepsTheOldOne) {
  const test::TempDir directory;
  test::write_text(directory / "a", "old");
  {
    SafetensorsWriter writer(directory / "a", {{"x", DType::u8, {1}}});
    writer.append("x", random_bytes(1, 1));
  }
  EXPECT_EQ(test::read_text(directory / "a"), "old");
}

}  // namespace
}  // namespace mquant
