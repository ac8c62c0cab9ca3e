#include "support/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "mquant/error.h"
#include "support/work_inputs.h"
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

/// Resident pages of files, on disks and in memory, in bytes.
std::int64_t resident_files() {
  std::ifstream status("/proc/self/status");
  std::int64_t bytes = 0;
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("RssFile:") || line.starts_with("RssShmem:"))
      bytes += 1024 * std::stoll(line.substr(line.find(':') + 1));
  return bytes;
}

TEST(MappedFile, ForgottenPagesAreNoMemoryAndReadAgain) {
  constexpr std::int64_t kSize = 64 << 20;
  const test::TempDir directory;
  test::write_text(directory / "large", std::string(kSize, 'x') + "end");
  const MappedFile file(directory / "large");
  ASSERT_EQ(std::ranges::count(file.bytes(), std::byte{'x'}), kSize);
  const std::int64_t before = resident_files();
  forget_mapped_pages();
  EXPECT_LT(resident_files(), before - kSize / 2);
  EXPECT_TRUE(text_of(file).ends_with("xend"));
}

TEST(WorkInputs, HoldWhatIsMappedWhileTheyLive) {
  const test::TempDir directory;
  for (const char* name : {"a", "b", "c"}) test::write_text(directory / name, "x");
  const MappedFile before(directory / "a");
  const WorkInputs read;
  EXPECT_TRUE(read.files().empty());
  for (const char* name : {"c", "b", "c"}) const MappedFile file(directory / name);
  const WorkInputs later;
  EXPECT_THROW(MappedFile(directory / "absent"), Error);
  EXPECT_EQ(read.files(), (std::vector<std::filesystem::path>{directory / "b", directory / "c"}));
  EXPECT_TRUE(later.files().empty());
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

/// The last byte of a file that shrinks to nothing once it is mapped.
void read_lost_page(const std::filesystem::path& path) {
  const MappedFile other(path), file(path);
  std::filesystem::resize_file(path, 0);
  const volatile std::byte* const last = &file.bytes().back();
  static_cast<void>(*last);
}

TEST(MappedFileDeathTest, AFileThatShrinksEndsTheProcessWithItsName) {
  const test::TempDir directory;
  const std::filesystem::path path = directory / "new\nline";
  test::write_text(path, std::string(100'000, 'x'));
  EXPECT_EXIT((install_lost_file_handler(), read_lost_page(path)),
              testing::ExitedWithCode(static_cast<int>(ErrorKind::input)),
              "mquant: error: '.*new.x0aline' was made shorter while it was in use");
}

TEST(MappedFileDeathTest, OtherBusErrorsEndItAsEver) {
  EXPECT_EXIT((install_lost_file_handler(), raise(SIGBUS)), testing::KilledBySignal(SIGBUS), "^$");
}

}  // namespace
}  // namespace mquant
