#include "text/sample_keys.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "mquant/error.h"
#include "support/strings.h"

namespace mquant {
namespace {

/// Another program's name, and ours: too far apart for did_you_mean.  The first one that is known where it
/// stands counts.
constexpr std::array<std::pair<std::string_view, std::string_view>, 28> kOtherNames = {{
    {"response", "answer"},
    {"output", "answer"},
    {"completion", "answer"},
    {"target", "answer"},
    {"label", "answer"},
    {"solution", "answer"},
    {"ground_truth", "answer"},
    {"chosen", "answer"},
    {"instruction", "prompt"},
    {"input", "prompt"},
    {"query", "prompt"},
    {"question", "prompt"},
    {"text", "prompt"},
    {"img", "image"},
    {"image_path", "image"},
    {"image_file", "image"},
    {"image_url", "image"},
    {"picture", "image"},
    {"image", "images"},
    {"system_prompt", "system"},
    {"conversation", "messages"},
    {"dialog", "messages"},
    {"turns", "messages"},
    {"functions", "tools"},
    {"function_call", "tool_calls"},
    {"text", "content"},
    {"thinking", "reasoning_content"},
    {"speaker", "role"},
}};

constexpr std::array<std::string_view, 6> kOtherMedia = {"video",  "videos",    "audio",
                                                         "audios", "video_url", "input_audio"};

bool contains(const std::vector<std::string>& keys, std::string_view key) {
  return std::ranges::find(keys, key) != keys.end();
}

std::string hint(const std::string& key, const std::vector<std::string>& known) {
  for (const auto& [other, ours] : kOtherNames)
    if (key == other && contains(known, ours)) return cat("; did you mean '", ours, "'?");
  return did_you_mean(key, known);
}

bool says_nothing(const Json& value) { return value.is_null() || (value.is_array() && value.empty()); }

}  // namespace

const std::vector<std::string>& sample_keys() {
  static const std::vector<std::string> keys = {"id",     "kind",  "messages", "conversations", "prompt",
                                                "answer", "image", "images",   "system",        "tools"};
  return keys;
}

const std::vector<std::string>& message_keys() {
  static const std::vector<std::string> keys = {"role",         "from",   "content",
                                                "value",        "images", "tool_calls",
                                                "tool_call_id", "name",   "reasoning_content"};
  return keys;
}

const std::vector<std::string>& provenance_keys() {
  static const std::vector<std::string> keys = {
      "metadata", "source", "data_source", "dataset", "split", "url",    "license",    "model",
      "category", "task",   "language",    "comment", "width", "height", "width_list", "height_list"};
  return keys;
}

void check_keys(const JsonPart& object, const std::vector<std::string>& known,
                const std::vector<std::string>& harmless) {
  if (!object.value().is_object()) object.fail_expecting("an object");
  for (const auto& [key, value] : object.value().items()) {
    if (says_nothing(value) || contains(known, key) || contains(harmless, key)) continue;
    if (std::ranges::find(kOtherMedia, key) != kOtherMedia.end())
      object.at(key).fail_unsupported("anything but texts and pictures");
    const std::string meant = hint(key, known);
    fail(ErrorKind::input, object.where(), ": unknown key '", printable(key), "'",
         meant.empty() ? cat("; known are ", join(known, ", ")) : meant,
         meant.empty() && !harmless.empty() ? "; what is not part of the sample goes to 'metadata'" : "");
  }
}

bool has_some(const JsonPart& object, std::string_view key) {
  return object.has(key) && !says_nothing(object.at(key).value());
}

}  // namespace mquant
