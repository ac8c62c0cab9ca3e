#include "bench/workload.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <system_error>

#include "mquant/error.h"
#include "support/rng.h"
#include "vision/write_png.h"

namespace mquant {
namespace {

constexpr std::array kWords = {"the",   "picture", "shows", "a",   "small",
                               "house", "near",    "water", "and", "trees"};
constexpr int kMostTries = 8;

class TemporaryDirectory {
 public:
  TemporaryDirectory() : path_(std::filesystem::temp_directory_path() / cat("mquant-bench-", ::getpid())) {
    std::filesystem::create_directories(path_);
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Slopes of colour with noise on them: neither flat nor all noise, as photographs are.
Image made_up_picture(const PictureSize& size, std::uint64_t seed) {
  Image image{size.width, size.height, {}};
  image.rgb.reserve(static_cast<std::size_t>(3 * size.width * size.height));
  Rng rng(seed);
  for (std::int64_t y = 0; y < size.height; ++y)
    for (std::int64_t x = 0; x < size.width; ++x)
      for (const std::int64_t slope : {x * 192 / size.width, y * 192 / size.height, (x + y) % 192})
        image.rgb.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(slope) + rng.next() % 64));
  return image;
}

Sample sample_of(const std::vector<std::filesystem::path>& pictures, std::int64_t words) {
  Message user{"user", {}};
  for (const std::filesystem::path& picture : pictures)
    user.content.push_back({ContentPart::Kind::image, "", picture, picture.filename().string()});
  std::string text;
  for (std::int64_t i = 0; i < words; ++i)
    text += cat(i == 0 ? "" : " ", kWords[static_cast<std::size_t>(i) % kWords.size()]);
  user.content.push_back({.text = text});
  Sample sample;
  sample.id = "benchmark";
  sample.messages.push_back(user);
  return sample;
}

}  // namespace

Features make_prompt(const std::vector<PictureSize>& pictures, std::int64_t text_tokens,
                     const std::function<Features(const Sample&)>& features) {
  const TemporaryDirectory directory;
  std::vector<std::filesystem::path> paths;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    paths.push_back(directory.path() / cat("picture-", i + 1, ".png"));
    write_png(made_up_picture(pictures[i], i + 1), paths.back());
  }
  // A word is about as many tokens as the last prompt had to a word.
  Features best;
  std::int64_t words = 1, tokens_of_one = 0, least = -1;
  for (int i = 0; i < kMostTries; ++i) {
    Features found = features(sample_of(paths, words));
    const auto tokens =
        static_cast<std::int64_t>(found.input_ids.size()) - count_tokens(found, TokenClass::visual);
    if (i == 0) tokens_of_one = tokens;
    const double a_word =
        words == 1
            ? 1.0
            : std::max(0.1, static_cast<double>(tokens - tokens_of_one) / static_cast<double>(words - 1));
    const std::int64_t missing = text_tokens - tokens;
    if (least < 0 || std::abs(missing) < least) {
      least = std::abs(missing);
      best = std::move(found);
    }
    const std::int64_t before = words;
    words = std::max<std::int64_t>(1, words + std::llround(static_cast<double>(missing) / a_word));
    if (missing == 0 || words == before) break;
  }
  return best;
}

Features merged(const Features& one, std::int64_t batch) {
  Features all = one;
  if (all.prompt_length == 0) all.prompt_length = static_cast<std::int64_t>(one.input_ids.size());
  const auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
  for (std::int64_t i = 1; i < batch; ++i) {
    append(all.input_ids, one.input_ids);
    append(all.token_class, one.token_class);
    append(all.positions, one.positions);
    append(all.pixels, one.pixels);
    append(all.grids, one.grids);
    append(all.patches, one.patches);
    const std::int64_t pictures = *std::ranges::max_element(all.picture) + 1;
    for (const std::int64_t picture : one.picture)
      all.picture.push_back(picture < 0 ? -1 : pictures + picture);
  }
  return all;
}

std::int64_t decoded_token(std::int64_t step, std::int64_t vocabulary) {
  return (step * 7919 + 101) % vocabulary;  // a prime apart, so that rows of the table are not neighbours
}

std::int64_t count_tokens(const Features& features, TokenClass token_class) {
  return std::ranges::count(features.token_class, token_class);
}

}  // namespace mquant
