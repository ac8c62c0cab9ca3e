// The processor of every family: one program, driven by what a family's file says about its prompts and pictures.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mquant/sample.h"
#include "text/prompt.h"
#include "text/tokenizer.h"
#include "vision/patches.h"
#include "vision/tiling.h"

namespace mquant {

/// A picture after tiling: what the text that stands for it may depend on.
struct PlacedPicture {
  std::int64_t number = 0;  ///< in the conversation, from 0
  std::string text;         ///< what the chat template writes for it
  std::string path;         ///< as the sample writes it
  TileGrid cut;             ///< Tiling::grid
  std::vector<Grid> tiles;  ///< the patches of each tile, in the order of the vision rows
};

/// What stands in a prompt for a picture.
struct PictureTokens {
  std::string text;  ///< holds the family's placeholder once for each run
  std::vector<TokenIds>
      runs;  ///< the tokens there, whose rows are overwritten by vision rows, in their order
};

struct ProcessorSpec {
  Tokenizer tokenizer;
  std::shared_ptr<const Prompt> prompt;

  TokenIds front;   ///< ids before those of the prompt: <s>
  std::string bos;  ///< a prompt that begins with this text has none of them; "": every prompt has
  enum class Tokenized {
    whole,            ///< the prompt as one text; every added token is recognised, whoever wrote it
    content_apart,    ///< what users wrote, pictures among it, is one text between the markup
    each_piece_apart  ///< so is each picture
  } tokenized = Tokenized::whole;
  std::vector<std::string> content_tokens;  ///< if apart: the special tokens that are recognised in content

  std::string placeholder;            ///< the text of one token
  std::vector<std::string> reserved;  ///< more texts that only pictures may bring into a prompt
  bool placeholder_in_text = false;   ///< one that a user wrote behind all pictures is a token like others
  enum class ShownPicture { as_rendered, expanded, not_at_all } shown_picture = ShownPicture::as_rendered;

  bool apply_orientation = true;  ///< DecodeOptions::apply_orientation
  std::function<Tiling(const Image& image)> tile;
  PatchLayout layout;
  PixelLayout pixels = PixelLayout::pictures;  ///< of the official code
  Normalization normalization;
  std::function<PictureTokens(const PlacedPicture& picture)> place;
  std::int64_t text_rows =
      0;  ///< at the end of each run: rows that the decoder takes for text (CogVLM2's eoi)

  enum class Positions {
    sequence,  ///< 0, 1, 2, ...
    mrope,     ///< mrope_positions; each picture is one tile
    shared     ///< the rows of a run between its first and its last share one position
  } positions = Positions::sequence;
  TokenIds stop_ids;
};

/// @throws Error{input} if the placeholder is not one token of the tokenizer, if there are no stop ids, or if a patch
///         is no size that a vision tower has.
std::unique_ptr<Processor> make_processor(ProcessorSpec spec);

/// "<|im_start|>role\n" ... `close`, as Qwen's models and those built on them have it; no picture, no default system.
PromptSpec chat_ml(const std::string& close);

/// `text` with `found` replaced where it stands first.  Throws Error{internal} if it is not there.
std::string with(std::string text, std::string_view found, std::string_view replacement);

}  // namespace mquant
