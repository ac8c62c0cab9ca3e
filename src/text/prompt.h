// Chat prompts: as pieces, and as data where a release has code in place of a chat template.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mquant/sample.h"

namespace mquant {

/// What stands around the messages of one role.
struct TurnText {
  std::string open, close;
  bool allowed = true;  ///< false: the template has no place for this role
};

/// What the code of a release says.  In `image` and `images`, {n} is the number of the picture in its
/// message and {path} its path as written.
struct PromptSpec {
  std::string begin;                          ///< once, at the very front
  std::optional<std::string> default_system;  ///< where the first message is not a system one

  TurnText system, user, assistant;
  std::string between_turns;
  std::string generation;  ///< after the last turn: where the model continues

  std::string before_answer;  ///< between `generation` and the answer
  std::string after_answer;   ///< ends the answer: the end-of-turn token

  enum class ImagePlace {
    inline_part,   ///< where the part stands
    before_text,   ///< before all texts of its message
    before_turns,  ///< after `begin`, whatever the message
  } image_place = ImagePlace::inline_part;
  std::string image;                  ///< of one picture
  std::optional<std::string> images;  ///< instead, in messages with several pictures
  std::optional<int> most_images;     ///< in a conversation
};

/// A stretch of a prompt.  Some families tokenize what users wrote on its own, with fewer special tokens.
struct PromptPiece {
  std::string text;
  enum class Kind { markup, content, image } kind = Kind::markup;
};

/// A prompt and what follows it: the answer, and what ends its turn.
struct AnsweredPrompt {
  std::vector<PromptPiece> prompt, answer;
};

/// How the prompts of a checkpoint are written.
class Prompt {
 public:
  virtual ~Prompt() = default;
  /// The prompt of a sample, up to where the model continues.
  /// @throws Error{input} for what it has no place for
  virtual std::vector<PromptPiece> pieces(const Sample& sample) const = 0;
  /// The same prompt with the sample's answer.
  /// @throws Error{input} as pieces(), and for a sample without an answer
  virtual AnsweredPrompt answered(const Sample& sample) const = 0;
};

/// As render_pieces and render_answer.
std::shared_ptr<const Prompt> data_prompt(PromptSpec spec);

/// The prompt of a sample, up to where the model continues.  Neighbours of one kind are one piece, pictures
/// excepted; empty texts are left out.
/// @throws Error{input} for a role that the prompt has no place for, a system message that is not the first,
///         too many pictures, tools and other fields of messages, or a last message that is the assistant's.
std::vector<PromptPiece> render_pieces(const PromptSpec& spec, const Sample& sample);

/// The pieces in one.
std::string render_prompt(const PromptSpec& spec, const Sample& sample);

/// What follows the prompt: before_answer, the answer, after_answer.  Throws Error{input} if there is no answer.
std::vector<PromptPiece> render_answer(const PromptSpec& spec, const Sample& sample);

/// Throws Error{input}: a text of a user holds `token`.
[[noreturn]] void fail_reserved(const std::string& token);

}  // namespace mquant
