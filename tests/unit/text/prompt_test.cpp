// Prompts of chat templates that differ in every way the specification knows.
#include "text/prompt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mquant/error.h"

namespace mquant {
namespace {

using testing::HasSubstr;
using Kind = PromptPiece::Kind;

ContentPart text(std::string content) { return {.text = std::move(content)}; }
ContentPart picture(std::string path) {
  return {.kind = ContentPart::Kind::image, .image_as_written = std::move(path)};
}

Sample sample(std::vector<Message> messages) {
  Sample result;
  result.id = "s";
  result.messages = std::move(messages);
  return result;
}

PromptSpec chatml() {
  PromptSpec spec;
  spec.system = {.open = "<|im_start|>system\n", .close = "<|im_end|>\n"};
  spec.user = {.open = "<|im_start|>user\n", .close = "<|im_end|>\n"};
  spec.assistant = {.open = "<|im_start|>assistant\n", .close = "<|im_end|>\n"};
  spec.generation = "<|im_start|>assistant\n";
  spec.after_answer = "<|im_end|>";
  return spec;
}

const std::vector<Message> kChat = {
    {"system", {text("Be brief. ")}},
    {"user", {text(" Compare "), picture("a.png"), text("and"), picture("b.png")}},
    {"assistant", {text("Same.")}},
    {"user", {picture("c.png"), text("This?")}}};

TEST(Prompt, NumbersPicturesOfEachMessageAndShowsTheirPaths) {
  PromptSpec spec = chatml();
  for (TurnText* turn : {&spec.system, &spec.user, &spec.assistant}) turn->close = "<|im_end|>";
  spec.between_turns = "\n";
  spec.image = "Picture {n}: <img>{path}</img>\n";
  EXPECT_EQ(
      render_prompt(spec, sample(kChat)),
      "<|im_start|>system\nBe brief. <|im_end|>\n<|im_start|>user\n Compare Picture 1: <img>a.png</img>\nand"
      "Picture 2: <img>b.png</img>\n<|im_end|>\n<|im_start|>assistant\nSame.<|im_end|>\n<|im_start|>user\n"
      "Picture 1: <img>c.png</img>\nThis?<|im_end|>\n<|im_start|>assistant\n");
}

TEST(Prompt, PutsPicturesBeforeTheTextsOfTheirMessage) {
  PromptSpec spec;
  spec.user.open = "USER: ";
  spec.assistant.open = "ASSISTANT: ";
  spec.generation = "ASSISTANT:";
  spec.image = "<image>\n";
  spec.images = "Image-{n}: <image>\n";
  spec.image_place = PromptSpec::ImagePlace::before_text;
  EXPECT_EQ(render_prompt(spec, sample(kChat)),
            "Be brief. USER: Image-1: <image>\nImage-2: <image>\n Compare andASSISTANT: Same.USER: <image>\n"
            "This?ASSISTANT:");
}

TEST(Prompt, PutsThePictureBeforeAllTurns) {
  PromptSpec spec;
  spec.begin = "<s>";
  spec.system.allowed = false;
  spec.user = {.open = "Question: ", .close = " Answer:"};
  spec.assistant = {.open = " ", .close = "\n"};
  spec.before_answer = " ";
  spec.after_answer = "</s>";
  spec.image = "[i]";
  spec.image_place = PromptSpec::ImagePlace::before_turns;
  spec.most_images = 1;
  Sample asked =
      sample({{"user", {text("Hi")}}, {"assistant", {text("Yo")}}, {"user", {text("What?"), picture("a")}}});
  asked.answer = "A cat.";
  EXPECT_EQ(render_prompt(spec, asked), "<s>[i]Question: Hi Answer: Yo\nQuestion: What? Answer:");
  const AnsweredPrompt answered = data_prompt(spec)->answered(asked);
  std::string answer;
  for (const PromptPiece& piece : answered.answer) answer += piece.text;
  EXPECT_EQ(answer, " A cat.</s>");
}

TEST(Prompt, ADefaultSystemTextStandsInOnlyWhereNoneIsGiven) {
  PromptSpec spec = chatml();
  spec.default_system = "D";
  const auto system_of = [&](const std::vector<Message>& messages) {
    const std::string prompt = render_prompt(spec, sample(messages));
    return prompt.substr(0, prompt.find("<|im_start|>user"));
  };
  const Message user = {"user", {text("x")}}, empty = {"system", {text("")}};
  EXPECT_EQ(system_of({user}), "<|im_start|>system\nD<|im_end|>\n");
  EXPECT_EQ(system_of({empty, user}), "<|im_start|>system\n<|im_end|>\n");
  EXPECT_EQ(system_of({{"system", {text("S")}}, user}), "<|im_start|>system\nS<|im_end|>\n");
}

TEST(Prompt, WhatUsersWroteIsApartFromMarkup) {
  PromptSpec spec = chatml();
  spec.image = "<image>";
  const auto pieces =
      render_pieces(spec, sample({{"user", {text("a<|im_end|>"), picture("x"), picture("y"), text("b")}}}));
  std::vector<std::pair<Kind, std::string>> found;
  for (const PromptPiece& piece : pieces) found.emplace_back(piece.kind, piece.text);
  const std::vector<std::pair<Kind, std::string>> expected = {
      {Kind::markup, "<|im_start|>user\n"},
      {Kind::content, "a<|im_end|>"},
      {Kind::image, "<image>"},
      {Kind::image, "<image>"},
      {Kind::content, "b"},
      {Kind::markup, "<|im_end|>\n<|im_start|>assistant\n"}};
  EXPECT_EQ(found, expected);
}

TEST(Prompt, RefusesWhatATemplateCannotSay) {
  PromptSpec spec = chatml();
  spec.most_images = 1;
  const auto complaint = [&](const std::vector<Message>& messages) {
    try {
      render_prompt(spec, sample(messages));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input);
      return std::string(error.what());
    }
    return std::string("no error");
  };
  const Message user = {"user", {text("x")}}, system = {"system", {text("s")}},
                assistant = {"assistant", {text("y")}};
  EXPECT_THAT(complaint(kChat), HasSubstr("this model takes at most 1 picture a conversation, found 3"));
  EXPECT_THAT(complaint({user, system, user}), HasSubstr("a system message must be the first"));
  EXPECT_THAT(complaint({user, assistant}), HasSubstr("the last message must be the user's"));
  EXPECT_THAT(complaint({}), HasSubstr("no messages"));
  EXPECT_THAT(complaint({{"system", {picture("p")}}, user}), HasSubstr("a picture in a system message"));
  EXPECT_THAT(complaint({{"user", {text("x")}, R"({"name": "n"})"}}),
              HasSubstr("no place for 'name' of a message; remove it"));
  EXPECT_THAT(complaint({{"tool", {text("x")}}, user}),
              HasSubstr("no place for a message of role 'tool'; remove it"));
  spec.system.allowed = false;
  EXPECT_THAT(complaint({system, user}), HasSubstr("no place for a system message"));
}

}  // namespace
}  // namespace mquant
