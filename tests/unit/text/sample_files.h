// Sample files of a test, and what reading them gives.
#pragma once

#include <gtest/gtest.h>

#include "mquant/error.h"
#include "mquant/sample.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant {

inline constexpr const char* kLong =
    R"({"id": "x", "kind": "count", "answer": "2", "source": "web", "messages": [{"role": "system", "content": "Be brief."},)"
    R"( {"role": "user", "content": [{"type": "image", "image": "a.png"}, {"type": "text", "text": "How many?"},)"
    R"( {"type": "image", "image": "sub/b.png"}]}]})";
inline constexpr const char* kShort = R"({"image": "a.png", "prompt": "Who?", "answer": "I"})";

class SampleFiles : public testing::Test {
 protected:
  SampleFiles() {
    test::write_text(folder_ / "a.png", "picture a");
    test::write_text(folder_ / "sub/b.png", "picture b");
  }

  std::vector<Sample> read(const std::string& text, std::int64_t limit = 0) {
    std::filesystem::remove(folder_ / "s.jsonl");  // some file systems flush a file that is overwritten
    test::write_text(folder_ / "s.jsonl", text);
    return read_samples(folder_ / "s.jsonl", limit);
  }

  std::string digest(const std::string& line) { return read(line).at(0).digest; }

  std::string complaint(const std::string& text, ErrorKind kind = ErrorKind::input) {
    try {
      read(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      return error.what();
    }
    return "no error";
  }

  test::TempDir folder_;
};

}  // namespace mquant
