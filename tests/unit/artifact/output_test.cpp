// Where an artifact is written, what may be replaced, and which files of the model go with it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <functional>

#include "artifact/sidecars.h"
#include "mquant/artifact.h"
#include "mquant/error.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/artifact/made_up_model.h"

namespace mquant {
namespace {
namespace fs = std::filesystem;
using test::Contents;
using test::MadeUp;
using testing::HasSubstr;

TEST(ArtifactOutput, IsReplacedOnlyIfOursAndAskedFor) {
  MadeUp made(Contents::plain);
  const fs::path out = made.directory() / "out";
  test::write_text(out / "letter.txt", "dear");
  EXPECT_THROW(write_artifact(made.input(), "mquant", out, true), Error);
  EXPECT_EQ(test::read_text(out / "letter.txt"), "dear");
  fs::remove_all(out);
  write_artifact(made.input(), "mquant", out, false);
  EXPECT_THROW(write_artifact(made.input(), "mquant", out, false), Error);
  test::write_text(out / "letter.txt", "dear");  // beside the files of the artifact
  EXPECT_THROW(write_artifact(made.input(), "compressed-tensors", out, true), Error);
  EXPECT_EQ(test::read_text(out / "letter.txt"), "dear");
  fs::remove(out / "letter.txt");
  write_artifact(made.input(), "compressed-tensors", out, true);
  EXPECT_TRUE(verify_artifact(out, made.model()).problems.empty());
}

TEST(ArtifactOutput, FailureLeavesNothing) {
  MadeUp made(Contents::plain);
  test::write_text(made.directory() / "source" / "config.json", "{");
  EXPECT_THROW(write_artifact(made.input(), "mquant", made.directory() / "out", false), Error);
  EXPECT_FALSE(fs::exists(made.directory() / "out"));
  EXPECT_FALSE(fs::exists(made.directory() / ".out.partial"));
}

TEST(ArtifactOutput, WhatAKilledExportLeftIsRemoved) {
  MadeUp made(Contents::plain);
  test::write_text(made.directory() / ".out.partial" / "model-00001.safetensors", "half");
  test::write_text(made.directory() / ".out.partial" / ".mquant-partial", "");
  write_artifact(made.input(), "mquant", made.directory() / "out", false);
  EXPECT_TRUE(verify_artifact(made.directory() / "out", made.model()).problems.empty());
  EXPECT_FALSE(fs::exists(made.directory() / ".out.partial"));
}

TEST(ArtifactOutput, WhatOthersCallAsItsPartialDirectoryStays) {
  MadeUp made(Contents::plain);
  const fs::path letter = made.directory() / ".out.partial" / "letter.txt";
  test::write_text(letter, "dear");
  EXPECT_THROW(write_artifact(made.input(), "mquant", made.directory() / "out", false), Error);
  EXPECT_EQ(test::read_text(letter), "dear");
}

TEST(ArtifactOutput, EmptyDirectoriesAndLinksToThemAreFilled) {
  MadeUp made(Contents::plain);
  fs::create_directories(made.directory() / "disk" / "empty");
  fs::create_directory_symlink("disk/empty", made.directory() / "link");
  write_artifact(made.input(), "mquant", made.directory() / "link", false);
  EXPECT_TRUE(fs::is_symlink(made.directory() / "link"));
  EXPECT_TRUE(verify_artifact(made.directory() / "disk" / "empty", made.model()).problems.empty());
  write_artifact(made.input(), "compressed-tensors", made.directory() / "link" / "", true);
  EXPECT_TRUE(verify_artifact(made.directory() / "link", made.model()).problems.empty());
  fs::create_directory_symlink("nowhere", made.directory() / "dangling");
  EXPECT_THROW(write_artifact(made.input(), "mquant", made.directory() / "dangling", false), Error);
}

/// A mount point of this machine that is an empty directory, or "".
fs::path empty_mount_point() {
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string id, parent, device, root, point, rest;
       mounts >> id >> parent >> device >> root >> point && std::getline(mounts, rest);) {
    std::error_code error;
    if (fs::is_directory(point, error) && fs::is_empty(point, error) && !error) return point;
  }
  return {};
}

TEST(ArtifactOutput, WhatTheRenameWouldRefuseIsToldBeforeTheWork) {
  const auto error = [](const fs::path& output) {
    try {
      expect_output(output, false);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::usage) << e.what();
      return std::string(e.what());
    }
    return std::string("fine");
  };
  const test::TempDir temp;
  EXPECT_EQ(error(temp / std::string(240, 'n')), "fine");
  for (const fs::path& around : {temp.path(), temp / "new"})  // ".NAME.partial" has more than 255 bytes
    EXPECT_THAT(error(around / std::string(250, 'n')), HasSubstr("give a shorter one"));
  test::write_text(temp / ".out.partial" / "letter.txt", "dear");
  EXPECT_THAT(error(temp / "out"), HasSubstr("is not left over from mquant"));
  test::write_text(temp / "file", "");
  EXPECT_THAT(error(temp / "file" / "out"), HasSubstr("is not a directory"));
  EXPECT_EQ(std::distance(fs::directory_iterator(temp.path()), {}), 2) << "a check left something behind";
}

TEST(ArtifactOutput, AMountPointIsToldBeforeTheWork) {
  const fs::path mount = empty_mount_point();
  if (mount.empty()) GTEST_SKIP() << "this machine has no empty mount point";
  try {
    expect_output(mount, false);
    ADD_FAILURE() << mount;
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("is a mount point"));
  }
}

TEST(ArtifactOutput, ALinkThatLeadsNowhereIsToldForArtifactsAndCalibrations) {
  const test::TempDir directory;
  fs::create_symlink("nothing", directory / "dead");
  fs::create_symlink("loop", directory / "loop");
  for (const char* name : {"dead", "loop"})
    for (const auto& expect :
         {std::function([](const fs::path& path) { expect_output(path, true); }),
          std::function([](const fs::path& path) { CalibrationStore::expect_new(path); })})
      try {
        expect(directory / name);
        ADD_FAILURE() << name;
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::usage) << error.what();
        EXPECT_THAT(error.what(), HasSubstr("is a link that leads nowhere"));
      }
}

TEST(ArtifactOutput, AnEmptyDirectoryIsReplacedSoTheOneAroundItMustBeWritable) {
  const test::TempDir temp;
  const fs::perms readable = fs::perms(0555);
  fs::create_directories(temp / "around" / "out");
  fs::permissions(temp / "around" / "out", fs::perms::all);
  fs::permissions(temp / "around", readable);
  fs::permissions(temp.path(), readable);
  const bool root = geteuid() == 0;  // may write everywhere
  ASSERT_TRUE(!root || seteuid(65534) == 0);
  try {
    expect_output(temp / "around" / "out", false);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::resources) << error.what();
    EXPECT_THAT(error.what(), HasSubstr("around': Permission denied"));
  }
  ASSERT_TRUE(!root || seteuid(0) == 0);
  for (const fs::path& path : {temp.path(), temp / "around"}) fs::permissions(path, fs::perms::owner_all);
}

// A link of a downloaded model may name any file of this machine; its text must not go where the artifact goes.
TEST(ArtifactSidecars, LinksAreFollowedBelowTheModelAndIntoTheCacheOnly) {
  MadeUp made(Contents::plain);
  const fs::path source = made.directory() / "source", digest = std::string(40, 'a');
  test::write_text(made.directory() / "id_rsa", "secret");
  test::write_text(made.directory() / "models--a--b" / "blobs" / digest, "cached");
  test::write_text(made.directory() / "blobs" / digest, "secret");
  test::write_text(source / "texts" / "licence", "free");
  fs::create_symlink("../id_rsa", source / "notes.txt");
  fs::create_symlink(fs::path("../blobs") / digest, source / "blob.txt");
  fs::create_symlink("../models--a--b/blobs/" + digest.string(), source / "merges.txt");
  fs::create_symlink("texts/licence", source / "LICENSE");
  fs::create_symlink("nowhere", source / "dangling.txt");
  write_artifact(made.input(), "mquant", made.directory() / "out", false);
  EXPECT_FALSE(fs::exists(made.directory() / "out" / "notes.txt"));
  EXPECT_FALSE(fs::exists(made.directory() / "out" / "blob.txt"));
  EXPECT_EQ(test::read_text(made.directory() / "out" / "merges.txt"), "cached");
  EXPECT_EQ(test::read_text(made.directory() / "out" / "LICENSE"), "free");
}

TEST(ArtifactSidecars, WhatIsNotCopiedHasAReason) {
  MadeUp made(Contents::plain);
  const fs::path source = made.directory() / "source";
  fs::create_symlink("nowhere", source / "dangling.txt");
  fs::create_symlink("/etc/hostname", source / "elsewhere.txt");
  test::write_text(source / "\xff.txt", "named in another encoding");
  const Sidecars sidecars = sidecars_of(*made.input().source);
  EXPECT_THAT(
      sidecars.left_out,
      testing::UnorderedElementsAre(testing::Pair("dangling.txt", HasSubstr("leads nowhere")),
                                    testing::Pair("elsewhere.txt", HasSubstr("out of the model's directory")),
                                    testing::Pair("\xff.txt", HasSubstr("not UTF-8"))));
  for (const auto& [name, reason] : sidecars.left_out) EXPECT_FALSE(sidecars.copied.contains(name)) << reason;
}

TEST(ArtifactSidecars, ASnapshotMayLinkIntoTheBlobsBesideItsSnapshots) {
  const test::TempDir cache;
  const fs::path snapshot = cache.path() / "snapshots" / "main";
  test::write_text(cache.path() / "blobs" / "tag", "cached");
  test::write_text(cache.path() / "snapshots" / "blobs" / "tag", "secret");
  fs::create_directories(snapshot);
  fs::create_symlink("../../blobs/tag", snapshot / "tokenizer.json");
  fs::create_symlink("../blobs/tag", snapshot / "notes.txt");
  EXPECT_TRUE(belongs_to(snapshot / "tokenizer.json", snapshot));
  EXPECT_FALSE(belongs_to(snapshot / "notes.txt", snapshot));
}

}  // namespace
}  // namespace mquant
