#include "text/prompt.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "io/json_text.h"
#include "mquant/error.h"

namespace mquant {
namespace {

using Kind = PromptPiece::Kind;
using ImagePlace = PromptSpec::ImagePlace;

std::string replace_all(std::string text, std::string_view name, const std::string& value) {
  for (std::size_t at = text.find(name); at != text.npos; at = text.find(name, at + value.size())) {
    text.replace(at, name.size(), value);
  }
  return text;
}

class Renderer {
 public:
  Renderer(const PromptSpec& spec, const Sample& sample) : spec_(spec), sample_(sample) {}

  std::vector<PromptPiece> run() {
    check();
    add(Kind::markup, spec_.begin);
    if (spec_.image_place == ImagePlace::before_turns) {
      for (const Message& message : sample_.messages) add_images(message);
    }
    if (sample_.messages.front().role != "system" && spec_.default_system) {
      open_turn(spec_.system);
      add(Kind::content, *spec_.default_system);
      add(Kind::markup, spec_.system.close);
    }
    for (const Message& message : sample_.messages) add_turn(message);
    add(Kind::markup, turns_ > 0 ? spec_.between_turns : std::string());
    add(Kind::markup, spec_.generation);
    return std::move(pieces_);
  }

 private:
  const TurnText& turn_of(const std::string& role) const {
    return role == "system" ? spec_.system : role == "user" ? spec_.user : spec_.assistant;
  }

  [[noreturn]] static void refuse(const std::string& what) { fail(ErrorKind::input, what); }

  void refuse_tools() const {
    const auto no_place = [](const std::string& what) {
      refuse("this model's prompt has no place for " + what + "; remove it");
    };
    if (!sample_.tools.empty()) no_place("'tools'");
    for (const Message& message : sample_.messages) {
      if (message.role == "tool") no_place("a message of role 'tool'");
      if (message.fields.empty()) continue;
      const OrderedJson fields = parse_ordered_json(message.fields, "a message", Integers::kept);
      for (const auto& [key, value] : fields.items()) no_place("'" + key + "' of a message");
    }
  }

  void check() const {
    const auto& messages = sample_.messages;
    if (messages.empty()) refuse("no messages");
    refuse_tools();
    std::ptrdiff_t images = 0;
    for (std::size_t i = 0; i < messages.size(); ++i) {
      const std::string& role = messages[i].role;
      if (role != "system" && role != "user" && role != "assistant") refuse("unknown role '" + role + "'");
      if (role == "system" && i > 0) refuse("a system message must be the first");
      if (!turn_of(role).allowed) refuse("this model's prompt has no place for a " + role + " message");
      images += std::ranges::count_if(messages[i].content, &ContentPart::is_image);
      if (role == "system" && images > 0) refuse("a picture in a system message");
    }
    if (messages.back().role != "user")
      refuse("the last message must be the user's; an answer goes to \"answer\"");
    if (spec_.most_images && images > *spec_.most_images) {
      refuse(cat("this model takes at most ", *spec_.most_images,
                 *spec_.most_images == 1 ? " picture" : " pictures", " a conversation, found ", images));
    }
  }

  void add(Kind kind, std::string_view text) {
    if (text.empty()) return;
    if (kind != Kind::image && !pieces_.empty() && pieces_.back().kind == kind)
      pieces_.back().text += text;
    else
      pieces_.push_back({std::string(text), kind});
  }

  void add_image(const ContentPart& part, bool several) {
    std::string text = several && spec_.images ? *spec_.images : spec_.image;
    text = replace_all(std::move(text), "{n}", std::to_string(++numbered_));
    add(Kind::image, replace_all(std::move(text), "{path}", part.image_as_written));
  }

  static bool has_several(const Message& message) {
    return std::ranges::count_if(message.content, &ContentPart::is_image) > 1;
  }

  void add_images(const Message& message) {
    numbered_ = 0;
    for (const ContentPart& part : message.content) {
      if (part.is_image()) add_image(part, has_several(message));
    }
  }

  void open_turn(const TurnText& turn) {
    if (turns_++ > 0) add(Kind::markup, spec_.between_turns);
    add(Kind::markup, turn.open);
  }

  void add_turn(const Message& message) {
    const TurnText& turn = turn_of(message.role);
    open_turn(turn);
    const bool in_place = spec_.image_place == ImagePlace::inline_part;
    if (spec_.image_place == ImagePlace::before_text) add_images(message);
    if (in_place) numbered_ = 0;
    for (const ContentPart& part : message.content) {
      if (!part.is_image())
        add(Kind::content, part.text);
      else if (in_place)
        add_image(part, has_several(message));
    }
    add(Kind::markup, turn.close);
  }

  const PromptSpec& spec_;
  const Sample& sample_;
  std::vector<PromptPiece> pieces_;
  int turns_ = 0, numbered_ = 0;
};

class DataPrompt final : public Prompt {
 public:
  explicit DataPrompt(PromptSpec spec) : spec_(std::move(spec)) {}
  std::vector<PromptPiece> pieces(const Sample& sample) const override {
    return render_pieces(spec_, sample);
  }
  AnsweredPrompt answered(const Sample& sample) const override {
    return {render_pieces(spec_, sample), render_answer(spec_, sample)};
  }

 private:
  PromptSpec spec_;
};

}  // namespace

std::shared_ptr<const Prompt> data_prompt(PromptSpec spec) {
  return std::make_shared<DataPrompt>(std::move(spec));
}

std::vector<PromptPiece> render_pieces(const PromptSpec& spec, const Sample& sample) {
  return Renderer(spec, sample).run();
}

std::string render_prompt(const PromptSpec& spec, const Sample& sample) {
  std::string prompt;
  for (const PromptPiece& piece : render_pieces(spec, sample)) prompt += piece.text;
  return prompt;
}

std::vector<PromptPiece> render_answer(const PromptSpec& spec, const Sample& sample) {
  if (!sample.answer) fail(ErrorKind::input, "no answer; give it one (\"answer\": \"...\")");
  std::vector<PromptPiece> pieces;
  const std::pair<const std::string*, Kind> parts[] = {{&spec.before_answer, Kind::markup},
                                                       {&*sample.answer, Kind::content},
                                                       {&spec.after_answer, Kind::markup}};
  for (const auto& [text, kind] : parts) {
    if (!text->empty()) pieces.push_back({*text, kind});
  }
  return pieces;
}

void fail_reserved(const std::string& token) {
  fail(ErrorKind::input, "a text holds '", token,
       "', which only a picture brings into a prompt; write it in another way");
}

}  // namespace mquant
