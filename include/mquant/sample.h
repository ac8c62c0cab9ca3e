// What goes into a model: chat samples, and what a family's processor makes of them.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mquant {

/// One part of a message: a text or a picture (a path relative to the sample file, kept as written too).
struct ContentPart {
  enum class Kind { text, image } kind = Kind::text;
  std::string text;             // kind text
  std::filesystem::path image;  // kind image: resolved; empty where image_bytes holds the picture
  std::string image_as_written;
  std::string image_bytes = {};  // the file of a picture that stands in the sample itself (a data: URI)

  bool is_image() const { return kind == Kind::image; }
};

struct Message {
  std::string role;  // system, user, assistant, tool
  std::vector<ContentPart> content;
  std::string fields = {};  // JSON text of an object: tool_calls, tool_call_id, ...; "" if none
  bool is_text =
      false;  // the content was given as one text, not as a list of parts; chat templates see which
};

struct Sample {
  std::string id;  // "line-17" where the file gives none
  std::vector<Message> messages;
  std::optional<std::string> answer;
  std::string kind;    // "" if the file gives none; eval groups by it
  std::string tools;   // JSON text of the list of tool descriptions; "" if none
  std::string digest;  // SHA-256 of messages, tools, answer and picture bytes: the same in two files
};

/// Reads samples, one JSON object a line: {"id"?, "messages": [...], "answer"?, "kind"?} or the short form
/// {"image": path or [paths], "prompt": text, "answer"?}.  `content` of a message is a string or a list of parts
/// {"type": "image", "image": path} / {"type": "text", "text": ...}.  A last message of the assistant is the answer
/// where none is stated; before it stands a user's.  Empty lines are skipped, keys of others too unless one looks
/// like a slip of the pen.  limit 0: all.
/// @throws Error{input} with file:line for a syntax error, an unknown role or part type, a missing picture; for a file
///         without samples.
std::vector<Sample> read_samples(const std::filesystem::path& file, std::int64_t limit = 0);

/// The class of a token (MSQ): one static scale each.  The values are those of token_kind in files.
enum class TokenClass : std::uint8_t { text = 0, visual = 1, sink = 2 };
inline constexpr std::array kAllTokenClasses = {TokenClass::text, TokenClass::visual, TokenClass::sink};
inline constexpr int kTokenClasses = static_cast<int>(kAllTokenClasses.size());
std::string_view token_class_name(TokenClass token_class);

struct Features;

/// Which tokens of a prompt are attention sinks: tokens with massive activations (Sun et al., arXiv 2402.17762) that
/// would set the static scales of their class.  A property of the model; tokens that are decoded are none.
struct SinkRule {
  bool first_token = false;            ///< of the prompt
  bool first_visual = false;           ///< of each picture
  std::vector<std::int64_t> first_of;  ///< ids, ascending: where each occurs first after the first token
  bool operator==(const SinkRule&) const = default;
};
/// Tokens that `rule` names, ascending: text or visual ones of the prompt, none of an answer or of a later turn.
std::vector<std::size_t> sink_positions(const SinkRule& rule, const Features& features);
/// Gives them the class `sink`.
void mark_sinks(const SinkRule& rule, Features& features);

/// A decoded picture: RGB, 8 bit, row-major [height, width, 3].
struct Image {
  std::int64_t width = 0, height = 0;
  std::vector<std::uint8_t> rgb;
};

/// The patches of one picture (or of one tile of it) in the order of its vision rows.
struct Grid {
  std::int64_t t = 1, h = 0, w = 0;  // in patches, before any merging
  std::int64_t rows() const { return t * h * w; }
};

/// How the official code of a family lays out its pixels; a vision tower here always reads rows.
enum class PixelLayout {
  rows,      ///< as here: [P, C]
  pictures,  ///< [pictures or tiles, 3, height, width]
  batch,     ///< the same with a leading 1
  strips,    ///< each tile for itself: [3, patch, patch * its patches]
};

/// A sample as tensors, ready for a forward pass.  T tokens, P vision rows, C values a patch.
struct Features {
  std::vector<std::int64_t> input_ids;  // [T]
  std::vector<TokenClass> token_class;  // [T]; visual: the row is overwritten by a vision embedding
  std::vector<std::array<std::int64_t, 3>> positions;  // [T] (t, h, w); all three equal for plain positions
  std::vector<std::int64_t> picture;  // [T] which picture a visual token belongs to, -1 for others
  int position_axes = 1;              // how many of the three a model reads: 1, or 3 for m-rope
  std::int64_t next_position = 0;     // of the first decoded token
  std::int64_t prompt_length = 0;     // tokens of the prompt that is being continued; 0: these are it
  std::vector<float> pixels;          // [P, C]
  std::vector<Grid> grids;            // one a picture or tile; their rows() sum to P
  std::vector<std::array<std::int64_t, 2>> patches;  // [P] (row, column) of a patch in its picture or tile
  std::int64_t pixel_columns = 0;                    // C
  PixelLayout pixel_layout = PixelLayout::rows;      // of the official code, for comparisons
  std::int64_t answer_begin = -1;                    // index of the first token of the answer; -1: no answer
};

/// What a processor adds after the prompt.
enum class WithAnswer { no, yes };  // yes: the answer's tokens and the end-of-turn token follow the prompt

/// Prompt, placeholders, tiling, pixel layout, positions: all that stands between a sample and a model.
class Processor {
 public:
  virtual ~Processor() = default;
  /// The prompt as text, before placeholders are expanded.
  virtual std::string prompt(const Sample& sample) const = 0;
  /// @throws Error{input} for a picture that cannot be read, more pictures than the family takes, ...
  virtual Features features(const Sample& sample, WithAnswer with_answer) const = 0;
  virtual std::string decode(const std::vector<std::int64_t>& ids) const = 0;  // special tokens skipped
  /// The added tokens with ids of `rows` or more, which a table of so many embeddings lacks: texts by id.
  virtual std::map<std::int64_t, std::string> tokens_beyond(std::int64_t rows) const = 0;
  /// Generation ends at any of these.
  virtual const std::vector<std::int64_t>& stop_ids() const = 0;
};

}  // namespace mquant
