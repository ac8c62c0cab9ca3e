// The checkpoint's own chat template decides the prompt: which file counts, what a template may do, what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/files.h"
#include "tests/unit/families/edited_model.h"
#include "text/tokenizer.h"

namespace mquant::test {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

/// A golden's model without any template.
class Bare : public Model {
 public:
  explicit Bare(const std::string& family) : Model(family) {
    for (const char* file : {"chat_template.json", "chat_template.jinja"})
      if (std::filesystem::exists(*this / file)) remove(file);
    if (std::filesystem::exists(*this / "tokenizer_config.json"))
      edit("tokenizer_config.json", [](auto& c) { c.erase("chat_template"); });
  }
};

class Templated : public Bare {
 public:
  Templated(const std::string& family, const std::string& text) : Bare(family) {
    write_text(*this / "chat_template.jinja", text);
  }
};

/// Prints its name, then roles and texts.
std::string named(const std::string& name) {
  return name +
         ":{% for m in messages %}{{ m.role }}={% for c in m.content %}{{ '<|image_pad|>' if c.type == "
         "'image' else c.text }}"
         "{% endfor %};{% endfor %}{{ 'assistant=' if add_generation_prompt }}";
}

std::string chat_template_json(const std::string& text) {
  return nlohmann::json{{"chat_template", text}}.dump();
}

/// Prompt and answer as their tokens decode, specials shown.
std::string with_answer(const Processor& processor, Sample sample, const std::string& answer,
                        const Tokenizer& tokenizer) {
  sample.answer = answer;
  return tokenizer.decode(processor.features(sample, WithAnswer::yes).input_ids, false);
}

std::string prompt_of(const Model& model, const Sample& sample = asked({text("Hi")})) {
  return model.processor()->prompt(sample);
}

TEST(ChatTemplate, TheFileThatTransformersTakesCounts) {
  Bare model("qwen2_vl");
  const auto starts = [&](const char* name) { EXPECT_THAT(prompt_of(model), StartsWith(name)); };
  EXPECT_THAT(complaint(ErrorKind::unsupported, [&] { model.processor(); }), HasSubstr("no chat template"));
  model.edit("tokenizer_config.json", [](auto& c) { c["chat_template"] = named("tokenizer"); });
  starts("tokenizer:");
  model.edit("tokenizer_config.json", [](auto& c) {
    c["chat_template"] = {{{"name", "rag"}, {"template", named("rag")}},
                          {{"name", "default"}, {"template", named("listed")}}};
  });
  starts("listed:");
  write_text(model / "chat_template.jinja", named("jinja"));
  starts("jinja:");
  write_text(model / "chat_template.json", chat_template_json(named("json")));
  starts("json:");
  write_text(model / "processor_config.json", chat_template_json(named("processor")));
  starts("processor:");
}

TEST(ChatTemplate, TemplatesThatContradictEachOtherAreRefused) {
  Bare model("qwen2_vl");
  std::filesystem::create_directory(model / "additional_chat_templates");
  write_text(model / "additional_chat_templates/tool_use.jinja", named("tools"));
  EXPECT_THAT(complaint(ErrorKind::unsupported, [&] { model.processor(); }), HasSubstr("tool_use.jinja"));
  write_text(model / "additional_chat_templates/default.jinja", named("default"));
  EXPECT_THAT(prompt_of(model), StartsWith("default:"));
  write_text(model / "chat_template.json", chat_template_json(named("json")));
  EXPECT_THAT(complaint(ErrorKind::input, [&] { model.processor(); }),
              HasSubstr("additional_chat_templates"));
  Bare listed("qwen2_vl");
  listed.edit("tokenizer_config.json",
              [](auto& c) { c["chat_template"] = {{{"name", "rag"}, {"template", "x"}}}; });
  EXPECT_THAT(complaint(ErrorKind::unsupported, [&] { listed.processor(); }), HasSubstr("none is 'default'"));
}

TEST(ChatTemplate, TheOneThatIsStatedCounts) {
  const auto starts = [](const Model& model) {
    EXPECT_THAT(model.processor({named("stated"), "t.jinja"})->prompt(asked({text("Hi")})),
                StartsWith("stated:user=Hi;"));
  };
  starts(Bare("qwen2_vl"));
  Templated model("qwen2_vl", named("jinja"));
  write_text(model / "processor_config.json", chat_template_json(named("processor")));
  starts(model);
  EXPECT_THAT(complaint(ErrorKind::input, [&] { model.processor({"{% for", "t.jinja"}); }),
              HasSubstr("t.jinja: line 1"));
}

TEST(ChatTemplate, CannotBeStatedWhereCodeWritesThePrompts) {
  for (const char* family : {"qwen_vl", "internvl2", "glm4v", "cogvlm2"})
    EXPECT_THAT(
        complaint(ErrorKind::unsupported, [&] { Model(family).processor({named("stated"), "t.jinja"}); }),
        HasSubstr("t.jinja: the prompts of this family"))
        << family;
}

TEST(ChatTemplate, AStatedFileIsReadAsTextOrAsJson) {
  const TempDir directory;
  EXPECT_EQ(read_chat_template("", {}).text, "");
  write_text(directory / "t.jinja", "{{ messages }}\n");
  EXPECT_EQ(read_chat_template(directory / "t.jinja", {}).text, "{{ messages }}\n");
  write_text(directory / "t.json", R"({"chat_template": [{"name": "default", "template": "x"}]})");
  write_text(directory / "t.JINJA", R"( { "chat_template": [{"name": "default", "template": "x"},
                                                        {"name": "default", "template": "y"}]})");
  EXPECT_EQ(read_chat_template(directory / "t.JINJA", {}).text, "y");
  write_text(directory / "t.json", R"({"chat_template": [{"name": "default", "template": "x"}]})");
  const ChatTemplate dated = read_chat_template(directory / "t.json", "2026-11-30");
  EXPECT_EQ(dated.text, "x");
  EXPECT_EQ(dated.date, "2026-11-30");
  EXPECT_EQ(read_chat_template("", "2026-11-30").date, "2026-11-30");
}

TEST(ChatTemplate, AStatedFileThatIsNoTemplateIsRefused) {
  const TempDir directory;
  const auto refused = [&](const std::string& name, const std::string& content) {
    write_text(directory / name, content);
    return complaint(ErrorKind::input, [&] { read_chat_template(directory / name, {}); });
  };
  EXPECT_THAT(complaint(ErrorKind::input, [&] { read_chat_template(directory / "none", {}); }),
              HasSubstr("none"));
  EXPECT_THAT(refused("t.jinja", ""), HasSubstr("t.jinja: empty"));
  EXPECT_THAT(refused("t.jinja", "a\xff"), HasSubstr("not UTF-8 at byte 1"));
  EXPECT_THAT(refused("t.jinja", std::string((1 << 20) + 1, 'x')),
              HasSubstr("at most 1048576 bytes, found 1048577"));
  EXPECT_THAT(refused("t.json", "{}"), HasSubstr("chat_template"));
  EXPECT_THAT(refused("t.json", R"({"chat_template": {"default": "x"}})"),
              HasSubstr("expected a template or a list of them"));
  EXPECT_THAT(refused("t.jinja", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
              HasSubstr("Git LFS"));
}

TEST(ChatTemplate, MayOpenTheAnswerItself) {
  // As the Thinking releases of Qwen3-VL do.
  const std::string thinking =
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}{% if c.type == 'image' %}"
      "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c.text }}{% endif %}{% endfor "
      "%}<|im_end|>\n{% endfor %}"
      "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}";
  const Templated model("qwen3_vl", thinking);
  const Tokenizer tokenizer = open_tokenizer(model / "");
  EXPECT_THAT(prompt_of(model), EndsWith("<|im_start|>assistant\n<think>\n"));
  const auto answered = [&](const std::string& answer) {
    const std::string all = with_answer(*model.processor(), asked({text("Hi")}), answer, tokenizer);
    return all.substr(all.find("assistant"));
  };
  EXPECT_EQ(answered("Hm.\n</think>\n\nYes."), "assistant\n<think>\nHm.\n</think>\n\nYes.<|im_end|>");
  EXPECT_EQ(answered("<think>\nHm.\n</think>\n\nYes."),
            "assistant\n<think>\nHm.\n</think>\n\nYes.<|im_end|>");
  EXPECT_EQ(answered("e"), "assistant\n<think>\ne<|im_end|>");
}

TEST(ChatTemplate, TheAnswerIsWhatItWritesForOne) {
  const auto answered = [](const char* family, const std::string& answer) {
    const Model model(family);
    Sample sample = asked({text("Hi")});
    sample.answer = answer;
    const Features f = model.processor()->features(sample, WithAnswer::yes);
    const Tokenizer tokenizer = open_tokenizer(model / "");
    return tokenizer.decode(std::span(f.input_ids).subspan(static_cast<std::size_t>(f.answer_begin)), false);
  };
  EXPECT_EQ(answered("qwen2_vl", "It"), "It<|im_end|>");
  EXPECT_EQ(answered("qwen2_vl", "e"), "e<|im_end|>");
  EXPECT_EQ(answered("smolvlm", "It"), " It<end_of_utterance>");
  EXPECT_EQ(answered("gemma3", " It "), "It<end_of_turn>");
  EXPECT_EQ(answered("minicpm_v", "It"), "It<|im_end|>");
}

TEST(ChatTemplate, KeepsTheAnswerThatItWouldDrop) {
  const Templated model(
      "qwen2_vl",
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'user' %}{{ m.content[0].text }}"
      "{% endif %}<|im_end|>\n{% endfor %}{{ '<|im_start|>assistant\n' if add_generation_prompt }}");
  EXPECT_THAT(with_answer(*model.processor(), asked({text("Hi")}), "kept", open_tokenizer(model / "")),
              EndsWith("<|im_start|>assistant\nkept<|im_end|>"));
}

TEST(ChatTemplate, BeginsThePromptOnce) {
  const auto count = [](const Model& model) {
    const std::vector<std::int64_t> ids = model.features(asked({text("Hi")})).input_ids;
    return std::ranges::count(ids, ids.front());
  };
  const std::string plain = "{% for m in messages %}{{ m.content[0].text }}{% endfor %}";
  EXPECT_EQ(count(Model("gemma3")), 1);
  EXPECT_EQ(count(Templated("llava", "{{ bos_token }}" + plain)), 1);
  EXPECT_EQ(count(Templated("llava", plain)), 1);
}

Sample with_tools() {
  Sample sample = asked({text("Weather?")});
  sample.tools = R"([{"type": "function", "function": {"name": "weather", "b": 1, "a": 2}}])";
  sample.messages.push_back(
      {"assistant", {text("")}, R"({"tool_calls": [{"name": "weather", "arguments": {"z": 1, "y": 2}}]})"});
  sample.messages.push_back({"tool", {text("sunny")}});
  return sample;
}

TEST(ChatTemplate, ShowsToolsInTheOrderOfTheSample) {
  const std::string prompt = prompt_of(Model("qwen3_vl"), with_tools());
  EXPECT_THAT(prompt, HasSubstr(R"({"type": "function", "function": {"name": "weather", "b": 1, "a": 2}})"));
  EXPECT_THAT(prompt, HasSubstr(R"({"name": "weather", "arguments": {"z": 1, "y": 2}})"));
  EXPECT_THAT(prompt, HasSubstr("<tool_response>\nsunny\n</tool_response>"));
}

TEST(ChatTemplate, WhatItDoesNotReadIsRefused) {
  const auto refused = [](const Model& model, const Sample& sample) {
    return complaint(ErrorKind::input, [&] { model.features(sample); });
  };
  EXPECT_THAT(refused(Model("qwen2_vl"), with_tools()), HasSubstr("'tools', which"));
  Sample named_user = asked({text("Hi")});
  named_user.messages[0].fields = R"({"name": "Ann"})";
  EXPECT_THAT(refused(Model("llava"), named_user), HasSubstr("'name', which"));
  EXPECT_THAT(refused(Templated("qwen2_vl", "always the same"), asked({text("Hi")})),
              HasSubstr("leaves out the text of a user message"));
  EXPECT_THAT(refused(Templated("qwen2_vl", "{{ messages[0].content[1].text }}"),
                      asked({picture("cat.png"), text("Hi")})),
              HasSubstr("expected '<|image_pad|>' once for each picture, 1 in all, found 0"));
  EXPECT_THAT(
      refused(Templated("qwen2_vl", "{{ raise_exception('no ' ~ messages[0].role) }}"), asked({text("Hi")})),
      HasSubstr("chat_template.jinja: line 1, column 19: the template refuses: no user"));
  Sample split = asked({text("<|image"), text("_pad|>")});
  EXPECT_THAT(refused(Model("qwen2_vl"), split), HasSubstr("0 in all, found 1"));
}

/// Shows the messages whose roles are in the list `roles`.
std::string showing(const std::string& roles) {
  return "{% for m in messages %}{% if m.role in " + roles +
         " %}{{ m.role }}={% for c in m.content %}{{ c.text }}{% endfor %};{% endif %}{% endfor %}";
}

TEST(ChatTemplate, MessagesOfToolsNeedOneThatReadsThem) {
  Sample sample = asked({text("Weather?")});
  sample.messages.push_back({"tool", {text("sunny")}});
  EXPECT_THAT(complaint(ErrorKind::input,
                        [&] { prompt_of(Templated("qwen2_vl", showing("['user', 'assistant']")), sample); }),
              AllOf(HasSubstr("a message of role 'tool', which"), HasSubstr("does not read; remove it")));
  EXPECT_EQ(prompt_of(Templated("qwen2_vl", showing("['user', 'tool']")), sample),
            "user=Weather?;tool=sunny;");
}

TEST(ChatTemplate, EarlierAnswersAreInThePrompt) {
  const auto sample = [](const std::vector<ContentPart>& answer) {
    Sample chat = asked({text("Hi")});
    chat.messages.push_back({"assistant", answer});
    chat.messages.push_back({"user", {text("Why?")}});
    return chat;
  };
  EXPECT_THAT(
      complaint(ErrorKind::input,
                [&] { prompt_of(Templated("qwen2_vl", showing("['user']")), sample({text("Yes.")})); }),
      HasSubstr("leaves out the text of an assistant message"));
  const Templated thinking("qwen2_vl",
                           "{% for m in messages %}{{ m.role }}={% for c in m.content %}{% if m.role == "
                           "'user' or '</think>' in c.text %}"
                           "{{ c.text.split('</think>')[-1] | trim }}{% endif %}{% endfor %};{% endfor %}");
  const std::string shown = "user=Hi;assistant=Yes.;user=Why?;";
  EXPECT_EQ(prompt_of(thinking, sample({text("<think>\nHm.\n</think>\n\nYes. ")})), shown);
  EXPECT_EQ(prompt_of(thinking, sample({text("<think>\nHm."), text("\n</think>Yes.")})), shown);
}

TEST(ChatTemplate, ReservedTextsAreFoundHoweverTheirJsonSpellsThem) {
  Sample sample = with_tools();
  sample.tools = R"([{"name": "\u003c|image_pad|\u003e"}])";
  EXPECT_THAT(complaint(ErrorKind::input, [&] { prompt_of(Model("qwen3_vl"), sample); }),
              HasSubstr("a text holds '<|image_pad|>'"));
  sample = with_tools();
  sample.messages[1].fields = R"({"tool_calls": [{"name": "\u003c|image_pad|>", "arguments": {}}]})";
  EXPECT_THAT(complaint(ErrorKind::input, [&] { prompt_of(Model("qwen3_vl"), sample); }),
              HasSubstr("a text holds '<|image_pad|>'"));
}

TEST(ChatTemplate, ThatTakesTextsOnlyGetsTexts) {
  const Templated model("qwen2_vl",
                        "{% for m in messages %}{{ '<' + m.role + '>' + m.content }}{% endfor "
                        "%}{{ '<assistant>' if add_generation_prompt }}");
  Sample sample = asked({text("a"), text("b")});
  sample.messages.insert(sample.messages.begin(), {"system", {text("S")}});
  EXPECT_EQ(prompt_of(model, sample), "<system>S<user>ab<assistant>");
}

Sample with_system(Message system) {
  Sample sample = asked({text("Hi")});
  system.role = "system";
  sample.messages.insert(sample.messages.begin(), std::move(system));
  return sample;
}

TEST(ChatTemplate, GetsTextsAsTextsAndListsAsLists) {
  const Templated model(
      "qwen2_vl",
      "{% for m in messages %}{% if m.content is string %}text:{{ m.content }}{% else %}list:"
      "{{ m.content[0].text }}{% endif %};{% endfor %}");
  EXPECT_EQ(prompt_of(model, with_system({.content = {text("Be kind.")}, .is_text = true})),
            "text:Be kind.;list:Hi;");
  EXPECT_EQ(prompt_of(model, with_system({.content = {text("Be kind.")}})), "list:Be kind.;list:Hi;");
}

// Llama 3.2 Vision trims the content of the system's message, whatever it is.
TEST(ChatTemplate, ThatWouldWriteAListAsAListGetsTexts) {
  for (const char* shown :
       {"{{ m.content | trim }}", "{{ m.content | tojson }}", "{{ m.content | string | upper | lower }}"}) {
    const Templated model("qwen2_vl", cat("{% for m in messages %}{% if m.role == 'system' %}", shown,
                                          "{% elif m.content is string %}{{ m.content }}{% else %}"
                                          "{{ m.content[0].text }}{% endif %};{% endfor %}"));
    for (const bool is_text : {true, false})
      EXPECT_THAT(prompt_of(model, with_system({.content = {text("be kind.\n")}, .is_text = is_text})),
                  AllOf(HasSubstr("be kind."), Not(HasSubstr("'text'")), Not(HasSubstr("\"text\""))))
          << shown;
  }
  // A text that looks like such a list is a text.
  const Templated model("qwen2_vl", "{% for m in messages %}{{ m.content[0].text }}{% endfor %}");
  const std::string list = R"([{"type": "text", "text": "a"}])";
  EXPECT_EQ(prompt_of(model, asked({text(list)})), list);
}

TEST(ChatTemplate, WritesTheAnswerAsItWritesEarlierOnes) {
  const std::string user =
      "{% if m.role == 'user' %}{% for c in m.content %}{{ '<|image_pad|>' if c.type == 'image' "
      "else c.text }}{% endfor %}";
  for (const char* assistant :
       {"[{{ m.content + '' }}]", "[{% if m.content is string %}{{ m.content }}{% endif %}]",
        "[{{ m.content | trim }}]"}) {
    const Templated model("qwen2_vl", cat("{% for m in messages %}", user, "{% else %}", assistant,
                                          "{% endif %}<|im_end|>{% endfor %}"));
    Sample sample = asked({picture("cat.png"), text("What?")});
    EXPECT_THAT(with_answer(*model.processor(), sample, "a cat", open_tokenizer(model / "")),
                EndsWith("What?<|im_end|>[a cat]<|im_end|>"))
        << assistant;
    sample.messages.push_back({.role = "assistant", .content = {text("a cat")}, .is_text = true});
    sample.messages.push_back({.role = "user", .content = {text("Sure?")}});
    EXPECT_THAT(with_answer(*model.processor(), sample, "yes", open_tokenizer(model / "")),
                EndsWith("[a cat]<|im_end|>Sure?<|im_end|>[yes]<|im_end|>"))
        << assistant;
  }
}

TEST(ChatTemplate, WhatItLeavesOutIsSeenEvenWhereTheSameWordsStandElsewhere) {
  const auto refused = [](const std::string& shown, const Sample& sample) {
    return complaint(ErrorKind::input, [&] { prompt_of(Templated("qwen2_vl", shown), sample); });
  };
  EXPECT_THAT(refused(showing("['user']"), with_system({.content = {text("H")}})),
              HasSubstr("leaves out the text of a system message"));
  Sample twice = asked({text("yes")});
  twice.messages.push_back({"assistant", {text("Sure?")}});
  twice.messages.push_back({"user", {text("yes")}});
  EXPECT_THAT(refused("{% for m in messages[1:] %}{{ m.content[0].text }}{% endfor %}", twice),
              HasSubstr("leaves out the text of a user message"));
  // Another order, other white space and escapes leave nothing out.
  EXPECT_EQ(
      prompt_of(
          Templated("qwen2_vl",
                    "{% for m in messages | reverse %}{{ m.content[0].text | trim | tojson }}{% endfor %}"),
          with_system({.content = {text(" \"S\"\n")}})),
      R"("Hi""\"S\"")");
}

TEST(ChatTemplate, HasNoDateOfItsOwn) {
  const Templated model("qwen2_vl", "{{ strftime_now('%d %b %Y') }} {{ messages[0].content[0].text }}");
  EXPECT_THAT(complaint(ErrorKind::unsupported, [&] { prompt_of(model); }), HasSubstr("today's date"));
}

}  // namespace
}  // namespace mquant::test
