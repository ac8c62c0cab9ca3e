#include "text/template_prompt.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "mquant/error.h"
#include "text/template_files.h"
#include "text/unicode.h"

namespace mquant {
namespace {

using Json = nlohmann::ordered_json;
using Kind = PromptPiece::Kind;

enum class Form { parts, text };

bool is_image(const ContentPart& part) { return part.kind == ContentPart::Kind::image; }

bool has_image(const Message& message) { return std::ranges::any_of(message.content, is_image); }

std::int64_t count(std::string_view text, std::string_view part) {
  std::int64_t found = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

/// What templates keep of an answer that reasons first: they set the reasoning apart, or drop it.
std::string_view without_reasoning(std::string_view answer) {
  constexpr std::string_view kEnd = "</think>";
  const std::size_t at = answer.rfind(kEnd);
  return at == answer.npos ? answer : strip(answer.substr(at + kEnd.size()));
}

class TemplatePrompt final : public Prompt {
 public:
  TemplatePrompt(jinja::Template chat_template, Json tokens, TemplateUse use)
      : template_(std::move(chat_template)), tokens_(std::move(tokens)), use_(std::move(use)) {
    use_.reserved.push_back(use_.picture);
  }

  std::vector<PromptPiece> pieces(const Sample& sample) const override {
    const Rendered prompt = render(sample);
    std::vector<PromptPiece> pieces;
    const auto add = [&](std::string_view text, Kind kind) {
      if (!text.empty()) pieces.push_back({std::string(text), kind});
    };
    std::string_view rest = prompt.text;
    for (std::size_t at = rest.find(use_.picture); at != rest.npos; at = rest.find(use_.picture)) {
      add(rest.substr(0, at), Kind::markup);
      add(use_.picture, Kind::image);
      rest.remove_prefix(at + use_.picture.size());
    }
    add(rest, Kind::markup);
    return pieces;
  }

  /// What the template writes where it is given the answer as a message, from the end of the prompt to the token that
  /// ends the turn.
  std::vector<PromptPiece> answer(const Sample& sample) const override {
    if (!sample.answer) fail(ErrorKind::input, "no answer; give it one (\"answer\": \"...\")");
    refuse_reserved_text(*sample.answer);
    const Rendered prompt = render(sample);
    const std::string text(strip(*sample.answer));
    const std::string whole = with_answer(sample, prompt.form);
    std::string rest;
    std::size_t behind = 0;  // the answer in `rest`
    if (whole.starts_with(prompt.text) &&
        whole.find(without_reasoning(text), prompt.text.size()) != whole.npos) {
      rest = whole.substr(prompt.text.size());
      const std::size_t at = rest.find(text);
      behind = at == rest.npos ? 0 : at + text.size();
    } else {  // the prompt begins the answer in another way, with <think> for one
      const std::size_t at = find_answer(prompt.text, whole, text);
      rest = *sample.answer;
      behind = rest.size();
      if (at != whole.npos) rest += whole.substr(at + text.size());
    }
    return {{cut(std::move(rest), behind), Kind::markup}};
  }

 private:
  struct Rendered {
    std::string text;
    Form form;
  };

  /// Where the answer stands in the prompt that holds it: at the first difference, or up to its length before.
  static std::size_t find_answer(const std::string& prompt, const std::string& whole,
                                 const std::string& answer) {
    const auto differ = std::ranges::mismatch(prompt, whole);
    const auto first = static_cast<std::size_t>(differ.in2 - whole.begin());
    for (std::size_t back = std::min(first, answer.size()); back > 0; --back)
      if (whole.compare(first - back, answer.size(), answer) == 0) return first - back;
    return whole.find(answer, first);
  }

  /// Ends with the first end of turn at or after `from`; with use_.ends.front() where the template writes none.
  std::string cut(std::string rest, std::size_t from) const {
    std::size_t end = rest.npos, size = 0;
    for (const std::string& token : use_.ends)
      if (const std::size_t at = rest.find(token, from); at < end) end = at, size = token.size();
    if (end == rest.npos) return rest.substr(0, from == 0 ? rest.size() : from) + use_.ends.front();
    return rest.substr(0, end + size);
  }

  std::string with_answer(const Sample& sample, Form form) const {
    Sample more = sample;
    more.messages.push_back({.role = "assistant", .content = {{.text = *sample.answer}}});
    try {
      return rendered(more, form, /*generation=*/false);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::input) throw;
      return {};  // a template without room for it: the answer, and the token that ends it
    }
  }

  /// As lists of parts, which transformers' processors take; where a template makes no use of them, as texts.
  Rendered render(const Sample& sample) const {
    check(sample);
    if (use_.as_text) return {checked(sample, Form::text), Form::text};
    try {
      return {checked(sample, Form::parts), Form::parts};
    } catch (const Error& error) {
      const bool has_text_only =
          std::ranges::any_of(sample.messages, [](const Message& message) { return !has_image(message); });
      if (error.kind() != ErrorKind::input || !has_text_only) throw;
      try {
        return {checked(sample, Form::text), Form::text};
      } catch (const Error&) {
        throw error;
      }
    }
  }

  void check(const Sample& sample) const {
    if (sample.messages.empty()) fail(ErrorKind::input, "no messages");
    const std::string& last = sample.messages.back().role;
    if (last != "user" && last != "tool")
      fail(ErrorKind::input, "the last message must be the user's; an answer goes to \"answer\"");
    if (!sample.tools.empty()) require_reader("tools");
    refuse_reserved_text(sample.tools);
    for (const Message& message : sample.messages) {
      refuse_reserved_text(message.fields);
      const Json fields = message.fields.empty() ? Json::object() : Json::parse(message.fields);
      for (const auto& [key, value] : fields.items()) require_reader(key);
      for (const ContentPart& part : message.content) refuse_reserved_text(part.text);
    }
  }

  void require_reader(const std::string& key) const {
    if (!template_.mentions(key))
      fail(ErrorKind::input, "'", key, "', which ", template_.name(), " does not read; remove it");
  }

  void refuse_reserved_text(const std::string& text) const {
    for (const std::string& token : use_.reserved)
      if (text.find(token) != text.npos) fail_reserved(token);
  }

  /// The prompt.  Throws Error{input} if a picture or a text is not in it.
  std::string checked(const Sample& sample, Form form) const {
    std::string prompt = rendered(sample, form, /*generation=*/true);
    std::int64_t pictures = 0;
    for (const Message& message : sample.messages) {
      pictures += std::ranges::count_if(message.content, is_image);
      if (message.role != "user" && message.role != "system") continue;
      for (const ContentPart& part : message.content)
        if (prompt.find(strip(part.text)) == prompt.npos)
          fail(ErrorKind::input, template_.name(), ": leaves out the text of a ", message.role, " message");
    }
    if (const std::int64_t written = count(prompt, use_.picture); written != pictures)
      fail(ErrorKind::input, template_.name(), ": writes '", use_.picture, "' ", written, " times for ",
           pictures, " pictures");
    return prompt;
  }

  std::string rendered(const Sample& sample, Form form, bool generation) const {
    Json variables = tokens_;
    variables["messages"] = Json::array();
    for (const Message& message : sample.messages)
      if (!is_left_out(message)) variables["messages"].push_back(message_json(message, form));
    variables["tools"] = sample.tools.empty() ? Json() : Json::parse(sample.tools);
    variables["documents"] = Json();
    variables["add_generation_prompt"] = generation;
    return template_.render(variables);
  }

  bool is_left_out(const Message& message) const {
    return use_.as_text && message.role == "system" && joined(message).empty();
  }

  std::string joined(const Message& message) const {
    std::string text;
    for (std::size_t i = 0; i < message.content.size(); ++i) {
      if (i > 0 && use_.as_text) text += "\n";
      text += is_image(message.content[i]) ? use_.picture : message.content[i].text;
    }
    return text;
  }

  Json message_json(const Message& message, Form form) const {
    Json json = {{"role", message.role}};
    if (form == Form::text && (use_.as_text || !has_image(message))) {
      json["content"] = joined(message);
    } else {
      json["content"] = Json::array();
      for (const ContentPart& part : message.content)
        json["content"].push_back(is_image(part) ? Json{{"type", "image"}, {"image", part.image_as_written}}
                                                 : Json{{"type", "text"}, {"text", part.text}});
    }
    if (!message.fields.empty()) json.update(Json::parse(message.fields));
    return json;
  }

  jinja::Template template_;
  Json tokens_;
  TemplateUse use_;
};

}  // namespace

std::shared_ptr<const Prompt> template_prompt(const std::filesystem::path& directory,
                                              const ChatTemplate& stated, TemplateUse use) {
  require(!use.ends.empty() && !use.picture.empty(), "a template without pictures or ends of answers");
  return std::make_shared<TemplatePrompt>(open_chat_template(directory, stated), special_tokens(directory),
                                          std::move(use));
}

}  // namespace mquant
