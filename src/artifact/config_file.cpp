#include "artifact/config_file.h"

#include <nlohmann/json.hpp>

#include "io/config_keys.h"
#include "mquant/error.h"
#include "support/strings.h"

namespace mquant {
namespace {

/// Sets the last word of a dotted path to false.  The objects before it are there or are made.
void set_false(OrderedJson& config, const std::string& path) {
  OrderedJson* at = &config;
  for (const std::string& word : split(path, '.')) {
    if (at->is_null()) *at = OrderedJson::object();
    if (!at->is_object()) fail(ErrorKind::input, "config.json: '", path, "': expected objects on the way");
    at = &(*at)[word];
  }
  *at = false;
}

/// From objects of any depth.  A key that says so of float weights is stale, and loaders would believe it.
void remove_key(OrderedJson& config, const char* key) {
  if (!config.is_object()) return;
  config.erase(key);
  for (auto& item : config.items()) remove_key(item.value(), key);
}

}  // namespace

std::string edited_config(const std::filesystem::path& source, const OrderedJson& quantization_config,
                          const std::string& untied_key) {
  OrderedJson config = read_ordered_json(source);
  if (!config.is_object()) fail(ErrorKind::input, source.string(), ": expected an object");
  remove_key(config, kQuantization);
  if (!untied_key.empty()) {
    set_false(config, untied_key);
    // Nested configs of the language model may repeat the key; the vision tower's is another matter.
    for (const char* part : {"text_config", "llm_config", "language_config"})
      if (config.contains(part) && config[part].is_object() && config[part].contains(untied_key))
        config[part][untied_key] = false;
  }
  config[kQuantization] = quantization_config;
  return config.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace mquant
