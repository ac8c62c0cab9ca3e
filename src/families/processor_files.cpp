#include "families/processor_files.h"

#include <algorithm>
#include <cmath>

#include "io/json_text.h"
#include "mquant/error.h"
#include "support/strings.h"

namespace mquant {
namespace {

constexpr std::int64_t kLargestSide = 8192, kLargestPatches = 1024, kLargestCount = 65536,
                       kLargestJoined = 64;

/// Keys of every image processor that are read here, or that change nothing for one picture that is RGB already.
const std::vector<std::string> kImageProcessorKeys = {
    // read
    "do_normalize", "do_rescale", "do_resize", "image_mean", "image_processor_type", "image_std", "resample",
    "rescale_factor", "size",
    // names of code
    "auto_map", "feature_extractor_type", "processor_class", "_processor_class", "transformers_version",
    // of the call: types of tensors, batches, devices, and RGB, to which load_image converts in any case
    "_valid_processor_keys", "data_format", "device", "disable_grouping", "do_convert_rgb",
    "input_data_format", "return_tensors",
    // which the processors of families without a crop do not look at; LLaVA's does
    "crop_size", "default_to_square", "do_center_crop", "do_pad", "pad_size"};
/// Keys of processor_config.json that are read elsewhere or change nothing.
const std::vector<std::string> kProcessorKeys = {
    "auto_map",         "chat_template",        "image_processor", "processor_class",
    "_processor_class", "transformers_version", "video_processor"};

/// Nothing that would change the pictures or the prompt is passed over.
void require_known_keys(const Config& config, const std::vector<std::string>& own,
                        const std::vector<std::string>& shared) {
  for (const std::string& key : config.keys("")) {
    const bool known =
        std::ranges::find(own, key) != own.end() || std::ranges::find(shared, key) != shared.end();
    if (config.has(key) && !known)
      fail(ErrorKind::unsupported, config.origin(), ": '", printable(key), "' is ",
           printable(config.raw(key)),
           ", which is not known for this family; remove it if it changes nothing", did_you_mean(key, own));
  }
}

/// The class that does the arithmetic: "CLIPImageProcessor" of "CLIPImageProcessorFast".
std::string plain_type(std::string type) {
  for (const std::string_view suffix : {"Fast", "Pil"})
    if (type.ends_with(suffix)) type.resize(type.size() - suffix.size());
  return type;
}

/// Null is off, or an error, to transformers 5, and the default of the class to the fast classes of 4.
void refuse_null(const Config& config, const std::string& key, std::string_view expected) {
  if (config.raw(key) == "null")
    fail(ErrorKind::unsupported, config.origin(), ": '", key,
         "' is null, which versions of transformers read in different ways: expected ", expected,
         "; write what the model was trained with");
}

/// Classes that some versions of transformers build the post-processor of by add_bos_token and add_eos_token; others
/// leave tokenizer.json as it is.
bool reads_ends(std::string_view tokenizer_class) {
  if (tokenizer_class.empty()) return true;  // chosen by the type of the model
  return std::ranges::any_of(std::array{"Llama", "CodeLlama", "Gemma", "InternLM2"},
                             [&](const char* start) { return tokenizer_class.starts_with(start); });
}

std::array<double, 3> three_numbers(const Config& config, const std::string& key,
                                    const std::array<double, 3>& otherwise) {
  refuse_null(config, key, "three numbers");
  if (!config.has(key)) return otherwise;
  const std::vector<double> numbers = config.numbers(key);
  if (!config.raw(key).starts_with('[')) return {numbers[0], numbers[0], numbers[0]};
  if (numbers.size() != 3)
    fail(ErrorKind::input, config.origin(), ": '", key, "': expected 3 numbers, one a channel, found ",
         numbers.size());
  return {numbers[0], numbers[1], numbers[2]};
}

}  // namespace

Config open_optional(const std::filesystem::path& file) {
  return std::filesystem::exists(file) ? Config::open(file) : Config::parse("{}", file.string());
}

Config open_preprocessor(const std::filesystem::path& directory, const KnownSettings& known) {
  const std::filesystem::path own = directory / "preprocessor_config.json";
  const Config whole = open_optional(directory / "processor_config.json");
  const bool nested = whole.has("image_processor");
  if (!nested && !std::filesystem::exists(own))
    fail(ErrorKind::input, own.string(), ": no such file, nor an 'image_processor' in ", whole.origin(),
         "; copy it from the release");
  Config pre = nested ? Config::parse(whole.raw("image_processor"), whole.origin() + " (image_processor)")
                      : Config::open(own);
  require_known_keys(pre, known.keys, kImageProcessorKeys);
  const std::string type = pre.string_or("image_processor_type", "");
  if (!type.empty() && std::ranges::find(known.types, plain_type(type)) == known.types.end())
    fail(ErrorKind::unsupported, pre.origin(), ": 'image_processor_type' is \"", printable(type),
         "\", which is not known for this family; known are ", join(known.types, ", "));
  require_switch(pre, "do_resize", true);
  return pre;
}

Config open_tokenizer_config(const std::filesystem::path& directory) {
  Config names = open_optional(directory / "tokenizer_config.json");
  require_switch(names, "split_special_tokens", false);
  return names;
}

Config open_processor_config(const std::filesystem::path& directory, const std::vector<std::string>& keys) {
  Config whole = open_optional(directory / "processor_config.json");
  require_known_keys(whole, keys, kProcessorKeys);
  return whole;
}

Normalization normalization(const Config& pre, const Normalization& otherwise, const std::string& mean,
                            const std::string& deviation) {
  require_switch(pre, "do_rescale", true);
  require_switch(pre, "do_normalize", true);
  return {.mean = three_numbers(pre, mean, otherwise.mean),
          .deviation = three_numbers(pre, deviation, otherwise.deviation),
          .rescale = pre.number_or("rescale_factor", otherwise.rescale)};
}

ResizeFilter filter(const Config& pre, ResizeFilter otherwise) {
  if (!pre.has("resample")) return otherwise;
  switch (const std::int64_t number = pre.integer("resample")) {
    case 1: return ResizeFilter::lanczos;
    case 2: return ResizeFilter::bilinear;
    case 3: return ResizeFilter::bicubic;
    default:
      fail(ErrorKind::unsupported, pre.origin(), ": 'resample': filter ", number,
           "; known are 1 (Lanczos), 2 (bilinear), 3 (bicubic)");
  }
}

void require_filter(const Config& pre, ResizeFilter only) {
  if (filter(pre, only) != only)
    fail(ErrorKind::unsupported, pre.origin(), ": 'resample': filter ", pre.integer("resample"),
         " is not known for this family");
}

bool switch_or(const Config& config, const std::string& key, bool otherwise) {
  if (otherwise) refuse_null(config, key, "true or false");
  return config.boolean_or(key, otherwise);
}

void require_switch(const Config& pre, const std::string& key, bool value) {
  if (switch_or(pre, key, value) != value)
    fail(ErrorKind::unsupported, pre.origin(), ": '", key, "' is ", value ? "false" : "true",
         ", which is not known for this family");
}

std::int64_t square_side(const Config& config, const std::string& path) {
  std::int64_t side = 0, other = 0;
  if (config.has(path + ".height")) {
    side = config.positive(path + ".height");
    other = config.positive(path + ".width");
  } else {
    const std::vector<std::int64_t> sides = config.integers(path);
    if (sides.size() > 2 || sides.empty())
      fail(ErrorKind::input, config.origin(), ": '", path, "': expected one or two sides, found ",
           sides.size());
    side = sides.front(), other = sides.back();
  }
  if (side != other || side < 1 || side > kLargestSide)
    fail(ErrorKind::input, config.origin(), ": '", path, "': expected a square of 1 to ", kLargestSide,
         " pixels a side, found ", side, " x ", other);
  return side;
}

std::int64_t rows_a_side(const Config& config, std::int64_t side, std::int64_t patch, std::int64_t joined) {
  const std::int64_t patches = side / patch;
  if (patches < 1 || patches > kLargestPatches || patches % joined != 0)
    fail(ErrorKind::input, config.origin(), ": pictures of ", side, " pixels a side have ", patches,
         " patches of ", patch, " a side: expected 1 to ", kLargestPatches, ", a multiple of ", joined,
         ", which is how many the projector joins");
  return patches / joined;
}

std::int64_t joined_side(const Config& config, const std::string& key, double otherwise) {
  const double ratio = config.number_or(key, otherwise), side = 1 / ratio;
  if (!(ratio > 0 && side >= 1 && side <= kLargestJoined && side == std::floor(side)))
    fail(ErrorKind::input, config.origin(), ": '", key, "' is ", ratio,
         ": expected one over a whole number of 1 to ", kLargestJoined);
  return static_cast<std::int64_t>(side);
}

std::int64_t small_count(const Config& config, const std::string& key, std::int64_t otherwise) {
  const std::int64_t count = config.positive_or(key, otherwise);
  if (count > kLargestCount)
    fail(ErrorKind::input, config.origin(), ": '", key, "': expected at most ", kLargestCount, ", found ",
         count);
  return count;
}

CountRange count_range(const Config& config, const std::string& least_key, const std::string& most_key,
                       const CountRange& otherwise) {
  const CountRange range = {small_count(config, least_key, otherwise.least),
                            small_count(config, most_key, otherwise.most)};
  if (range.least > range.most)
    fail(ErrorKind::input, config.origin(), ": '", least_key, "' is ", range.least, ": expected at most ",
         range.most, ", which is '", most_key, "'");
  return range;
}

void require_agreement(const Config& config, const std::string& key, std::int64_t value,
                       std::string_view source) {
  if (config.has(key) && config.integer(key) != value)
    fail(ErrorKind::input, config.origin(), ": '", key, "' is ", config.integer(key), ": expected ", value,
         ", as ", source, " says; the files do not belong together");
}

void require_agreement(const Config& config, const std::string& key, const Config& other,
                       const std::string& other_key) {
  if (!config.has(key) || !other.has(other_key)) return;
  if (const std::string value = config.raw(key), wanted = other.raw(other_key); value != wanted)
    fail(ErrorKind::input, config.origin(), ": '", key, "' is ", printable(value), ": expected ",
         printable(wanted), ", as ", other.origin(), " says; the files do not belong together");
}

std::int64_t agreed_id(const Tokenizer& tokenizer, const std::string& token, const Config& config,
                       const std::string& key) {
  const std::int64_t id = tokenizer.id_of(token);
  require_agreement(config, key, id, cat("the tokenizer of '", token, "'"));
  return id;
}

TokenIds front_ids(const std::filesystem::path& directory, const Tokenizer& tokenizer) {
  if (!tokenizer.after().empty())
    fail(ErrorKind::unsupported, tokenizer.origin(), ": the 'post_processor' ends every text with '",
         printable(tokenizer.token_of(tokenizer.after().front())),
         "', after which no answer follows; take it out there, and set 'add_eos_token' of "
         "tokenizer_config.json to false");
  const Config names = open_tokenizer_config(directory);
  if (!reads_ends(names.string_or("tokenizer_class", ""))) return tokenizer.before();
  const bool has_bos = !tokenizer.before().empty(), bos = switch_or(names, "add_bos_token", has_bos),
             eos = names.boolean_or("add_eos_token", false);
  const auto said = [](bool value) { return value ? "true" : "false"; };
  if (bos != has_bos || eos)
    fail(ErrorKind::unsupported, names.origin(), ": 'add_bos_token' is ", said(bos),
         " and 'add_eos_token' is ", said(eos), ": expected what ", tokenizer.origin(), " does, ",
         said(has_bos), " and false");
  return tokenizer.before();
}

TokenIds stop_ids(const std::filesystem::path& directory, const Config& config, const std::string& path,
                  const Tokenizer& tokenizer, const std::vector<std::string>& more) {
  const Config generation = open_optional(directory / "generation_config.json");
  TokenIds ids;
  if (generation.has("eos_token_id"))
    ids = generation.integers("eos_token_id");
  else if (config.has(path))
    ids = config.integers(path);
  for (const std::string& token : more) {
    const std::int64_t id = tokenizer.id_of(token);
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  }
  return ids;
}

Tiling stretched(const Image& image, std::int64_t side, ResizeFilter filter) {
  Tiling tiling{.grid = {0, 0}, .tiles = {}};
  tiling.tiles.push_back(resize(image, {side, side}, {.filter = filter}));
  return tiling;
}

}  // namespace mquant
