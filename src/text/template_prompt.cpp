#include "text/template_prompt.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <ranges>

#include "io/json_text.h"
#include "mquant/error.h"
#include "support/strings.h"
#include "text/unicode.h"

namespace mquant {
namespace {

using Kind = PromptPiece::Kind;

constexpr std::string_view kReasoningEnd = "</think>";

/// How messages without pictures are given: as the sample has them, all as lists of parts, all as texts.
enum class Form { own, parts, text };

bool has_image(const Message& message) {
  return std::ranges::any_of(message.content, &ContentPart::is_image);
}

/// Whether a template that was given a list of parts wrote the list itself: Python's or JSON's text of it.
bool shows_parts(std::string_view prompt) {
  static constexpr std::array kLists = {R"({'type': 'text', 'text': )", R"({"type": "text", "text": )",
                                        R"({"type":"text","text":)"};
  return std::ranges::any_of(kLists, [&](const char* list) { return prompt.find(list) != prompt.npos; });
}

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

/// Marks at the end of texts, which show that the texts are in a prompt even where it holds the same words elsewhere.
class Marks {
 public:
  /// Marks each text of a message that must be in the prompt; of an assistant's, what follows its reasoning.
  void add_to(OrderedJson& message) {
    const std::string role = message["role"];
    OrderedJson& content = message["content"];
    if (content.is_string()) {
      add_to(content, role);
      return;
    }
    for (OrderedJson& part : std::views::reverse(content)) {
      if (part["type"] != "text") continue;
      const std::string text = part["text"];
      add_to(part["text"], role);
      if (role == "assistant" && text.find(kReasoningEnd) != text.npos)
        break;  // what stands before is reasoning
    }
  }

  /// The role of a text whose mark is missing; none if all are there.
  std::optional<std::string> missing(std::string_view prompt) const {
    for (const auto& [mark, role] : roles_)
      if (prompt.find(mark) == prompt.npos) return role;
    return std::nullopt;
  }

 private:
  void add_to(OrderedJson& text, const std::string& role) {
    std::string marked = text;
    if (strip(role == "assistant" ? without_reasoning(marked) : std::string_view(marked)).empty()) return;
    const std::string mark = cat("mark", roles_.size(), "end");
    text = marked += mark;
    roles_.emplace_back(mark, role);
  }

  std::vector<std::pair<std::string, std::string>> roles_;  // by mark
};

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
    takes_texts_ = shows_texts();
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
    Form form = Form::own;
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

  /// The answer as the messages before it are given or, where the template makes no use of that, in the other form.
  std::string with_answer(const Rendered& prompt, const std::string& answer) const {
    const bool as_parts = prompt.form == Form::parts;
    for (const Form form : {as_parts ? Form::parts : Form::text, as_parts ? Form::text : Form::parts}) {
      std::string whole = with_answer(prompt, answer, form);
      const std::size_t from = whole.starts_with(prompt.text) ? prompt.text.size() : 0;
      if (whole.find(without_reasoning(strip(answer)), from) != whole.npos &&
          (!shows_parts(whole) || shows_parts(prompt.text)))
        return whole;
    }
    return {};  // a template without room for it: the answer, and the token that ends it
  }

  std::string with_answer(const Rendered& prompt, const std::string& answer, Form form) const {
    OrderedJson variables = prompt.variables;
    Message message;
    message.role = "assistant";
    message.content.push_back({.text = answer});
    variables["messages"].push_back(message_json(message, OrderedJson::object(), form));
    variables["add_generation_prompt"] = false;
    try {
      return template_.render(variables, today_);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::input) throw;
      return {};
    }
  }

  /// As transformers gives it: texts as texts, lists as lists.  Where a template makes no use of that, as lists of parts,
  /// then as texts.  The reason against the first form is told.
  Rendered render(const Chat& chat) const {
    if (use_.as_text) return render(chat, Form::text);
    std::vector<Form> forms = {Form::own, Form::parts, Form::text};
    if (!takes_texts_) std::swap(forms[0], forms[1]);
    std::vector<OrderedJson> tried;
    std::optional<Error> reason;
    for (const Form form : forms) {
      OrderedJson variables = variables_of(chat, form);
      if (std::ranges::find(tried, variables) != tried.end()) continue;
      try {
        return render(chat, form, variables);
      } catch (const Error& error) {
        if (!reason) reason = error;
        if (reason->kind() != ErrorKind::input) break;
      }
      tried.push_back(std::move(variables));
    }
    throw *reason;
  }

  /// Whether the template writes a message whose content is a text; those that walk over lists of parts do not.
  bool shows_texts() const {
    const Sample probe{.id = {},
                       .messages = {{.role = "user", .content = {{.text = "a text"}}, .is_text = true}}};
    try {
      render({.sample = probe, .fields = {OrderedJson::object()}}, Form::text);
      return true;
    } catch (const Error&) {
      return false;
    }
  }

  /// Throws Error{input} if a picture or a text is not in the prompt, or a list of parts is there as a list.
  Rendered render(const Chat& chat, Form form) const { return render(chat, form, variables_of(chat, form)); }
  Rendered render(const Chat& chat, Form form, OrderedJson variables) const {
    Rendered prompt;
    prompt.form = form;
    prompt.variables = std::move(variables);
    prompt.text = template_.render(prompt.variables, today_);
    if (shows_parts(prompt.text) && !shows_parts(as_given(chat)))
      fail(ErrorKind::input, template_.name(), ": writes a list of parts as a list; expected its texts");
    expect_all_texts(prompt);
    std::int64_t pictures = 0;
    for (const Message& message : chat.sample.messages)
      pictures += std::ranges::count_if(message.content, &ContentPart::is_image);
    if (const std::int64_t written = count(prompt.text, use_.picture); written != pictures)
      fail(ErrorKind::input, template_.name(), ": expected '", use_.picture, "' once for each picture, ",
           pictures, " in all, found ", written);
    return prompt;
  }

  /// The sample's own texts.
  static std::string as_given(const Chat& chat) {
    std::string texts = chat.tools.dump();
    for (const OrderedJson& fields : chat.fields) texts += fields.dump();
    for (const Message& message : chat.sample.messages)
      for (const ContentPart& part : message.content) texts += part.text;
    return texts;
  }

  void expect_all_texts(const Rendered& prompt) const {
    OrderedJson variables = prompt.variables;
    Marks marks;
    for (OrderedJson& message : variables["messages"]) marks.add_to(message);
    if (const auto role = marks.missing(template_.render(variables, today_)))
      fail(ErrorKind::input, template_.name(), ": leaves out the text of ",
           *role == "assistant" ? "an " : "a ", *role, " message");
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
      chat.tools = parse_ordered_json(sample.tools, "tools", Integers::kept);
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
    OrderedJson fields = parse_ordered_json(message.fields, "a message", Integers::kept);
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
      text += message.content[i].is_image() ? use_.picture : message.content[i].text;
    }
    return text;
  }

  OrderedJson message_json(const Message& message, const OrderedJson& fields, Form form) const {
    OrderedJson json = {{"role", message.role}};
    const bool is_text = form == Form::text || (form == Form::own && message.is_text);
    if (is_text && (use_.as_text || !has_image(message))) {
      json["content"] = joined(message);
    } else {
      json["content"] = OrderedJson::array();
      for (const ContentPart& part : message.content)
        json["content"].push_back(part.is_image()
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
  bool takes_texts_ = false;
};

}  // namespace

std::shared_ptr<const Prompt> template_prompt(const std::filesystem::path& directory,
                                              const ChatTemplate& stated, const SpecialTokens& tokens,
                                              TemplateUse use) {
  require(!use.ends.empty() && !use.picture.empty(), "a template without pictures or ends of answers");
  const std::optional<jinja::Date> today = jinja::parse_date(stated.date);
  if (!stated.date.empty() && !today)
    fail(ErrorKind::input, directory.string(),
         ": the date of its chat template: expected YYYY-MM-DD, found '", printable(stated.date), "'");
  return std::make_shared<TemplatePrompt>(open_chat_template(directory, stated), today, tokens,
                                          std::move(use));
}

}  // namespace mquant
