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
      {R"({"prompt": "a", "messages": [{"role": "user", "content": "b"}]})", "in one sample"},
      {R"({"prompt": "a", "answer": 3})", "s.jsonl:2: answer: expected a text"},
      {R"({"prompt": "a", "prompt": "b"})", "s.jsonl:2: key 'prompt' is there twice"},
      {R"({"messages": []})", "s.jsonl:2: expected 'messages', or 'prompt' and 'image'"},
      {R"({"messages": {"role": "user"}})", "messages: expected a list"},
      {R"({"messages": [{"role": "usr", "content": "a"}]})", "messages.0.role: unknown role 'usr'"},
      {R"({"messages": [{"role": "user"}]})", "messages.0: no key 'content'"},
      {R"({"messages": [{"role": "user", "content": []}]})", "messages.0.content: expected 1 to 1000 items"},
      {R"({"messages": [{"role": "user", "content": 1}]})", "messages.0.content: expected a list, found 1"},
      {R"({"messages": [{"role": "user", "content": [{"type": "vdeo", "video": "v"}]}]})",
       "unknown part type 'vdeo'; expected text, image, image_url"},
      {R"({"messages": [{"role": "system", "content": "a"}]})", "expected a last message of the user"},
      {R"({"messages": [{"role": "assistant", "content": "a"}]})", "expected a last message of the user"},
      {R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "answer": "c"})",
       "'answer', and a last message of the assistant"},
      {R"({"image": "none.png", "prompt": "a"})", "image: no picture '"},
      {R"({"image": "sub", "prompt": "a"})", "image: no picture '"},
      {R"({"image": "http://x/y.png", "prompt": "a"})", "nothing is fetched: download it and give its path"},
      {R"({"image": "ftp://x/y.png", "prompt": "a"})", "image: expected the path of a picture, found"},
      {R"({"image": "a.png\u0000.txt", "prompt": "a"})", "image: expected the path of a picture, found"},
      {R"({"image": "", "prompt": "a"})", "image: expected the path of a picture, found"},
      {"{\"prompt\": \"\xFF\"}", "s.jsonl:2: parse error"},
  };
  for (const auto& [line, message] : cases) {
    EXPECT_THAT(complaint(std::string(kShort) + "\n" + line), HasSubstr(message)) << line;
  }
  EXPECT_THAT(complaint("\n \n"), HasSubstr("s.jsonl: no samples"));
  const std::string deep(10000, '[');
  EXPECT_THAT(complaint(deep), HasSubstr("s.jsonl:1 (sample 1): nested more than"));
  const std::string long_line = R"({"prompt": ")" + std::string(17 << 20, 'a') + R"("})";
  EXPECT_THAT(complaint(long_line), HasSubstr("s.jsonl:1: expected at most 16.0 MiB a sample"));
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
  EXPECT_THAT(complaint(R"({"prompt": "a", "tools": {}})"), HasSubstr("tools: expected a list"));
}

/// Texts, and pictures by their paths.
std::vector<std::string> shown(const Message& message) {
  std::vector<std::string> parts = {message.role};
  for (const ContentPart& part : message.content)
    parts.push_back(part.kind == Kind::text ? part.text : "[" + part.image_as_written + "]");
  return parts;
}

TEST_F(Samples, FormsOfOtherProgramsMeanWhatTheyMeanThere) {
  using Shown = std::vector<std::string>;
  const struct {
    const char* line;
    std::vector<Shown> messages;
    const char* answer;  // nullptr: none
  } cases[] = {
      // LLaVA: ShareGPT's turns and one picture
      {R"({"image": "a.png", "conversations": [{"from": "human", "value": "<image>\nWho?"}, {"from": "gpt", "value": "I"}]})",
       {{"user", "[a.png]", "Who?"}},
       "I"},
      {R"({"image": "a.png", "conversations": [{"from": "human", "value": "Who?\n<image>"}, {"from": "gpt", "value": "I"}]})",
       {{"user", "Who?", "[a.png]"}},
       "I"},
      // LLaMA-Factory: pictures in the order of their marks, over all turns
      {R"({"images": ["a.png", "sub/b.png"], "system": "Be brief.", "messages": [{"role": "user", "content": "<image><image>Which?"},)"
       R"( {"role": "assistant", "content": "b"}, {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "c"}]})",
       {{"system", "Be brief."},
        {"user", "[a.png]", "[sub/b.png]", "Which?"},
        {"assistant", "b"},
        {"user", "Why?"}},
       "c"},
      {R"({"images": ["a.png", "sub/b.png"], "videos": [], "tools": "", "conversations": [)"
       R"({"from": "human", "value": "One <image> and <image>?"}, {"from": "gpt", "value": ""}]})",
       {{"user", "One ", "[a.png]", " and ", "[sub/b.png]", "?"}},
       ""},
      // parts whose pictures stand beside the messages
      {R"({"images": ["a.png"], "messages": [{"role": "user", "content": [{"type": "image", "text": null}, {"type": "text", "text": "Who?"}]}]})",
       {{"user", "[a.png]", "Who?"}},
       nullptr},
      // OpenAI
      {R"({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "sub/b.png", "detail": "low"}},)"
       R"( {"type": "text", "text": "Who?"}, {"type": "image_url", "image_url": "a.png"}, {"type": "image", "url": "a.png"}]}]})",
       {{"user", "[sub/b.png]", "Who?", "[a.png]", "[a.png]"}},
       nullptr},
      // Ollama
      {R"({"messages": [{"role": "user", "content": "Who?", "images": ["a.png", "sub/b.png"]}]})",
       {{"user", "[a.png]", "[sub/b.png]", "Who?"}},
       nullptr},
      {R"({"images": ["a.png"], "prompt": "Who?", "image": null, "model": "", "metadata": {"anything": 1}})",
       {{"user", "[a.png]", "Who?"}},
       nullptr},
      // an empty list is absent
      {R"({"images": [], "image": "a.png", "prompt": "Who?", "messages": [], "answer": []})",
       {{"user", "[a.png]", "Who?"}},
       nullptr},
      {R"({"image": [], "images": ["a.png"], "prompt": [], "messages": [], )"
       R"("conversations": [{"from": "human", "role": [], "content": [], "value": "<image>Who?"}]})",
       {{"user", "[a.png]", "Who?"}},
       nullptr},
      // calls as text
      {R"({"conversations": [{"from": "human", "value": "x"}, {"from": "function_call", "value": "{\"name\": \"f\"}"},)"
       R"( {"from": "observation", "value": "7"}, {"from": "gpt", "value": "y"}]})",
       {{"user", "x"}, {"assistant"}, {"tool", "7"}},
       "y"},
  };
  for (const auto& [line, messages, answer] : cases) {
    const Sample sample = read(line).at(0);
    std::vector<Shown> found;
    for (const Message& message : sample.messages) found.push_back(shown(message));
    EXPECT_EQ(found, messages) << line;
    EXPECT_EQ(sample.answer, answer ? std::optional<std::string>(answer) : std::nullopt) << line;
  }
  EXPECT_EQ(read(cases[std::size(cases) - 1].line).at(0).messages[1].fields,
            R"({"tool_calls": [{"type": "function", "function": {"name": "f"}}]})");
}

TEST_F(Samples, PicturesStandInUrisToo) {
  const std::string absolute = (folder_ / "a b.png").string();
  test::write_text(absolute, "picture a");
  const std::string by_path = digest(kShort);
  const auto with = [](const std::string& place) {
    return R"({"prompt": "Who?", "answer": "I", "image": ")" + place + R"("})";
  };
  EXPECT_EQ(digest(with(absolute)), by_path);
  EXPECT_EQ(digest(with("file://" + folder_.path().string() + "/a%20b.png")), by_path);
  EXPECT_EQ(digest(with("file://localhost" + folder_.path().string() + "/a%20b.png")), by_path);
  const std::string data = with("data:image/png;base64,cGljdHVyZSBh");
  EXPECT_EQ(read(data).at(0).messages[0].content[0].image_bytes, "picture a");
  EXPECT_EQ(digest(data), by_path);
  for (const char* broken :
       {"data:image/png;base64,", "data:image/png;base64,cGljdHVyZSB", "data:image/png,abcd",
        "data:image/png;base64,cGlj dHVyZSBh", "data:image/png;base64,cG=jdHVyZSBh", "data:"})
    EXPECT_THAT(complaint(with(broken)), HasSubstr("image: expected a data: URI")) << broken;
  for (const char* broken :
       {"file://host/a.png", "file://a.png", "file:///a%2", "file:///a%zz.png", "file:///a%-1.png"})
    EXPECT_THAT(complaint(with(broken)), HasSubstr("file URI")) << broken;
  EXPECT_THAT(complaint(with("file:///a%00.png")), HasSubstr("expected the path of a picture"));
}

TEST_F(Samples, AListOfSamplesIsReadAsLinesAre) {
  const std::string list = "\n [" + std::string(kShort) + ",\n" + kShort + "]\n";
  const auto samples = read(list);
  ASSERT_EQ(samples.size(), 2U);
  EXPECT_EQ(samples[0].id, "sample-1");
  EXPECT_EQ(samples[1].digest, digest(kShort));
  EXPECT_EQ(read("[" + std::string(kShort) + ", broken", 1).size(), 1U);
  EXPECT_THAT(complaint("[" + std::string(kShort) + ",\n{}]"),
              HasSubstr("s.jsonl:2 (sample 2): expected 'messages'"));
  EXPECT_THAT(complaint("[]"), HasSubstr("s.jsonl: no samples"));
  EXPECT_THAT(complaint("[" + std::string(kShort)),
              HasSubstr(cat("s.jsonl: expected ',' or ']' at byte ", 1 + std::string(kShort).size(),
                            ", found the end")));
  EXPECT_THAT(complaint("[" + std::string(kShort) + "] " + kShort),
              HasSubstr("expected nothing after the list"));
  EXPECT_THAT(complaint("[" + std::string(kShort) + " " + kShort + "]"), HasSubstr("expected ',' or ']'"));
}

TEST_F(Samples, AnIdBelongsToOneSample) {
  EXPECT_THAT(complaint("{\"id\": 7, \"prompt\": \"a\"}\n{\"id\": \"7\", \"prompt\": \"b\"}"),
              HasSubstr("s.jsonl:2: id '7' is that of"));
  EXPECT_THAT(complaint("{\"id\": \"line-2\", \"prompt\": \"a\"}\n{\"prompt\": \"b\"}"),
              HasSubstr("id 'line-2'"));
}

TEST_F(Samples, NothingIsPassedOverAtAnyLevel) {
  const auto message = [](const std::string& members) {
    return R"({"messages": [{"role": "user", )" + members + "}]}";
  };
  const std::pair<std::string, const char*> cases[] = {
      {R"({"prompt": "a", "response": "b"})", "unknown key 'response'; did you mean 'answer'?"},
      {R"({"prompt": "a", "output": "b"})", "did you mean 'answer'?"},
      {R"({"prompt": "a", "image_path": "a.png"})", "did you mean 'image'?"},
      {R"({"instruction": "a"})", "did you mean 'prompt'?"},
      {R"({"prompt": "a", "zzzzzzzz": 1})", "unknown key 'zzzzzzzz'; known are id, kind,"},
      {R"({"prompt": "a", "image": "a.png", "images": ["a.png"]})",
       "both 'image' and 'images', two names of one key; keep one"},
      {R"({"messages": [{"role": "user", "content": "a"}], "conversations": [{"from": "human", "value": "a"}]})",
       "both 'messages' and 'conversations', two names of one key; keep one"},
      {R"({"prompt": "<image>\na", "image": "a.png"})", "prompt: <image> in the text"},
      {R"({"prompt": "Picture 1: <img>a.png</img>\na"})",
       "prompt: a picture that the text spells (<img>...</img>)"},
      {R"({"prompt": "a", "image": {"path": "a.png"}})",
       "image: expected the path of a picture, or a list of them"},
      {message(R"("content": "(<image>./</image>)a")"), "content: a picture that the text spells"},
      {message(R"("content": "a", "image": "a.png")"),
       "messages.0: unknown key 'image'; did you mean 'images'?"},
      {message(R"("content": "a", "value": "b")"), "both 'content' and 'value', two names of one key"},
      {message(R"("content": "<image>a")"),
       "expected a place for each picture beside the messages; pictures ('image', 'images'): 0, places"},
      {message(R"("content": "a")").insert(1, R"("image": "a.png", )"), "pictures ('image', 'images'): 1,"},
      {message(R"("content": [{"type": "image"}])"), "without a path): 1"},
      {message(R"("content": [{"type": "image", "image": "a.png"}, {"type": "text", "text": "<image>"}])"),
       "without a path): 1"},
      {message(R"("content": [{"type": "text", "text": "a", "image": "a.png"}])"),
       "content.0: unknown key 'image'"},
      {message(R"("content": [{"type": "image", "image": "a.png", "max_pixels": 9}])"),
       "unknown key 'max_pixels'"},
      {message(R"("content": [{"type": "image", "image": "a.png", "url": "a.png"}])"), "more than one place"},
      {message(R"("content": [{"type": "image_url", "image_url": {"url": "a.png", "size": 1}}])"),
       "unknown key 'size'"},
      {R"({"system": "a", "messages": [{"role": "system", "content": "b"}, {"role": "user", "content": "c"}]})",
       "'system', and a first message of the system; keep one"},
      {R"({"prompt": "a", "answer": "<image>b"})", "answer: <image> in the text"},
      {R"({"prompt": "a", "answer": "<img>a.png</img>"})", "answer: a picture that the text spells"},
      {R"({"prompt": "a", "system": "<image>b"})", "system: <image> in the text"},
      {R"({"prompt": "a", "system": "<image>a.png</image>"})", "system: a picture that the text spells"},
      {R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "", "tool_calls": [{}]}]})",
       "expected a last message of text alone"},
      {R"({"prompt": "a", "tools": "{}"})", "tools: expected a list"},
      {R"({"prompt": "a", "tools": [1]})", "tools.0: expected the description of a tool"},
      {message(R"("content": "a", "name": 1)"), "name: expected a text"},
      {R"({"conversations": [{"from": "function_call", "value": "f, g"}]})",
       "conversations.0.value: parse error"},
  };
  for (const auto& [line, complained] : cases) EXPECT_THAT(complaint(line), HasSubstr(complained)) << line;
  for (const std::string& line :
       {std::string(R"({"prompt": "a", "video": "a.mp4"})"), std::string(R"({"prompt": "<video>a"})"),
        std::string(R"({"prompt": "a", "answer": "<video>"})"),
        std::string(R"({"prompt": "a", "system": "<audio>"})"),
        message(R"("content": "a", "audios": ["a.wav"])"),
        message(R"("content": [{"type": "video", "video": "v"}])"),
        message(R"("content": [{"type": "input_audio", "input_audio": {}}])")})
    EXPECT_THAT(complaint(line, ErrorKind::unsupported), HasSubstr("is not supported")) << line;
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
      EXPECT_THAT(error.kind(), testing::AnyOf(ErrorKind::input, ErrorKind::unsupported)) << error.what();
    }
  }
  EXPECT_GT(read_well, 50);
  EXPECT_LT(read_well, 2500);
}

}  // namespace
}  // namespace mquant
