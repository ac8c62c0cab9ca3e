// Lookups in the files that a release has for its processor: preprocessor_config.json and its neighbours.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "mquant/config.h"
#include "text/tokenizer.h"
#include "vision/patches.h"
#include "vision/tiling.h"

namespace mquant {

/// Means and deviations that many releases share, and some leave out.
inline constexpr Normalization kClipNormalization = {{0.48145466, 0.4578275, 0.40821073},
                                                     {0.26862954, 0.26130258, 0.27577711}};
inline constexpr Normalization kHalfNormalization = {{0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}};
inline constexpr Normalization kImageNetNormalization = {{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}};

/// What a family's official image processor is called and reads.
struct KnownSettings {
  std::vector<std::string> types;  ///< image_processor_type, without "Fast" or "Pil"
  std::vector<std::string> keys;   ///< beyond those that every image processor has
};
/// The "image_processor" of processor_config.json, where later transformers write it, else preprocessor_config.json.
/// @throws Error{input}        if there is neither
///         Error{unsupported}  for the type of another family, a key that is neither read nor known to be harmless, or
///                             do_resize: false
Config open_preprocessor(const std::filesystem::path& directory, const KnownSettings& known);
/// processor_config.json, {} if absent.  Throws Error{unsupported} for a key that is not among `keys` nor harmless.
Config open_processor_config(const std::filesystem::path& directory, const std::vector<std::string>& keys);
/// tokenizer_config.json, {} if absent.  Throws Error{unsupported} for split_special_tokens.
Config open_tokenizer_config(const std::filesystem::path& directory);
/// A file that not every release has: an empty object if it is absent.
/// Throws Error{input} if it holds no object.
Config open_optional(const std::filesystem::path& file);

/// image_mean, image_std (or other keys), each of three numbers or one for all channels, and rescale_factor.
/// @param otherwise  the defaults of the class that the release's file names
/// @throws Error{input}        for another count of numbers
///         Error{unsupported}  for null, or if do_normalize or do_rescale is false or null
Normalization normalization(const Config& pre, const Normalization& otherwise,
                            const std::string& mean = "image_mean",
                            const std::string& deviation = "image_std");

/// `resample`, Pillow's number of a filter.  Throws Error{unsupported} for those that no family uses.
ResizeFilter filter(const Config& pre, ResizeFilter otherwise);
/// Throws Error{unsupported} if `resample` is another filter: the family's tiling is known with this one only.
void require_filter(const Config& pre, ResizeFilter only);
/// A switch, or `otherwise`, the default of the official class, where the release omits it.
/// Throws Error{unsupported} for null where the default is on: versions of transformers differ in
/// what it means.
bool switch_or(const Config& config, const std::string& key, bool otherwise);
/// Throws Error{unsupported} if the switch `key` is not `value`, the default of the official class.
void require_switch(const Config& pre, const std::string& key, bool value);

/// The side of a square: 448, [448, 448], {"height": 448, "width": 448}.
/// @throws Error{input} if it is no square of 1 to 8192 pixels a side.
std::int64_t square_side(const Config& config, const std::string& path);
/// Rows a side of a square picture: its whole patches, which a convolution sees, over those that the projector joins.
/// @throws Error{input} if they cannot be joined, if there are none, or more than 1024 a side.
std::int64_t rows_a_side(const Config& config, std::int64_t side, std::int64_t patch,
                         std::int64_t joined = 1);
/// 1 / ratio: how many patches a side a pixel shuffle joins.  Throws Error{input} unless that is 1 to 64, and whole.
std::int64_t joined_side(const Config& config, const std::string& key, double otherwise);
/// A count of rows, slices or tokens: `key`, or `otherwise` where the release omits it.
/// @throws Error{input} if it is not 1 to 65536.
std::int64_t small_count(const Config& config, const std::string& key, std::int64_t otherwise);

struct CountRange {
  std::int64_t least = 1, most = 1;
};
/// Two counts as small_count reads them.  Throws Error{input} if they are not in order.
CountRange count_range(const Config& config, const std::string& least_key, const std::string& most_key,
                       const CountRange& otherwise);

/// Throws Error{input} if `key` is stated and not `value`, which is what `source` says.
void require_agreement(const Config& config, const std::string& key, std::int64_t value,
                       std::string_view source);
/// Throws Error{input} if both files state the keys, with different values.
void require_agreement(const Config& config, const std::string& key, const Config& other,
                       const std::string& other_key);

/// The id of `token`.  Throws Error{input} if the tokenizer lacks it, or if `key` of config.json says another.
std::int64_t agreed_id(const Tokenizer& tokenizer, const std::string& token, const Config& config,
                       const std::string& key);

/// What the tokenizer puts before a text, such as <s>.  Versions of transformers differ in whether
/// tokenizer_config.json overrules it.
/// @throws Error{unsupported} if it puts tokens after a text too, or if add_bos_token or
///         add_eos_token of a class that reads them differs from what it does
TokenIds front_ids(const std::filesystem::path& directory, const Tokenizer& tokenizer);

/// eos_token_id of generation_config.json, else of config.json at `path`, and the ids of `more` tokens.
TokenIds stop_ids(const std::filesystem::path& directory, const Config& config, const std::string& path,
                  const Tokenizer& tokenizer, const std::vector<std::string>& more = {});

/// One tile: the picture resized to the square, its aspect ratio not kept.
Tiling stretched(const Image& image, std::int64_t side, ResizeFilter filter);

}  // namespace mquant
