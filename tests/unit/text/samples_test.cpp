// Files of chat samples: both forms, digests, and errors that name the line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mquant/error.h"
#include "mquant/sample.h"
#include "support/rng.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant {
namespace {

using testing::HasSubstr;
using Kind = ContentPart::Kind;

constexpr const char* kLong =
    R"({"id": "x", "kind": "count", "answer": "2", "source": "web", "messages": [{"role": "system", "content": "Be brief."},)"
    R"( {"role": "user", "content": [{"type": "image", "image": "a.png"}, {"type": "text", "text": "How many?"},)"
    R"( {"type": "image", "image": "sub/b.png"}]}]})";
constexpr const char* kShort = R"({"image": "a.png", "prompt": "Who?", "answer": "I"})";

class Samples : public testing::Test {
 protected:
  Samples() {
    test::write_text(folder_ / "a.png", "picture a");
    test::write_text(folder_ / "sub/b.png", "picture b");
  }

  std::vector<Sample> read(const std::string& text, std::int64_t limit = 0) {
    std::filesystem::remove(folder_ / "s.jsonl");  // some file systems flush a file that is overwritten
    test::write_text(folder_ / "s.jsonl", text);
    return read_samples(folder_ / "s.jsonl", limit);
  }

  std::string digest(const std::string& line) { return read(line).at(0).digest; }

  std::string complaint(const std::string& text) {
    try {
      read(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input) << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      return error.what();
    }
    return "no error";
  }

  test::TempDir folder_;
};

TEST_F(Samples, KeepWhatTheFileSays) {
  const Sample sample = read(kLong).at(0);
  EXPECT_EQ(sample.id, "x");
  EXPECT_EQ(sample.kind, "count");
  EXPECT_EQ(sample.answer, "2");
  ASSERT_EQ(sample.messages.size(), 2U);
  EXPECT_EQ(sample.messages[0].role, "system");
  EXPECT_EQ(sample.messages[0].content.at(0).text, "Be brief.");
  const auto& parts = sample.messages[1].content;
  ASSERT_EQ(parts.size(), 3U);
  EXPECT_EQ(parts[0].kind, Kind::image);
  EXPECT_EQ(parts[1].text, "How many?");
  EXPECT_EQ(parts[2].image_as_written, "sub/b.png");
  EXPECT_EQ(parts[2].image, folder_ / "sub/b.png");
}

TEST_F(Samples, TheShortFormIsAUserMessageWithPicturesFirst) {
  const Sample sample = read(R"({"image": ["a.png", "sub/b.png"], "prompt": "Which?"})").at(0);
  EXPECT_EQ(sample.id, "line-1");
  EXPECT_EQ(sample.answer, std::nullopt);
  ASSERT_EQ(sample.messages.size(), 1U);
  EXPECT_EQ(sample.messages[0].role, "user");
  ASSERT_EQ(sample.messages[0].content.size(), 3U);
  EXPECT_EQ(sample.messages[0].content[1].image_as_written, "sub/b.png");
  EXPECT_EQ(sample.messages[0].content[2].text, "Which?");
}

TEST_F(Samples, ALastMessageOfTheAssistantIsTheAnswer) {
  const Sample sample =
      read(
          R"({"id": 7, "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]})")
          .at(0);
  EXPECT_EQ(sample.id, "7");
  EXPECT_EQ(sample.answer, "Yo");
  EXPECT_EQ(sample.messages.size(), 1U);
  EXPECT_EQ(sample.digest, digest(R"({"prompt": "Hi", "answer": "Yo"})"));
}

TEST_F(Samples, LinesAreCountedWithEmptyOnesAndReadUpToTheLimit) {
  const std::string file = "\xEF\xBB\xBF" + std::string(kShort) + "\r\n\n  \n" + kShort + "\n" + kShort;
  const auto samples = read(file);
  ASSERT_EQ(samples.size(), 3U);
  EXPECT_EQ(samples[1].id, "line-4");
  EXPECT_EQ(samples[2].id, "line-5");
  EXPECT_EQ(read(file + "\nbroken", 3).size(), 3U);
  EXPECT_EQ(read(file, 2).size(), 2U);
  EXPECT_THAT(complaint(file + "\nbroken"), HasSubstr("s.jsonl:6: parse error"));
}

TEST_F(Samples, DigestsAreOfContentNotOfForm) {
  const std::string same =
      R"({"id": "other", "kind": "k", "messages": [{"content": [{"text": "Who?", "type": "text"}], "role": "user"}], "answer": "I"})";
  EXPECT_EQ(digest(R"({"prompt": "Who?", "answer": "I"})"), digest(same));
  EXPECT_EQ(digest(kShort).size(), 64U);
  EXPECT_NE(digest(kShort), digest(same));
  EXPECT_NE(digest(R"({"prompt": "Who?"})"), digest(R"({"prompt": "Who?", "answer": ""})"));
  EXPECT_NE(digest(R"({"prompt": "Who?"})"), digest(R"({"prompt": "Who ?"})"));

  const std::string before = digest(kShort);
  std::filesystem::rename(folder_ / "a.png", folder_ / "renamed.png");
  EXPECT_EQ(digest(R"({"image": "renamed.png", "prompt": "Who?", "answer": "I"})"), before);
  test::write_text(folder_ / "a.png", "another picture");
  EXPECT_NE(digest(kShort), before);
}

TEST_F(Samples, ErrorsNameTheLineAndThePlace) {
  const std::pair<const char*, const char*> cases[] = {
      {"[]", "s.jsonl:2: expected an object"},
      {"{}", "s.jsonl:2: expected 'messages', or 'prompt' and 'image'"},
      {R"({"prompt": 3})", "s.jsonl:2: prompt: expected a text, found 3"},
      {R"({"prompt": "a", "anwser": "b"})", "s.jsonl:2: unknown key 'anwser'; did you mean 'answer'?"},
      {R"({"prompt": "a", "messages": []})", "in one sample"},
      {R"({"prompt": "a", "answer": 3})", "s.jsonl:2: answer: expected a text"},
      {R"({"prompt": "a", "prompt": "b"})", "s.jsonl:2: key 'prompt' is there twice"},
      {R"({"messages": []})", "s.jsonl:2: messages: expected 1 to 1000 items"},
      {R"({"messages": {"role": "user"}})", "messages: expected a list"},
      {R"({"messages": [{"role": "usr", "content": "a"}]})", "messages.0.role: unknown role 'usr'"},
      {R"({"messages": [{"role": "user"}]})", "messages.0: no key 'content'"},
      {R"({"messages": [{"role": "user", "content": []}]})", "messages.0.content: expected 1 to 1000 items"},
      {R"({"messages": [{"role": "user", "content": 1}]})", "messages.0.content: expected a list, found 1"},
      {R"({"messages": [{"role": "user", "content": [{"type": "video", "video": "v"}]}]})",
       "unknown part type 'video'"},
      {R"({"messages": [{"role": "system", "content": "a"}]})", "expected a last message of the user"},
      {R"({"messages": [{"role": "assistant", "content": "a"}]})", "expected a last message of the user"},
      {R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "answer": "c"})",
       "'answer', and a last message of the assistant"},
      {R"({"image": "none.png", "prompt": "a"})", "image: no picture '"},
      {R"({"image": "sub", "prompt": "a"})", "image: no picture '"},
      {R"({"image": "http://x/y.png", "prompt": "a"})", "image: expected the path of a picture, found"},
      {R"({"image": "a.png\u0000.txt", "prompt": "a"})", "image: expected the path of a picture, found"},
      {R"({"image": "", "prompt": "a"})", "image: expected the path of a picture, found"},
      {"{\"prompt\": \"\xFF\"}", "s.jsonl:2: parse error"},
  };
  for (const auto& [line, message] : cases) {
    EXPECT_THAT(complaint(std::string(kShort) + "\n" + line), HasSubstr(message)) << line;
  }
  EXPECT_THAT(complaint("\n \n"), HasSubstr("s.jsonl: no samples"));
  const std::string deep(10000, '[');
  EXPECT_THAT(complaint(deep), HasSubstr("s.jsonl:1: nested more than"));
  const std::string long_line = R"({"prompt": ")" + std::string(17 << 20, 'a') + R"("})";
  EXPECT_THAT(complaint(long_line), HasSubstr("s.jsonl:1: expected at most 16.0 MiB a line"));
}

TEST_F(Samples, ToolsAndCallsKeepTheOrderOfTheirKeysAndEnterTheDigest) {
  const std::string tool =
      R"({"type": "function", "function": {"name": "f", "arguments": {"b": 1.50, "a": 1e2}}})";
  const auto line = [&](const std::string& tools, const std::string& call) {
    return R"({"t\u006fols": [)" + tools + R"(], "messages": [{"role": "user", "content": "x"}, )" +
           R"({"role": "assistant", "content": null, "tool_calls": [)" + call +
           R"(], "name": null}, {"role": "tool", "tool_call_id": "7", "content": "y"}]})";
  };
  const Sample sample = read(line(tool, tool)).at(0);
  EXPECT_EQ(sample.tools, "[" + tool + "]");
  ASSERT_EQ(sample.messages.size(), 3U);
  EXPECT_EQ(sample.messages[0].fields, "");
  EXPECT_EQ(sample.messages[1].fields, R"({"tool_calls": [)" + tool + "]}");
  EXPECT_EQ(sample.messages[2].role, "tool");
  EXPECT_EQ(sample.messages[2].fields, R"({"tool_call_id": "7"})");
  EXPECT_NE(digest(line(tool, "{}")), sample.digest);
  EXPECT_NE(digest(line("{}", tool)), sample.digest);
  EXPECT_THAT(complaint(R"({"prompt": "a", "tools": {}})"), HasSubstr("tools: expected a list of tools"));
}

TEST_F(Samples, MutatedLinesGiveErrorsOrSamples) {
  Rng rng(1);
  int read_well = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string line = i % 2 ? kLong : kShort;
    for (auto n = 1 + rng.next() % 4; n > 0; --n) {
      const std::size_t at = rng.next() % line.size();
      switch (rng.next() % 4) {
        case 0: line[at] = static_cast<char>(rng.next()); break;
        case 1: line.erase(at, rng.next() % 8); break;
        case 2: line.insert(at, line.substr(rng.next() % line.size(), rng.next() % 16)); break;
        default: line[at] = "\"{}[]:,\\u0"[rng.next() % 10]; break;
      }
      if (line.empty()) line = "{";
    }
    try {
      for (const Sample& sample : read(line)) {
        EXPECT_FALSE(sample.messages.empty());
        EXPECT_EQ(sample.messages.back().role, "user");
        ++read_well;
      }
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input) << error.what();
    }
  }
  EXPECT_GT(read_well, 100);
  EXPECT_LT(read_well, 2500);
}

}  // namespace
}  // namespace mquant
