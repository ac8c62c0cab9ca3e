// Files of chat samples: all their forms, and digests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/text/sample_files.h"

namespace mquant {
namespace {

using testing::HasSubstr;
using Kind = ContentPart::Kind;

class Samples : public SampleFiles {};

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
      {R"({"image": "a.png", "conversations": [{"from": "human", "value": "<image>\r\nWho?"}, {"from": "gpt", "value": "I"}]})",
       {{"user", "[a.png]", "Who?"}},
       "I"},
      {R"({"image": "a.png", "conversations": [{"from": "human", "value": "Who?\r\n<image>"}, {"from": "gpt", "value": "I"}]})",
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

TEST_F(Samples, TextsAndListsOfPartsAreToldApart) {
  const auto is_text = [&](const std::string& line) { return read(line).at(0).messages[0].is_text; };
  EXPECT_TRUE(is_text(R"({"prompt": "Who?"})"));
  EXPECT_TRUE(is_text(R"({"prompt": "Who?", "image": "a.png", "system": "Be brief."})"));
  EXPECT_TRUE(is_text(R"({"messages": [{"role": "user", "content": "Who?"}]})"));
  EXPECT_TRUE(is_text(R"({"conversations": [{"from": "human", "value": "Who?"}]})"));
  EXPECT_FALSE(is_text(kShort));
  EXPECT_FALSE(is_text(R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "Who?"}]}]})"));
  EXPECT_THAT(complaint(R"({"messages": [{"role": "user", "content": {}}]})"),
              HasSubstr("expected a text or a list of parts"));
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
  EXPECT_EQ(digest(with("DATA:image/png;BASE64,cGljdHVyZSBh")), by_path);
  EXPECT_EQ(digest(with("FILE://localhost" + folder_.path().string() + "/a%20b.png")), by_path);
  EXPECT_THAT(complaint(with("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+"
                             "M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")),
              HasSubstr("or its bytes as a data: URI (data:image/png;base64,...)"));
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

}  // namespace
}  // namespace mquant
