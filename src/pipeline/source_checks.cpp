#include "pipeline/source_checks.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <mutex>
#include <set>
#include <string_view>

#include "artifact/sidecars.h"
#include "io/config_keys.h"
#include "io/finite.h"
#include "io/json_text.h"
#include "io/saved_buffers.h"
#include "model/ends.h"
#include "model/stored_tensors.h"
#include "mquant/log.h"
#include "nn/for_all.h"
#include "support/mapped_file.h"
#include "support/strings.h"

namespace mquant {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kToMerge =
    "merge it first (PEFT: model.merge_and_unload(), then save_pretrained) and give the merged model";

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

std::string_view last_word(std::string_view name) { return name.substr(name.rfind('.') + 1); }

template <std::size_t n>
bool is_one_of(std::string_view word, const std::array<std::string_view, n>& words) {
  return std::ranges::find(words, word) != words.end();
}

/// Last words of tensors that other quantizers store beside or instead of weights.
bool belongs_to_codes(const std::string& name) {
  constexpr std::array<std::string_view, 23> kWords = {
      // AWQ, GPTQ
      "qweight", "qzeros", "g_idx", "scales",
      // FP8, NVFP4, compressed-tensors
      "weight_scale", "weight_scale_inv", "weight_scale_2", "weight_global_scale", "input_scale",
      "input_global_scale", "weight_packed", "weight_shape", "weight_zero_point", "weight_g_idx",
      // bitsandbytes
      "SCB", "weight_format", "absmax", "quant_map", "nested_absmax",
      // AQLM, QuIP#, HQQ
      "codes", "codebooks", "Qidxs", "W_q"};
  return is_one_of(last_word(name), kWords) || name.find("quant_state.") != name.npos;
}

/// Does a word of the dotted name satisfy `is_sign`?
template <class IsSign>
bool any_word(std::string_view name, const IsSign& is_sign) {
  for (std::size_t dot = name.find('.'); dot != name.npos; dot = name.find('.')) {
    if (is_sign(name.substr(0, dot))) return true;
    name.remove_prefix(dot + 1);
  }
  return is_sign(name);
}

/// Words in the names of what PEFT trains beside a weight (LoRA, OFT, BOFT, IA3, LoHa, LoKr, VeRA), and of the weights
/// that it wraps or keeps a second time.
bool belongs_to_adapter(std::string_view name) {
  constexpr std::array<std::string_view, 3> kWords = {"base_layer", "modules_to_save", "original_module"};
  constexpr std::array<std::string_view, 7> kStarts = {"lora_", "oft_",  "boft_", "ia3_",
                                                       "hada_", "lokr_", "vera_"};
  return any_word(name, [&](std::string_view word) {
    return is_one_of(word, kWords) ||
           std::ranges::any_of(kStarts, [&](std::string_view start) { return word.starts_with(start); });
  });
}

/// Heads that do not answer in text: of classification, reward and embedding models.
bool belongs_to_other_head(std::string_view name) {
  constexpr std::array<std::string_view, 6> kHeads = {"score",       "classifier", "v_head",
                                                      "reward_head", "value_head", "custom_text_proj"};
  return any_word(name, [&](std::string_view word) { return is_one_of(word, kHeads); });
}

bool is_float_type(std::string_view dtype) {
  constexpr std::array<std::string_view, 4> kFloats = {"BF16", "F16", "F32", "F64"};
  return is_one_of(dtype, kFloats);
}

/// Tensors that only a quantized checkpoint has.
std::vector<std::string> signs_of_codes(const Checkpoint& checkpoint) {
  std::vector<std::string> signs;
  for (const std::string& name : checkpoint.names()) {
    const bool coded_weight = name.ends_with(".weight") && !is_float_type(checkpoint.header(name).dtype);
    if (coded_weight || belongs_to_codes(name)) signs.push_back(name);
  }
  return signs;
}

/// "config.json says awq; ", or "".
std::string stated_method(const Config& config) {
  for (const std::string& path : config.paths_of(kQuantization))
    if (config.has(path + ".quant_method"))
      return cat("config.json says ", printable(config.raw(path + ".quant_method")), "; ");
  return {};
}

/// Reads the description against the headers.
class HeaderCheck {
 public:
  HeaderCheck(const SourceModel& source, Obstacles& obstacles)
      : source_(source),
        obstacles_(obstacles),
        where_(source.directory.string()),
        has_([&source](const std::string& name) { return source.checkpoint.has(name); }) {}

  void run() {
    for (const BlockSpec& block : source_.model.blocks)
      for (const StoredTensor& tensor : stored_tensors(block)) check(tensor, block);
    if (const std::string prefix = prefix_of_missing(); !prefix.empty()) {
      tell_prefix(prefix);
    } else {
      tell_heads();
      tell_missing();
    }
    if (!shapes_.empty()) tell(ErrorKind::input, shapes_, "tensors of another shape than config.json says");
    if (!types_.empty()) tell(ErrorKind::unsupported, types_, "tensors that are not floats");
  }

 private:
  void check(const StoredTensor& tensor, const BlockSpec& block) {
    const std::string name = name_in(source_.model, tensor.name, tensor.otherwise, has_);
    const bool is_head = block.name == "head" && tensor.use == TensorUse::weight;
    if (is_head && !has_(resolve(tensor.name, source_.model, has_))) absent_head_ = tensor.name;
    if (!source_.checkpoint.has(name)) {
      if (!tensor.optional) missing_.push_back(tensor);
      head_is_missing_ = head_is_missing_ || (is_head && tensor.otherwise.empty());
      return;
    }
    read_.insert(name);
    const TensorHeader header = source_.checkpoint.header(name);
    if (header.shape != tensor.shape)
      shapes_.push_back(cat("tensor '", printable(name), "': expected shape ", shape_text(tensor.shape),
                            " by config.json, found ", shape_text(header.shape)));
    if (!is_float_type(header.dtype))
      types_.push_back(cat("tensor '", printable(name), "' holds ", header.dtype,
                           ": only float checkpoints can be quantized"));
  }

  /// What stands in the files before the names of all tensors that are missing; "" if they are not there.
  std::string prefix_of_missing() const {
    if (missing_.empty()) return {};
    std::set<std::string> prefixes;
    for (const std::string& name : source_.checkpoint.names()) {
      std::size_t dot = name.find('.');
      for (int words = 0; words < 2 && dot != name.npos; ++words, dot = name.find('.', dot + 1))
        prefixes.insert(name.substr(0, dot + 1));
    }
    for (const std::string& prefix : prefixes) {
      const auto has = [&](const std::string& name) {
        return source_.checkpoint.has(prefix + name) && !read_.contains(prefix + name);
      };
      if (std::ranges::all_of(missing_, [&](const StoredTensor& tensor) {
            return has(name_in(source_.model, tensor.name, tensor.otherwise, has));
          }))
        return prefix;
    }
    return {};
  }

  void tell_prefix(const std::string& prefix) {
    obstacles_.add(ErrorKind::input, where_, ": no tensor '", printable(missing_[0].name), "'",
                   missing_.size() == 1 ? "" : cat(", and ", missing_.size() - 1, " others"),
                   ", but the files have such names after '", printable(prefix),
                   "': saved from a wrapped model; strip this prefix from the names");
  }

  /// A head that is neither stored nor the embeddings, and heads of other kinds of models.
  void tell_heads() {
    for (const std::string& name : source_.checkpoint.names()) {
      if (!belongs_to_other_head(name)) continue;
      obstacles_.add(
          ErrorKind::unsupported, where_, ": '", printable(name), "' ",
          head_is_missing_
              ? "in the place of the head: a classification, reward or embedding model; expected one "
                "that answers in text"
              : "is a second head, of a classification, reward or embedding model; save the model that "
                "answers in text without it (TRL: model.pretrained_model.save_pretrained())");
      if (head_is_missing_) missing_.clear();
      return;
    }
    if (absent_head_.empty()) return;
    const std::string tie = source_.model.tied_key, inner = "text_config." + tie;
    const Config& config = source_.config;
    if (!tie.empty() && config.has(tie) && config.has(inner) && config.boolean(tie) != config.boolean(inner))
      obstacles_.add(ErrorKind::input, where_, ": no tensor '", printable(absent_head_),
                     "', and in config.json '", tie, "' is ", config.raw(tie), ", but '", inner, "' is ",
                     config.raw(inner),
                     ": expected the same; set both to true if the head is the embeddings");
    else if (head_is_missing_)
      obstacles_.add(ErrorKind::input, where_, ": no tensor '", printable(absent_head_), "'",
                     tie.empty() ? ", the head" : cat(", and ", tie, " is false"),
                     "; the checkpoint may be incomplete, or of a model without a head");
  }

  void tell_missing() {
    std::vector<std::string> names;
    for (const StoredTensor& tensor : missing_)
      if (!head_is_missing_ || tensor.name != absent_head_) names.push_back(tensor.name);
    if (names.size() == 1)
      obstacles_.add(ErrorKind::input, where_, ": no tensor '", printable(names[0]), "'",
                     did_you_mean(names[0], source_.checkpoint.names()), "; the download may be incomplete");
    if (names.size() > 1)
      obstacles_.add(ErrorKind::input, where_, ": ", names.size(), " tensors are missing: ", few_of(names),
                     "; the download may be incomplete, or config.json of another model");
  }

  /// The first of the lines, and how many there are.
  void tell(ErrorKind kind, const std::vector<std::string>& lines, std::string_view what) {
    obstacles_.add(kind, where_, ": ", lines.front(),
                   lines.size() == 1 ? "" : cat("; ", lines.size(), " ", what, " in all"));
  }

  const SourceModel& source_;
  Obstacles& obstacles_;
  std::string where_;
  std::function<bool(const std::string&)> has_;
  std::set<std::string> read_;
  std::vector<StoredTensor> missing_;
  std::vector<std::string> shapes_, types_;
  std::string absent_head_;       // the head's own weight, where it is not stored
  bool head_is_missing_ = false;  // and nothing stands for it
};

std::vector<std::string> unread_tensors(const SourceModel& source) {
  std::set<std::string> read;
  const auto has = [&](const std::string& name) { return source.checkpoint.has(name); };
  for (const BlockSpec& block : source.model.blocks)
    for (const StoredTensor& tensor : stored_tensors(block))
      read.insert(name_in(source.model, tensor.name, tensor.otherwise, has));
  std::vector<std::string> unread;
  for (const std::string& name : source.checkpoint.names())
    if (!read.contains(name) && !is_saved_buffer(name)) unread.push_back(name);
  return unread;
}

/// Weight files of the directory that the checkpoint is not made of.
std::vector<std::string> other_weights(const SourceModel& source) {
  std::set<std::string> own;
  for (const fs::path& file : source.checkpoint.files()) own.insert(file.filename().string());
  std::vector<std::string> others;
  for (const fs::directory_entry& entry : fs::directory_iterator(source.directory)) {
    const std::string name = entry.path().filename().string();
    const bool weights = name.ends_with(".safetensors") || name.ends_with(".gguf") ||
                         (name.starts_with("pytorch_model") && name.ends_with(".bin")) ||
                         (name.starts_with("consolidated") && name.ends_with(".pth"));
    if (weights && !own.contains(name)) others.push_back(name);
  }
  std::ranges::sort(others);
  return others;
}

/// Folders in the directory that hold an adapter.
std::vector<std::string> adapter_folders(const fs::path& directory) {
  std::vector<std::string> folders;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory))
    if (is_file(entry.path() / "adapter_config.json"))
      folders.push_back(entry.path().filename().string() + "/");
  std::ranges::sort(folders);
  return folders;
}

/// A head that config.json ties to the embeddings and that is stored all the same, with other values.
std::string stray_head(const SourceModel& source) {
  const auto has = [&](const std::string& name) { return source.checkpoint.has(name); };
  for (const BlockSpec& block : source.model.blocks)
    for (const LinearSpec& linear : block.linears) {
      if (linear.weight.otherwise.empty()) continue;
      const std::string head = resolve(linear.weight.name, source.model, has),
                        table = resolve(linear.weight.otherwise, source.model, has);
      if (!has(head) || !has(table)) continue;
      const TensorView a = source.checkpoint.get(head), b = source.checkpoint.get(table);
      if (a.dtype != b.dtype || !std::ranges::equal(a.bytes, b.bytes)) return head;
    }
  return {};
}

}  // namespace

void refuse_adapter(const fs::path& directory) {
  const fs::path config = directory / "adapter_config.json";
  if (is_file(config))
    fail(ErrorKind::unsupported, config.string(), ": a PEFT adapter of '",
         printable(Config::open(config).string_or("base_model_name_or_path", "another model")), "'; ",
         kToMerge);
  for (const char* name : {"adapter_model.safetensors", "adapter_model.bin"})
    if (is_file(directory / name))
      fail(ErrorKind::unsupported, (directory / name).string(), ": weights of a PEFT adapter; ", kToMerge);
}

void check_headers(const SourceModel& source, Obstacles& obstacles) {
  const std::string where = source.directory.string();
  if (const std::vector<std::string> signs = signs_of_codes(source.checkpoint); !signs.empty())
    return obstacles.add(ErrorKind::unsupported, where, ": the model is quantized already (",
                         stated_method(source.config), few_of(signs), "); start from the float checkpoint");
  for (const std::string& name : source.checkpoint.names())
    if (belongs_to_adapter(name))
      return obstacles.add(ErrorKind::unsupported, where, ": '", printable(name), "' is of an adapter; ",
                           kToMerge);
  HeaderCheck(source, obstacles).run();
}

void check_tokenizer(const SourceModel& source, Obstacles& obstacles) {
  const std::int64_t rows = source.model.vocabulary;
  const auto beyond = source.processor->tokens_beyond(rows);
  if (beyond.empty()) return;
  const auto& [id, text] = *beyond.begin();
  obstacles.add(ErrorKind::input, source.directory.string(), ": token '", printable(text), "' has id ", id,
                ", but the embeddings have ", rows, " rows",
                beyond.size() == 1 ? "" : cat("; ", beyond.size(), " tokens in all"),
                ": resize_token_embeddings was left out, or the tokenizer is of another model");
}

namespace {
constexpr std::int64_t kMostTouched = std::int64_t{512} << 20;
}  // namespace

void check_values(const Checkpoint& checkpoint, Obstacles& obstacles) {
  const std::vector<std::string> names = checkpoint.names();
  std::vector<std::string> problems(names.size());
  std::atomic<std::int64_t> touched{0};  // bytes that count as memory of this process
  for_all(names.size(), [&](std::size_t i) {
    check_interrupt();
    if (!is_float_type(checkpoint.header(names[i]).dtype)) return;
    try {
      const TensorView view = checkpoint.get(names[i]);
      expect_finite(names[i], view);
      if ((touched += std::ssize(view.bytes)) < kMostTouched) return;
      touched = 0;
      forget_mapped_pages();
    } catch (const Error& error) {
      problems[i] = error.what();
    }
  });
  forget_mapped_pages();
  std::erase(problems, "");
  if (problems.empty()) return;
  obstacles.add(ErrorKind::input, checkpoint.directory().string(), ": ", problems.front(),
                problems.size() == 1 ? "" : cat("; ", problems.size(), " tensors in all"));
}

void warn_of_source(const SourceModel& source, bool values) {
  const std::string where = source.directory.string();
  for (const std::string& path : source.config.paths_of(kQuantization))
    warn(cat(source.config.origin(), ": '", path, "' is stale: the weights are floats and are read as such; ",
             "artifacts will not have the key"));
  if (const std::vector<std::string> others = other_weights(source); !others.empty())
    warn(cat(where, ": not read, as transformers does not: ", few_of(others), " beside ",
             source.checkpoint.files().front().filename().string()));
  if (const std::vector<std::string> unread = unread_tensors(source); !unread.empty())
    warn(cat(where, ": ", unread.size(), unread.size() == 1 ? " tensor is" : " tensors are",
             " read by no part of the model: ", few_of(unread)));
  for (const auto& [name, reason] : sidecars_of(source.checkpoint).left_out)
    warn(cat("'", printable((source.directory / name).string()), "' ", reason,
             "; artifacts will not have it"));
  if (const std::vector<std::string> adapters = adapter_folders(source.directory); !adapters.empty())
    warn(cat(where, ": not read, as transformers does not: adapters in ", few_of(adapters),
             "; where one is meant, ", kToMerge));
  if (const std::string head = values ? stray_head(source) : ""; !head.empty()) {
    const std::string key = source.model.tied_key;
    const bool stated = source.config.has(key) || source.config.has("text_config." + key);
    warn(cat(where, ": ", key, stated ? " is true" : " is not stated, and true by default", ", but '", head,
             "' holds other values than the embeddings: they stay two, as in transformers"));
  }
}

}  // namespace mquant
