#include "io/pytorch_bin.h"

#include <caffe2/serialize/inline_container.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mquant/config.h"
#include "support/rng.h"
#include "support/sha256.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/io/tensors.h"

namespace mquant {
namespace {

using test::Pickle;
using test::text_of;
using test::thrown;
using testing::HasSubstr;

struct Record {
  std::string name, bytes;
  bool compressed = false;
};

/// A checkpoint with those records, as torch.save lays them out.
void write_archive(const std::filesystem::path& path, const std::vector<Record>& records) {
  caffe2::serialize::PyTorchStreamWriter writer(path.string());
  for (const Record& record : records) {
    writer.writeRecord(record.name, record.bytes.data(), record.bytes.size(), record.compressed);
  }
  writer.writeEndOfFile();
}

/// {"t": 3 x 2, seen transposed; "row": its second row; "none": nothing}, all of one U8 storage.
std::string views_pickle() {
  return Pickle()
      .raw("}(")
      .text("t")
      .tensor("ByteStorage", "0", 6, 0, {2, 3}, {1, 2})
      .text("row")
      .tensor("ByteStorage", "0", 6, 2, {2}, {1})
      .text("none")
      .tensor("ByteStorage", "0", 6, 0, {0, 4}, {4, 1})
      .text("lone")
      .tensor("ByteStorage", "0", 6, 5, {1, 1}, {INT32_MAX, INT32_MAX})
      .raw("u")
      .done();
}

/// The message of opening an archive with those records, without "input: <path>: ".
std::string error(const std::vector<Record>& records) {
  const test::TempDir directory;
  write_archive(directory / "f.bin", records);
  const std::string prefix = cat("input: ", (directory / "f.bin").string(), ": ");
  const std::string message = thrown([&] { open_pytorch_bin(directory / "f.bin"); });
  return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
}

/// Shards of torch.save; types, shapes and digests were computed by Python's own zipfile and pickle.
TEST(PytorchBin, ReadsWhatPytorchWrote) {
  const std::filesystem::path folder = test::data_path("goldens/qwen_vl_bin");
  const Config digests = Config::open(folder / "digests.json");
  int tensors = 0;
  for (const char* shard : {"pytorch_model-00001-of-00004", "pytorch_model-00002-of-00004"}) {
    const auto file = open_pytorch_bin(folder / cat(shard, ".bin"));
    for (const std::string& name : file->names()) {
      const TensorView view = file->get(name);
      std::string expected = digests.raw("");  // names have dots, which Config's paths do not allow
      const auto at = expected.find(cat('"', name, "\":"));
      ASSERT_NE(at, expected.npos) << name;
      expected = expected.substr(at, expected.find('}', at) - at);
      EXPECT_THAT(expected, HasSubstr(sha256_hex(view.bytes))) << name;
      EXPECT_THAT(expected, HasSubstr(cat("\"dtype\":\"", dtype_name(view.dtype), '"'))) << name;
      std::string shape;
      for (const std::int64_t size : view.shape) shape += cat(shape.empty() ? "" : ",", size);
      EXPECT_THAT(expected, HasSubstr(cat("\"shape\":[", shape, "]"))) << name;
      ++tensors;
    }
  }
  EXPECT_EQ(tensors, 20);
}

TEST(PytorchBin, ViewsOfAStorageComeOutRowByRow) {
  const test::TempDir directory;
  write_archive(directory / "f.bin",
                {{"data.pkl", views_pickle()}, {"byteorder", "little"}, {"data/0", "abcdef"}});
  const auto file = open_pytorch_bin(directory / "f.bin");
  EXPECT_THAT(file->names(), testing::ElementsAre("lone", "none", "row", "t"));
  EXPECT_EQ(file->get("t").shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(text_of(file->get("t").bytes), "acebdf");
  EXPECT_EQ(file->get("t").bytes.data(), file->get("t").bytes.data());  // one copy, kept
  EXPECT_EQ(text_of(file->get("row").bytes), "cd");
  EXPECT_EQ(text_of(file->get("none").bytes), "");
  EXPECT_EQ(text_of(file->get("lone").bytes), "f");
  EXPECT_EQ(thrown([&] { file->get("rows"); }),
            cat("input: ", (directory / "f.bin").string(), ": no tensor 'rows'; did you mean 'row'?"));
}

TEST(PytorchBin, AStridedCopyIsThatOfANaiveLoop) {
  const test::TempDir directory;
  std::string storage;
  for (int i = 0; i < 200; ++i) storage += static_cast<char>(i);
  write_archive(directory / "f.bin",
                {{"data.pkl", Pickle()
                                  .raw("}")
                                  .text("w")
                                  .tensor("ShortStorage", "0", 100, 3, {2, 1, 3, 4}, {2, 90, 24, 6})
                                  .raw("s")
                                  .done()},
                 {"data/0", storage}});
  std::string expected;
  for (int a = 0; a < 2; ++a) {
    for (int b = 0; b < 3; ++b) {
      for (int c = 0; c < 4; ++c)
        expected += storage.substr(2 * static_cast<std::size_t>(3 + 2 * a + 24 * b + 6 * c), 2);
    }
  }
  EXPECT_EQ(text_of(open_pytorch_bin(directory / "f.bin")->get("w").bytes), expected);
}

TEST(PytorchBin, ACheckpointFindsItsBinShards) {
  const test::TempDir directory;
  write_archive(directory / "pytorch_model.bin", {{"data.pkl", views_pickle()}, {"data/0", "abcdef"}});
  const Checkpoint checkpoint = Checkpoint::open(directory.path(), open_pytorch_bin);
  EXPECT_EQ(text_of(checkpoint.get("row").bytes), "cd");
}

TEST(PytorchBin, RunsNoCodeOfAFile) {
  const test::TempDir directory;
  const std::string command = cat("touch ", (directory / "owned").string());
  EXPECT_EQ(error({{"data.pkl", Pickle().global("posix", "system").raw("(").text(command).raw("tR").done()}}),
            "pickle, byte 2: it names 'posix.system', which no state_dict needs; nothing of a checkpoint is "
            "ever run");
  EXPECT_FALSE(std::filesystem::exists(directory / "owned"));
}

TEST(PytorchBin, BrokenArchivesAreRefusedWithTheirCause) {
  const Record pickle = {"data.pkl", views_pickle()};
  EXPECT_EQ(error({{"other", "x"}}), "not a PyTorch checkpoint: no data.pkl in it");
  EXPECT_EQ(error({pickle}), "tensor 'lone': no record data/0 in the archive");
  EXPECT_EQ(error({pickle, {"data/0", "abc"}}),
            "tensor 'lone': its storage should have 6 bytes, but the archive has 3");
  EXPECT_EQ(error({pickle, {"data/0", std::string(1000, 'a'), true}}),
            "record f/data/0 is compressed, as PyTorch never does");
  EXPECT_EQ(error({pickle, {"data/0", "abcdef"}, {"unread", std::string(1000, 'a'), true}}),
            "record f/unread is compressed, as PyTorch never does");
  EXPECT_THAT(error({pickle, {"byteorder", "big"}, {"data/0", "abcdef"}}),
              HasSubstr("its numbers are big-endian; convert it to safetensors"));
  EXPECT_EQ(error({{"data.pkl", std::string((16 << 20) + 1, '.')}}),
            "data.pkl: expected at most 16.0 MiB, found 16.0 MiB");
  EXPECT_EQ(error({{"data.pkl", Pickle().number(1).done()}}), "not a state_dict: the whole is no dictionary");
}

TEST(PytorchBin, OtherFilesAreToldApart) {
  const test::TempDir directory;
  const std::string f = (directory / "f").string();
  const auto of = [&](std::string_view bytes) {
    test::write_text(directory / "f", bytes);
    return thrown([&] { open_pytorch_bin(directory / "f"); });
  };
  EXPECT_EQ(of(std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15)),
            cat("unsupported: ", f,
                ": written in PyTorch's format before 1.6; load it there and torch.save it again, or ",
                "convert it to safetensors"));
  EXPECT_EQ(of("hello"), cat("input: ", f, ": not a PyTorch checkpoint: expected a zip archive"));
  EXPECT_EQ(of(""), cat("input: ", f, ": not a PyTorch checkpoint: expected a zip archive"));
  EXPECT_EQ(of("version https://git-lfs.github.com/spec/v1\n"),
            cat("input: ", f, ": this is a Git LFS pointer, not the file itself; run 'git lfs pull' there"));
  EXPECT_EQ(thrown([&] { open_pytorch_bin(directory / "none"); }),
            cat("input: cannot open '", (directory / "none").string(), "': No such file or directory"));
}

TEST(PytorchBin, ATruncatedDownloadSaysSo) {
  const test::TempDir directory;
  const std::string whole =
      test::read_text(test::data_path("goldens/qwen_vl_bin/pytorch_model-00001-of-00004.bin"));
  test::write_text(directory / "f", whole.substr(0, whole.size() / 2));
  const std::string message = thrown([&] { open_pytorch_bin(directory / "f"); });
  EXPECT_THAT(message,
              testing::StartsWith(cat("input: ", (directory / "f").string(), ": a broken zip archive: ")));
  EXPECT_THAT(message, testing::EndsWith("; the download may be incomplete"));
  EXPECT_EQ(message.find('\n'), message.npos);
}

TEST(PytorchBin, MutationsAreReadOrRefused) {
  const test::TempDir directory;
  write_archive(directory / "good",
                {{"data.pkl", views_pickle()}, {"byteorder", "little"}, {"data/0", "abcdef"}});
  const std::string good = test::read_text(directory / "good");
  Rng rng(5);
  int read = 0, refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string changed = good;
    for (std::uint64_t flips = 1 + rng.next() % 3; flips > 0; --flips) {
      changed[rng.next() % changed.size()] = static_cast<char>(rng.next());
    }
    if (i % 10 == 0) changed.resize(rng.next() % changed.size());
    test::write_text(directory / "f", changed);
    try {
      const auto file = open_pytorch_bin(directory / "f");
      for (const std::string& name : file->names()) sha256_hex(file->get(name).bytes);  // touches every byte
      ++read;
    } catch (const Error& error) {
      EXPECT_TRUE(error.kind() == ErrorKind::input || error.kind() == ErrorKind::unsupported) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(read, 100);
  EXPECT_GT(refused, 500);
}

}  // namespace
}  // namespace mquant
