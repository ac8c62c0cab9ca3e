#include "text/template_prompt.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ranges>

#include "io/json_text.h"
#include "mquant/error.h"
#include "text/unicode.h"

namespace mquant {
namespace {

using Kind = PromptPiece::Kind;

constexpr std::string_view kReasoningEnd = "</think>";

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
  const std::size_t at = answer.rfind(kReasoningEnd);
  return at == answer.npos ? answer : strip(answer.substr(at + kReasoningEnd.size()));
}

/// The texts of a message that must be in the prompt.  Templates may write what a tool returns in another form.
std::vector<std::string_view> kept_texts(const Message& message) {
  std::vector<std::string_view> texts;
  if (message.role == "tool") return texts;
  for (const ContentPart& part : std::views::reverse(message.content)) {
    const bool reasons = message.role == "assistant" && part.text.find(kReasoningEnd) != std::string::npos;
    texts.push_back(strip(reasons ? without_reasoning(part.text) : std::string_view(part.text)));
    if (reasons) break;  // what stands before is reasoning
  }
  return texts;
}

/// A sample with its JSON texts parsed.
struct Chat {
  const Sample& sample;
  OrderedJson tools = nullptr;
  std::vector<OrderedJson> fields = {};  // of each message: an object
};

class TemplatePrompt final : public Prompt {
 public:
  TemplatePrompt(jinja::Template chat_template, std::optional<jinja::Date> today, const SpecialTokens& tokens,
                 TemplateUse use)
      : template_(std::move(chat_template)),
        today_(today),
        tokens_(OrderedJson::object()),
        use_(std::move(use)) {
    for (const auto& [name, text] : tokens) tokens_[name] = text;
    use_.reserved.push_back(use_.picture);
  }

  std::vector<PromptPiece> pieces(const Sample& sample) const override {
    return pieces_of(render(checked(sample)).text);
  }

  AnsweredPrompt answered(const Sample& sample) const override {
    if (!sample.answer) fail(ErrorKind::input, "no answer; give it one (\"answer\": \"...\")");
    const Rendered prompt = render(checked(sample));
    refuse_reserved_text(*sample.answer);
    AnsweredPrompt both;
    both.prompt = pieces_of(prompt.text);
    both.answer.push_back({answer_after(prompt, *sample.answer), Kind::markup});
    return both;
  }

 private:
  struct Rendered {
    std::string text;
    OrderedJson variables;  // of the template
    Form form = Form::parts;
  };

  std::vector<PromptPiece> pieces_of(std::string_view prompt) const {
    std::vector<PromptPiece> pieces;
    const auto add = [&](std::string_view text, Kind kind) {
      if (!text.empty()) pieces.push_back({std::string(text), kind});
    };
    for (std::size_t at = prompt.find(use_.picture); at != prompt.npos; at = prompt.find(use_.picture)) {
      add(prompt.substr(0, at), Kind::markup);
      add(use_.picture, Kind::image);
      prompt.remove_prefix(at + use_.picture.size());
    }
    add(prompt, Kind::markup);
    return pieces;
  }

  /// What the template writes where it is given the answer as a message, from the end of the prompt to the token
  /// that ends the turn.
  std::string answer_after(const Rendered& prompt, const std::string& answer) const {
    const std::string text(strip(answer));
    const std::string whole = with_answer(prompt, answer);
    std::string rest;
    std::size_t answer_end = 0;  // in `rest`
    if (whole.starts_with(prompt.text) &&
        whole.find(without_reasoning(text), prompt.text.size()) != whole.npos) {
      rest = whole.substr(prompt.text.size());
      const std::size_t at = rest.find(text);
      answer_end = at == rest.npos ? 0 : at + text.size();
    } else {  // the prompt begins the answer in another way, with <think> for one
      const std::size_t at = find_answer(prompt.text, whole, text);
      rest = answer;
      answer_end = rest.size();
      if (at != whole.npos) rest += whole.substr(at + text.size());
    }
    return cut(std::move(rest), answer_end);
  }

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

  std::string with_answer(const Rendered& prompt, const std::string& answer) const {
    OrderedJson variables = prompt.variables;
    Message message;
    message.role = "assistant";
    message.content.push_back({.text = answer});
    variables["messages"].push_back(message_json(message, OrderedJson::object(), prompt.form));
    variables["add_generation_prompt"] = false;
    try {
      return template_.render(variables, today_);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::input) throw;
      return {};  // a template without room for it: the answer, and the token that ends it
    }
  }

  /// As lists of parts, which transformers' processors take; where a template makes no use of them, as texts.
  Rendered render(const Chat& chat) const {
    if (use_.as_text) return render(chat, Form::text);
    try {
      return render(chat, Form::parts);
    } catch (const Error& error) {
      const bool has_text_only = std::ranges::any_of(
          chat.sample.messages, [](const Message& message) { return !has_image(message); });
      if (error.kind() != ErrorKind::input || !has_text_only) throw;
      try {
        return render(chat, Form::text);
      } catch (const Error&) {
        throw error;
      }
    }
  }

  /// Throws Error{input} if a picture or a text is not in the prompt.
  Rendered render(const Chat& chat, Form form) const {
    Rendered prompt;
    prompt.form = form;
    prompt.variables = variables_of(chat, form);
    prompt.text = template_.render(prompt.variables, today_);
    std::int64_t pictures = 0;
    for (const Message& message : chat.sample.messages) {
      pictures += std::ranges::count_if(message.content, is_image);
      for (const std::string_view text : kept_texts(message))
        if (prompt.text.find(text) == std::string::npos)
          fail(ErrorKind::input, template_.name(), ": leaves out the text of ",
               message.role == "assistant" ? "an " : "a ", message.role, " message");
    }
    if (const std::int64_t written = count(prompt.text, use_.picture); written != pictures)
      fail(ErrorKind::input, template_.name(), ": expected '", use_.picture, "' once for each picture, ",
           pictures, " in all, found ", written);
    return prompt;
  }

  /// @throws Error{input} for what the template does not read, and for reserved texts
  Chat checked(const Sample& sample) const {
    if (sample.messages.empty()) fail(ErrorKind::input, "no messages");
    const std::string& last = sample.messages.back().role;
    if (last != "user" && last != "tool")
      fail(ErrorKind::input, "the last message must be the user's; an answer goes to \"answer\"");
    Chat chat{.sample = sample};
    if (!sample.tools.empty()) {
      require_reader("tools");
      chat.tools = parse_ordered_json(sample.tools, "tools");
      refuse_reserved_text(chat.tools.dump());
    }
    for (const Message& message : sample.messages) {
      if (message.role == "tool" && !template_.mentions("tool"))
        fail(ErrorKind::input, "a message of role 'tool', which ", template_.name(),
             " does not read; remove it");
      chat.fields.push_back(fields_of(message));
      for (const ContentPart& part : message.content) refuse_reserved_text(part.text);
    }
    return chat;
  }

  OrderedJson fields_of(const Message& message) const {
    if (message.fields.empty()) return OrderedJson::object();
    OrderedJson fields = parse_ordered_json(message.fields, "a message");
    refuse_reserved_text(fields.dump());
    for (const auto& [key, value] : fields.items()) require_reader(key);
    return fields;
  }

  void require_reader(const std::string& key) const {
    if (!template_.mentions(key))
      fail(ErrorKind::input, "'", key, "', which ", template_.name(), " does not read; remove it");
  }

  void refuse_reserved_text(const std::string& text) const {
    for (const std::string& token : use_.reserved)
      if (text.find(token) != text.npos) fail_reserved(token);
  }

  OrderedJson variables_of(const Chat& chat, Form form) const {
    OrderedJson variables = tokens_;
    OrderedJson& messages = variables["messages"] = OrderedJson::array();
    for (std::size_t i = 0; i < chat.fields.size(); ++i)
      if (const Message& message = chat.sample.messages[i]; !is_left_out(message))
        messages.push_back(message_json(message, chat.fields[i], form));
    variables["tools"] = chat.tools;
    variables["documents"] = nullptr;
    variables["add_generation_prompt"] = true;
    return variables;
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

  OrderedJson message_json(const Message& message, const OrderedJson& fields, Form form) const {
    OrderedJson json = {{"role", message.role}};
    if (form == Form::text && (use_.as_text || !has_image(message))) {
      json["content"] = joined(message);
    } else {
      json["content"] = OrderedJson::array();
      for (const ContentPart& part : message.content)
        json["content"].push_back(is_image(part)
                                      ? OrderedJson{{"type", "image"}, {"image", part.image_as_written}}
                                      : OrderedJson{{"type", "text"}, {"text", part.text}});
    }
    json.update(fields);
    return json;
  }

  jinja::Template template_;
  std::optional<jinja::Date> today_;
  OrderedJson tokens_;
  TemplateUse use_;
};

}  // namespace

std::shared_ptr<const Prompt> template_prompt(const std::filesystem::path& directory,
                                              const ChatTemplate& stated, const SpecialTokens& tokens,
                                              TemplateUse use) {
  require(!use.ends.empty() && !use.picture.empty(), "a template without pictures or ends of answers");
  std::optional<jinja::Date> today;
  if (!stated.date.empty()) today = jinja::parse_date(stated.date);
  return std::make_shared<TemplatePrompt>(open_chat_template(directory, stated), today, tokens,
                                          std::move(use));
}

}  // namespace mquant
