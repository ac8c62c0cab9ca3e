#include "families/processor.h"

#include <iterator>
#include <span>
#include <utility>

#include "families/prompt_ids.h"
#include "mquant/error.h"
#include "vision/decode.h"
#include "vision/positions.h"

namespace mquant {
namespace {

using Positions = ProcessorSpec::Positions;
using ShownPicture = ProcessorSpec::ShownPicture;

/// No released tower is near these; beyond them row counts would overflow.
constexpr std::int64_t kLargestPatch = 1024, kLargestTemporal = 64, kLargestMerge = 64;

void check_size(const char* what, std::int64_t value, std::int64_t most) {
  if (value < 1 || value > most)
    fail(ErrorKind::input, "processor: expected a ", what, " of 1 to ", most, ", found ", value);
}

/// Coordinates of the rows that append_patches makes, in its order.
void append_patch_positions(const Grid& grid, std::int64_t merge,
                            std::vector<std::array<std::int64_t, 2>>& out) {
  for (std::int64_t row = 0; row < grid.h; row += merge)
    for (std::int64_t column = 0; column < grid.w; column += merge)
      for (std::int64_t y = 0; y < merge; ++y)
        for (std::int64_t x = 0; x < merge; ++x) out.push_back({row + y, column + x});
}

class SpecProcessor final : public Processor {
 public:
  explicit SpecProcessor(ProcessorSpec spec)
      : spec_(std::move(spec)), table_(normalization_table(spec_.normalization)) {
    check_size("patch size", spec_.layout.patch, kLargestPatch);
    check_size("temporal patch size", spec_.layout.temporal, kLargestTemporal);
    check_size("merge size", spec_.layout.merge, kLargestMerge);
    const TokenIds ids = spec_.tokenizer.encode(spec_.placeholder);
    if (ids.size() != 1 || ids[0] != spec_.tokenizer.id_of(spec_.placeholder))
      fail(ErrorKind::input, "the tokenizer splits '", spec_.placeholder,
           "', which stands for pictures; expected it among the added tokens");
    placeholder_ = ids[0];
    if (spec_.stop_ids.empty())
      fail(ErrorKind::input, "no token ends an answer: state eos_token_id in generation_config.json");
  }

  std::string prompt(const Sample& sample) const override {
    return in_context(cat("sample '", sample.id, "'"), [&] { return prompt_of(sample); });
  }

  Features features(const Sample& sample, WithAnswer with_answer) const override {
    return in_context(cat("sample '", sample.id, "'"), [&] { return features_of(sample, with_answer); });
  }

  std::string decode(const std::vector<std::int64_t>& ids) const override {
    return spec_.tokenizer.decode(ids, true);
  }
  std::map<std::int64_t, std::string> tokens_beyond(std::int64_t rows) const override {
    return spec_.tokenizer.added_beyond(rows);
  }
  const std::vector<std::int64_t>& stop_ids() const override { return spec_.stop_ids; }

 private:
  std::string prompt_of(const Sample& sample) const {
    Features unused;
    const std::vector<PlacedPicture> pictures = spec_.shown_picture == ShownPicture::expanded
                                                    ? add_pictures(sample, unused)
                                                    : std::vector<PlacedPicture>();
    std::string text;
    auto picture = pictures.begin();
    for (const PromptPiece& piece : spec_.prompt->pieces(sample))
      if (piece.kind != PromptPiece::Kind::image || spec_.shown_picture == ShownPicture::as_rendered)
        text += piece.text;
      else if (spec_.shown_picture == ShownPicture::expanded)
        text += expanded(place(*picture++, piece));
    return text;
  }

  Features features_of(const Sample& sample, WithAnswer with_answer) const {
    Features f;
    f.pixel_columns = spec_.layout.columns();
    f.pixel_layout = spec_.pixels;
    AnsweredPrompt pieces;
    if (with_answer == WithAnswer::yes && sample.answer)
      pieces = spec_.prompt->answered(sample);
    else
      pieces.prompt = spec_.prompt->pieces(sample);
    auto& [prompt, answer] = pieces;
    refuse_reserved(spec_, prompt);
    refuse_reserved(spec_, answer);
    const bool has_bos = !spec_.bos.empty() && !prompt.empty() && prompt.front().text.starts_with(spec_.bos);
    const std::vector<PictureTokens> pictures = place_all(add_pictures(sample, f), prompt);
    const PromptIds ids = encode_pieces(spec_, prompt, answer);
    if (!has_bos)
      for (const std::int64_t id : spec_.front) add_token(id, f);
    add_tokens(ids.prompt, pictures, f);
    if (!answer.empty()) f.answer_begin = static_cast<std::int64_t>(f.input_ids.size());
    add_tokens(ids.answer, {}, f);
    add_positions(f);
    return f;
  }

  /// Leaves out pixels at the right and below that fill no patch: SmolVLM's 384 are 27 patches of 14.
  Grid append_whole_patches(const Image& tile, std::vector<float>& pixels) const {
    const std::int64_t step = spec_.layout.patch * spec_.layout.merge;
    const ImageSize whole = {tile.width / step * step, tile.height / step * step};
    return whole == size_of(tile) ? append_patches(tile, spec_.layout, table_, pixels)
                                  : append_patches(crop(tile, 0, 0, whole), spec_.layout, table_, pixels);
  }

  PlacedPicture add_picture(const ContentPart& part, Features& f) const {
    const std::string origin = part.image_bytes.empty() ? part.image.string() : "the picture of a data: URI";
    const DecodeOptions options{.apply_orientation = spec_.apply_orientation};
    const Image image = part.image_bytes.empty()
                            ? open_image(part.image, options)
                            : decode_image(std::as_bytes(std::span(part.image_bytes)), origin, options);
    const Tiling tiling = in_context(origin, [&] { return spec_.tile(image); });
    PlacedPicture picture{.path = part.image_as_written, .cut = tiling.grid};
    for (const Image& tile : tiling.tiles) {
      picture.tiles.push_back(append_whole_patches(tile, f.pixels));
      append_patch_positions(picture.tiles.back(), spec_.layout.merge, f.patches);
    }
    f.grids.insert(f.grids.end(), picture.tiles.begin(), picture.tiles.end());
    return picture;
  }

  std::vector<PlacedPicture> add_pictures(const Sample& sample, Features& f) const {
    std::vector<PlacedPicture> pictures;
    for (const Message& message : sample.messages)
      for (const ContentPart& part : message.content)
        if (part.kind == ContentPart::Kind::image) {
          pictures.push_back(add_picture(part, f));
          pictures.back().number = std::ssize(pictures) - 1;
        }
    return pictures;
  }

  PictureTokens place(PlacedPicture picture, const PromptPiece& piece) const {
    picture.text = piece.text;
    return spec_.place(picture);
  }

  /// Replaces the text of each picture by what place() makes of it.
  std::vector<PictureTokens> place_all(const std::vector<PlacedPicture>& pictures,
                                       std::vector<PromptPiece>& prompt) const {
    std::vector<PictureTokens> placed;
    for (PromptPiece& piece : prompt) {
      if (piece.kind != PromptPiece::Kind::image) continue;
      require(placed.size() < pictures.size(), "more placeholders than pictures in a prompt");
      placed.push_back(place(pictures[placed.size()], piece));
      require(!placed.back().runs.empty(), "a picture without visual tokens");
      piece.text = placed.back().text;
    }
    require(placed.size() == pictures.size(), "a prompt has ", placed.size(), " placeholders for ",
            pictures.size(), " pictures");
    return placed;
  }

  /// The text of a picture with each placeholder as often as its run is long.
  std::string expanded(const PictureTokens& picture) const {
    std::string text;
    std::size_t done = 0;
    for (const TokenIds& run : picture.runs) {
      const std::size_t at = picture.text.find(spec_.placeholder, done);
      require(at != std::string::npos, "a picture's text lacks a placeholder");
      text += picture.text.substr(done, at - done);
      for (std::size_t i = 0; i < run.size(); ++i) text += spec_.placeholder;
      done = at + spec_.placeholder.size();
    }
    return text + picture.text.substr(done);
  }

  static void add_token(std::int64_t id, Features& f, std::int64_t picture = -1,
                        TokenClass token_class = TokenClass::text) {
    f.input_ids.push_back(id);
    f.token_class.push_back(token_class);
    f.picture.push_back(picture);
  }

  void add_run(const TokenIds& run, std::int64_t picture, Features& f) const {
    const std::int64_t visual = std::ssize(run) - spec_.text_rows;
    for (std::int64_t i = 0; i < std::ssize(run); ++i)
      add_token(run[static_cast<std::size_t>(i)], f, picture,
                i < visual ? TokenClass::visual : TokenClass::text);
  }

  /// The ids, with the placeholders' runs in their place.
  void add_tokens(const TokenIds& ids, const std::vector<PictureTokens>& pictures, Features& f) const {
    std::size_t picture = 0, run = 0;
    for (const std::int64_t id : ids) {
      if (id != placeholder_) {
        add_token(id, f);
      } else if (picture < pictures.size()) {
        add_run(pictures[picture].runs[run], static_cast<std::int64_t>(picture), f);
        if (++run == pictures[picture].runs.size()) ++picture, run = 0;
      } else if (spec_.placeholder_in_text) {
        add_token(id, f);
      } else {
        fail_reserved(spec_.placeholder);
      }
    }
    require(picture == pictures.size(), "the tokens of a prompt have too few placeholders");
  }

  void add_positions(Features& f) const {
    switch (spec_.positions) {
      case Positions::sequence:
        for (std::size_t i = 0; i < f.input_ids.size(); ++i) add_position(f);
        return;
      case Positions::shared: return add_shared_positions(f);
      case Positions::mrope: return add_mrope_positions(f);
    }
  }

  static void add_position(Features& f) {
    const std::int64_t p = f.next_position++;
    f.positions.push_back({p, p, p});
  }

  static void add_shared_positions(Features& f) {
    const auto& picture = f.picture;
    for (std::size_t i = 0; i < picture.size(); ++i) {
      const bool shares = i >= 2 && i + 1 < picture.size() && picture[i] >= 0 &&
                          picture[i - 2] == picture[i] && picture[i - 1] == picture[i] &&
                          picture[i + 1] == picture[i];
      if (shares)
        f.positions.push_back(f.positions.back());
      else
        add_position(f);
    }
  }

  void add_mrope_positions(Features& f) const {
    std::vector<PictureSpan> spans;
    for (std::size_t i = 0; i < f.picture.size(); ++i)
      if (f.picture[i] >= 0 && static_cast<std::size_t>(f.picture[i]) == spans.size())
        spans.push_back({static_cast<std::int64_t>(i), f.grids[spans.size()]});
    MropePositions positions = mrope_positions(std::ssize(f.input_ids), spans, spec_.layout.merge);
    f.positions = std::move(positions.positions);
    f.next_position = positions.next;
    f.position_axes = 3;
  }

  ProcessorSpec spec_;
  NormalizationTable table_;
  std::int64_t placeholder_ = 0;
};

}  // namespace

std::unique_ptr<Processor> make_processor(ProcessorSpec spec) {
  return std::make_unique<SpecProcessor>(std::move(spec));
}

PromptSpec chat_ml(const std::string& close) {
  PromptSpec prompt;
  prompt.system = {"<|im_start|>system\n", close};
  prompt.user = {"<|im_start|>user\n", close};
  prompt.assistant = {"<|im_start|>assistant\n", close};
  prompt.generation = "<|im_start|>assistant\n";
  prompt.after_answer = "<|im_end|>";
  return prompt;
}

std::string with(std::string text, std::string_view found, std::string_view replacement) {
  const std::size_t at = text.find(found);
  require(at != std::string::npos, "no '", found, "' in '", text, "'");
  return text.replace(at, found.size(), replacement);
}

}  // namespace mquant
