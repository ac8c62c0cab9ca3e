#include "support/sha256.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mquant/error.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant {
namespace {

// FIPS 180-2, appendix B.
constexpr const char* kOfAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kOfNothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr const char* kOfAMillionA = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

TEST(Sha256, GivesThePublishedDigests) {
  EXPECT_EQ(sha256_hex("abc"), kOfAbc);
  EXPECT_EQ(sha256_hex(""), kOfNothing);
}

TEST(Sha256, PiecesCountAsOne) {
  Sha256 sha;
  EXPECT_EQ(sha.hex(), kOfNothing);
  sha.update("a");
  sha.update("");
  sha.update("bc");
  EXPECT_EQ(sha.hex(), kOfAbc);
  EXPECT_EQ(sha.hex(), kOfAbc);  // asking changes nothing
}

TEST(Sha256, OfAFileLongerThanOnePiece) {
  const test::TempDir directory;
  test::write_text(directory / "a", std::string(1000000, 'a'));
  EXPECT_EQ(sha256_file(directory / "a"), kOfAMillionA);
  test::write_text(directory / "long", std::string((std::size_t{1} << 20) * 2, 'a'));
  EXPECT_EQ(sha256_file(directory / "long"), sha256_hex(std::string((std::size_t{1} << 20) * 2, 'a')));
  test::write_text(directory / "empty", "");
  EXPECT_EQ(sha256_file(directory / "empty"), kOfNothing);
}

TEST(Sha256, NamesTheFileThatItCannotRead) {
  const test::TempDir directory;
  for (const std::filesystem::path& path : {directory / "absent", directory.path()}) {
    try {
      sha256_file(path);
      FAIL() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input);
      EXPECT_THAT(error.what(), testing::HasSubstr(path.string()));
    }
  }
}

}  // namespace
}  // namespace mquant
