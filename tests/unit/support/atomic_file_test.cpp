#include "support/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <string>

#include "mquant/error.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant {
namespace {

using testing::HasSubstr;

TEST(AtomicFile, AppearsOnCommitAndLeavesNothingBeside) {
  const test::TempDir directory;
  AtomicFile file(directory / "a");
  file.write("one ");
  file.write("two");
  EXPECT_EQ(file.size(), 7U);
  EXPECT_FALSE(std::filesystem::exists(directory / "a"));
  file.commit();
  EXPECT_EQ(test::read_text(directory / "a"), "one two");
  EXPECT_FALSE(std::filesystem::exists(directory / "a.partial"));
}

TEST(AtomicFile, AbandonedItKeepsTheOldFile) {
  const test::TempDir directory;
  write_file_atomically(directory / "a", "old");
  {
    AtomicFile file(directory / "a");
    file.write("new");
  }
  EXPECT_EQ(test::read_text(directory / "a"), "old");
  EXPECT_FALSE(std::filesystem::exists(directory / "a.partial"));
}

TEST(AtomicFile, ReplacesTheOldFileAndAKilledRunsPartialFile) {
  const test::TempDir directory;
  write_file_atomically(directory / "a", "old");
  test::write_text(directory / "a.partial", "left by a run that was killed");
  write_file_atomically(directory / "a", "new");
  EXPECT_EQ(test::read_text(directory / "a"), "new");
}

TEST(AtomicFile, GathersSmallPiecesAndPassesLargeOnes) {
  const test::TempDir directory;
  const std::string large((std::size_t{3} << 20) + 5, 'x');
  AtomicFile file(directory / "a");
  std::string expected;
  for (const std::string& piece : {std::string("head"), large, std::string("tail"), std::string(700000, 'y'),
                                   std::string(700000, 'z')}) {
    file.write(piece);
    expected += piece;
  }
  EXPECT_EQ(file.size(), expected.size());
  file.commit();
  EXPECT_TRUE(test::read_text(directory / "a") == expected);  // too long to print
}

TEST(AtomicFile, OverwritesWhatWasWritten) {
  const test::TempDir directory;
  AtomicFile file(directory / "a");
  file.write("____body");
  file.overwrite(0, std::as_bytes(std::span(std::string_view("head"))));
  file.write("!");
  EXPECT_THROW(file.overwrite(8, std::as_bytes(std::span(std::string_view("xy")))), Error);
  file.commit();
  EXPECT_EQ(test::read_text(directory / "a"), "headbody!");
}

TEST(AtomicFile, TwoWritersOfOneFileAreAnError) {
  const test::TempDir directory;
  AtomicFile first(directory / "a");
  first.write("kept");
  try {
    const AtomicFile second(directory / "a");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::resources);
    EXPECT_THAT(error.what(), HasSubstr("another process"));
  }
  first.commit();
  EXPECT_EQ(test::read_text(directory / "a"), "kept");
}

TEST(AtomicFile, NamesThePathWhereItMayNotWrite) {
  const test::TempDir directory;
  const std::filesystem::path path = directory / "absent/a";
  try {
    const AtomicFile file(path);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::resources);
    EXPECT_THAT(error.what(), HasSubstr(path.string()));
  }
}

TEST(AtomicFile, AFullDiskIsAnErrorThatNamesThePathAndLeavesNoFile) {
  const test::TempDir directory;
  // A limit on the size of files stands in for a full disk: write() fails the same way.
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{.rlim_cur = 1 << 16, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  std::string message;
  try {
    write_file_atomically(directory / "a", std::string(1 << 17, 'x'));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::resources);
    message = error.what();
  }
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_THAT(message, HasSubstr((directory / "a").string()));
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

}  // namespace
}  // namespace mquant
