#include "support/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>
#include <utility>

#include "mquant/error.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant {
namespace {

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

TEST(MappedFile, ShowsTheBytesOfTheFile) {
  const test::TempDir directory;
  test::write_text(directory / "a", "some bytes");
  const MappedFile file(directory / "a");
  EXPECT_EQ(text_of(file), "some bytes");
  EXPECT_EQ(file.path(), directory / "a");
}

TEST(MappedFile, AnEmptyFileIsFine) {
  const test::TempDir directory;
  test::write_text(directory / "empty", "");
  EXPECT_TRUE(MappedFile(directory / "empty").bytes().empty());
}

TEST(MappedFile, MovesAlongWithItsMapping) {
  const test::TempDir directory;
  test::write_text(directory / "a", "first");
  test::write_text(directory / "b", "second");
  MappedFile a(directory / "a");
  MappedFile b(std::move(a));
  EXPECT_EQ(text_of(b), "first");
  b = MappedFile(directory / "b");
  EXPECT_EQ(text_of(b), "second");
}

TEST(MappedFile, RefusesWhatIsNotARegularFile) {
  const test::TempDir directory;
  ASSERT_EQ(mkfifo((directory / "pipe").c_str(), 0600), 0);
  for (const std::filesystem::path& path : {directory / "absent", directory.path(), directory / "pipe"}) {
    try {
      const MappedFile file(path);
      FAIL() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input);
      EXPECT_THAT(error.what(), testing::HasSubstr(path.string()));
    }
  }
}

}  // namespace
}  // namespace mquant
