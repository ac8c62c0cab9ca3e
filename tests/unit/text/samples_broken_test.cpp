// Files of chat samples with something wrong in them: the error names the line and the place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/rng.h"
#include "tests/unit/text/sample_files.h"

namespace mquant {
namespace {

using testing::HasSubstr;

class BrokenSamples : public SampleFiles {};

TEST_F(BrokenSamples, ErrorsNameTheLineAndThePlace) {
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
      {R"({"messages": [{"role": "user", "content": 1}]})",
       "messages.0.content: expected a text or a list of parts, found 1"},
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

TEST_F(BrokenSamples, NothingIsPassedOverAtAnyLevel) {
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

TEST_F(BrokenSamples, MutatedLinesGiveErrorsOrSamples) {
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
