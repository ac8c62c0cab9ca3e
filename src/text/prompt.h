// Chat prompts as data: what a family's chat template says, and the one renderer of all of them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mquant/sample.h"

namespace mquant {

/// What stands around the messages of one role.
struct TurnText {
  std::string open, close;
  std::string
      open_text;  ///< behind `open` where the message does not begin with a picture: SmolVLM's "User:" " Hi"
  bool allowed = true;  ///< false: the template has no place for this role
};

/// A chat template.  In `image` and `images`, {n} is the number of the picture and {path} its path as written.
struct PromptSpec {
  std::string begin;                          ///< once, at the very front
  std::optional<std::string> default_system;  ///< where the first message is not a system one
  bool empty_system_is_default = false;       ///< an empty system text counts as none

  TurnText system, user, assistant;
  /// A system message gets no turn: its text goes to the front of the first user turn, with this behind it.
  std::optional<std::string> system_in_user;
  std::string between_turns;
  std::string generation;  ///< behind the last turn: where the model goes on

  std::string before_answer;  ///< between `generation` and the answer
  std::string after_answer;   ///< ends the answer: the end-of-turn token

  enum class ImagePlace {
    inline_part,   ///< where the part stands
    before_text,   ///< before all texts of its message
    before_turns,  ///< behind `begin`, whatever the message
  } image_place = ImagePlace::inline_part;
  std::string image;                  ///< of one picture
  std::optional<std::string> images;  ///< instead, in messages with several pictures
  int first_number = 1;               ///< {n} of the first picture
  bool number_per_message = true;     ///< {n} starts anew in every message; else counts on
  std::optional<int> most_images;     ///< in a conversation

  std::string between_parts;    ///< parts of one message
  std::string after_text_part;  ///< each text part of a message
  bool strip_text =
      false;  ///< text parts lose white space at both ends (not a system text put into a user turn)
};

/// A stretch of a prompt.  Some families tokenize what users wrote on its own, with fewer special tokens.
struct PromptPiece {
  std::string text;
  enum class Kind { markup, content, image } kind = Kind::markup;
};

/// The prompt of a sample, up to where the model goes on.  Neighbours of one kind are one piece, pictures excepted;
/// empty texts are no pieces.
/// @throws Error{input} for a role that the template has no place for, a system message that is not the first, too
///         many pictures, or a last message that is the assistant's.
std::vector<PromptPiece> render_pieces(const PromptSpec& spec, const Sample& sample);

/// The pieces in one.
std::string render_prompt(const PromptSpec& spec, const Sample& sample);

/// What follows the prompt: before_answer, the answer, after_answer.  Throws Error{input} if there is no answer.
std::vector<PromptPiece> render_answer(const PromptSpec& spec, const Sample& sample);

}  // namespace mquant
