#include "text/prompt.h"

#include <algorithm>

#include "mquant/error.h"
#include "text/unicode.h"

namespace mquant {
namespace {

using Kind = PromptPiece::Kind;
using ImagePlace = PromptSpec::ImagePlace;

bool is_image(const ContentPart& part) { return part.kind == ContentPart::Kind::image; }

std::string replace_all(std::string text, std::string_view name, const std::string& value) {
  for (std::size_t at = text.find(name); at != text.npos; at = text.find(name, at + value.size())) {
    text.replace(at, name.size(), value);
  }
  return text;
}

/// Texts of a message in one, for a system message that has no turn of its own.
std::string all_text(const Message& message) {
  std::string text;
  for (const ContentPart& part : message.content) text += part.text;
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
    auto message = sample_.messages.begin();
    std::optional<std::string> before_user;  // content of a system message
    const bool states_system =
        message->role == "system" && !(spec_.empty_system_is_default && all_text(*message).empty());
    if (!states_system && spec_.default_system) {
      open_turn(spec_.system, /*starts_with_image=*/false);
      add(Kind::content, *spec_.default_system);
      add(Kind::markup, spec_.system.close);
    } else if (states_system && spec_.system_in_user) {
      before_user = all_text(*message);
    } else if (states_system) {
      add_turn(*message);
    }
    if (message->role == "system") ++message;
    for (; message != sample_.messages.end(); ++message) {
      add_turn(*message, before_user);
      before_user.reset();
    }
    add(Kind::markup, turns_ > 0 ? spec_.between_turns : std::string());
    add(Kind::markup, spec_.generation);
    return std::move(pieces_);
  }

 private:
  const TurnText& turn_of(const std::string& role) const {
    return role == "system" ? spec_.system : role == "user" ? spec_.user : spec_.assistant;
  }

  [[noreturn]] void refuse(const std::string& what) const {
    fail(ErrorKind::input, "sample '", sample_.id, "': ", what);
  }

  void check() const {
    const auto& messages = sample_.messages;
    if (messages.empty()) refuse("no messages");
    const bool plain =
        std::ranges::all_of(messages, [](const Message& m) { return m.fields.empty() && m.role != "tool"; });
    if (!sample_.tools.empty() || !plain) refuse("this model's template has no place for tools");
    std::ptrdiff_t images = 0;
    for (std::size_t i = 0; i < messages.size(); ++i) {
      const std::string& role = messages[i].role;
      if (role != "system" && role != "user" && role != "assistant") refuse("unknown role '" + role + "'");
      if (role == "system" && i > 0) refuse("a system message must be the first");
      const bool moved = role == "system" && spec_.system_in_user;
      if (i == 1 && spec_.system_in_user && messages[0].role == "system" && role != "user") {
        refuse("this model's template puts a system message into the user's, which must follow it");
      }
      if (!moved && !turn_of(role).allowed)
        refuse("this model's template has no place for a " + role + " message");
      images += std::count_if(messages[i].content.begin(), messages[i].content.end(), is_image);
      if (role == "system" && images > 0) refuse("a picture in a system message");
    }
    if (messages.back().role != "user")
      refuse("the last message must be the user's; an answer goes to \"answer\"");
    if (spec_.most_images && images > *spec_.most_images) {
      refuse(cat("this model takes at most ", *spec_.most_images, " pictures, found ", images));
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
    text = replace_all(std::move(text), "{n}", std::to_string(spec_.first_number + numbered_++));
    add(Kind::image, replace_all(std::move(text), "{path}", part.image_as_written));
  }

  static bool has_several(const Message& message) {
    return std::count_if(message.content.begin(), message.content.end(), is_image) > 1;
  }

  void add_images(const Message& message) {
    if (spec_.number_per_message) numbered_ = 0;
    for (const ContentPart& part : message.content) {
      if (is_image(part)) add_image(part, has_several(message));
    }
  }

  void open_turn(const TurnText& turn, bool starts_with_image) {
    if (turns_++ > 0) add(Kind::markup, spec_.between_turns);
    add(Kind::markup, turn.open);
    if (!starts_with_image) add(Kind::markup, turn.open_text);
  }

  void add_turn(const Message& message, const std::optional<std::string>& system_text = {}) {
    const TurnText& turn = turn_of(message.role);
    open_turn(turn, !message.content.empty() && is_image(message.content.front()));
    if (system_text) {
      add(Kind::content, *system_text);
      add(Kind::markup, *spec_.system_in_user);
    }
    const bool in_place = spec_.image_place == ImagePlace::inline_part;
    if (spec_.image_place == ImagePlace::before_text)
      add_images(message);
    else if (in_place && spec_.number_per_message)
      numbered_ = 0;
    bool first = true;
    for (const ContentPart& part : message.content) {
      if (is_image(part) && !in_place) continue;
      if (!first) add(Kind::markup, spec_.between_parts);
      first = false;
      if (is_image(part)) {
        add_image(part, has_several(message));
      } else {
        add(Kind::content, spec_.strip_text ? strip(part.text) : std::string_view(part.text));
        add(Kind::markup, spec_.after_text_part);
      }
    }
    add(Kind::markup, turn.close);
  }

  const PromptSpec& spec_;
  const Sample& sample_;
  std::vector<PromptPiece> pieces_;
  int turns_ = 0, numbered_ = 0;
};

}  // namespace

std::vector<PromptPiece> render_pieces(const PromptSpec& spec, const Sample& sample) {
  return Renderer(spec, sample).run();
}

std::string render_prompt(const PromptSpec& spec, const Sample& sample) {
  std::string prompt;
  for (const PromptPiece& piece : render_pieces(spec, sample)) prompt += piece.text;
  return prompt;
}

std::vector<PromptPiece> render_answer(const PromptSpec& spec, const Sample& sample) {
  if (!sample.answer)
    fail(ErrorKind::input, "sample '", sample.id, "': no answer; give it one (\"answer\": \"...\")");
  std::vector<PromptPiece> pieces;
  const std::pair<const std::string*, Kind> parts[] = {{&spec.before_answer, Kind::markup},
                                                       {&*sample.answer, Kind::content},
                                                       {&spec.after_answer, Kind::markup}};
  for (const auto& [text, kind] : parts) {
    if (!text->empty()) pieces.push_back({*text, kind});
  }
  return pieces;
}

}  // namespace mquant
