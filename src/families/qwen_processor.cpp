// The processor of Qwen2-VL and its successors: pictures resized to whole merge blocks, one placeholder a picture in
// the prompt, expanded to as many tokens as the projector makes of it.
#include "families/parts.h"
#include "mquant/error.h"
#include "text/prompt.h"
#include "text/tokenizer.h"
#include "vision/decode.h"
#include "vision/patches.h"
#include "vision/positions.h"
#include "vision/resize.h"

namespace mquant {
namespace {

PromptSpec chat_ml() {
  PromptSpec prompt;
  prompt.default_system = "You are a helpful assistant.";
  prompt.system = {"<|im_start|>system\n", "<|im_end|>\n"};
  prompt.user = {"<|im_start|>user\n", "<|im_end|>\n"};
  prompt.assistant = {"<|im_start|>assistant\n", "<|im_end|>\n"};
  prompt.generation = "<|im_start|>assistant\n";
  prompt.image = "<|vision_start|><|image_pad|><|vision_end|>";
  prompt.after_answer = "<|im_end|>";
  return prompt;
}

std::array<double, 3> three(const Config& config, const std::string& key) {
  const std::vector<double> numbers = config.numbers(key);
  if (numbers.size() != 3)
    fail(ErrorKind::input, config.origin(), ": '", key, "': expected 3 numbers, found ", numbers.size());
  return {numbers[0], numbers[1], numbers[2]};
}

/// Coordinates of the rows that append_patches makes, in its order.
void append_patch_positions(const Grid& grid, std::int64_t merge,
                            std::vector<std::array<std::int64_t, 2>>& out) {
  for (std::int64_t row = 0; row < grid.h; row += merge)
    for (std::int64_t column = 0; column < grid.w; column += merge)
      for (std::int64_t y = 0; y < merge; ++y)
        for (std::int64_t x = 0; x < merge; ++x) out.push_back({row + y, column + x});
}

class QwenProcessor final : public Processor {
 public:
  QwenProcessor(const std::filesystem::path& directory, const Config& config)
      : tokenizer_(open_tokenizer(directory)),
        prompt_(chat_ml()),
        image_token_(config.integer("image_token_id")) {
    const Config pre = Config::open(directory / "preprocessor_config.json");
    layout_ = {pre.positive("patch_size"), pre.positive("temporal_patch_size"), pre.positive("merge_size")};
    // Later releases call the pixel counts edges; both stand for areas.
    min_pixels_ = pre.has("min_pixels") ? pre.positive("min_pixels") : pre.positive("size.shortest_edge");
    max_pixels_ = pre.has("max_pixels") ? pre.positive("max_pixels") : pre.positive("size.longest_edge");
    table_ = normalization_table({three(pre, "image_mean"), three(pre, "image_std")});
    const std::filesystem::path generation = directory / "generation_config.json";
    stop_ids_ = std::filesystem::exists(generation) ? Config::open(generation).integers("eos_token_id")
                                                    : config.integers(text(config) + "eos_token_id");
  }

  std::string prompt(const Sample& sample) const override { return render_prompt(prompt_, sample); }

  Features features(const Sample& sample, WithAnswer with_answer) const override {
    Features f;
    f.pixel_columns = layout_.columns();
    for (const Message& message : sample.messages)
      for (const ContentPart& part : message.content)
        if (part.kind == ContentPart::Kind::image) add_picture(part.image, f);
    add_tokens(tokenizer_.encode(prompt(sample)), f);
    if (with_answer == WithAnswer::yes && sample.answer) {
      f.answer_begin = static_cast<std::int64_t>(f.input_ids.size());
      for (const std::int64_t id : tokenizer_.encode(*sample.answer + prompt_.after_answer))
        add_token(id, -1, f);
    }
    add_positions(f);
    return f;
  }

  std::string decode(const std::vector<std::int64_t>& ids) const override {
    return tokenizer_.decode(ids, true);
  }
  const std::vector<std::int64_t>& stop_ids() const override { return stop_ids_; }

 private:
  void add_picture(const std::filesystem::path& file, Features& f) const {
    const Image image = open_image(file);
    const ImageSize size =
        smart_resize(size_of(image), layout_.patch * layout_.merge, min_pixels_, max_pixels_);
    const Image resized = resize(image, size);
    f.grids.push_back(append_patches(resized, layout_, table_, f.pixels));
    append_patch_positions(f.grids.back(), layout_.merge, f.patches);
  }

  static void add_token(std::int64_t id, std::int64_t picture, Features& f) {
    f.input_ids.push_back(id);
    f.token_class.push_back(picture < 0 ? TokenClass::text : TokenClass::visual);
    f.picture.push_back(picture);
  }

  std::int64_t merged_rows(const Grid& grid) const { return grid.rows() / (layout_.merge * layout_.merge); }

  /// The prompt's ids, each placeholder as many times as its picture has merged rows.
  void add_tokens(const std::vector<std::int64_t>& ids, Features& f) const {
    std::size_t picture = 0;
    for (const std::int64_t id : ids) {
      if (id != image_token_) {
        add_token(id, -1, f);
        continue;
      }
      if (picture == f.grids.size())
        fail(ErrorKind::input, "a text holds the placeholder of a picture; write it apart");
      const std::int64_t rows = merged_rows(f.grids[picture]);
      for (std::int64_t i = 0; i < rows; ++i) add_token(id, static_cast<std::int64_t>(picture), f);
      ++picture;
    }
    require(picture == f.grids.size(), "the prompt has ", picture, " placeholders for ", f.grids.size(),
            " pictures");
  }

  void add_positions(Features& f) const {
    std::vector<PictureSpan> spans;
    for (std::size_t i = 0; i < f.picture.size(); ++i)
      if (f.picture[i] >= 0 && static_cast<std::size_t>(f.picture[i]) == spans.size())
        spans.push_back({static_cast<std::int64_t>(i), f.grids[spans.size()]});
    MropePositions positions =
        mrope_positions(static_cast<std::int64_t>(f.input_ids.size()), spans, layout_.merge);
    f.positions = std::move(positions.positions);
    f.next_position = positions.next;
    f.position_axes = 3;
  }

  Tokenizer tokenizer_;
  PromptSpec prompt_;
  std::int64_t image_token_;
  PatchLayout layout_;
  std::int64_t min_pixels_ = 0, max_pixels_ = 0;
  NormalizationTable table_{};
  std::vector<std::int64_t> stop_ids_;
};

}  // namespace

std::unique_ptr<Processor> make_qwen_processor(const std::filesystem::path& directory, const Config& config) {
  return std::make_unique<QwenProcessor>(directory, config);
}

}  // namespace mquant
