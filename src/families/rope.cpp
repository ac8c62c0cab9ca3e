// The settings of rotary positions in a config.json, as transformers combines them.
#include <algorithm>

#include "families/parts.h"
#include "mquant/error.h"
#include "support/checked.h"
#include "support/strings.h"

namespace mquant {
namespace {

/// An object with members.  Loaders pass over null and {} alike.
bool is_stated(const Config& config, const std::string& path) { return !config.keys(path).empty(); }

bool has_types(const Config& config, const std::string& path) {
  return config.has(cat(path, ".", kFullAttention)) || config.has(cat(path, ".", kSlidingAttention));
}

/// What holds for one type of layer.  Layers of one kind: `rope_scaling` of releases, or where that is not stated,
/// `rope_parameters`, which later transformers write.  Full and sliding layers (Gemma 3): an object of rope_parameters
/// for each, which rope_scaling updates for full layers only, and bases of their own beside them.
class RopeSettings {
 public:
  RopeSettings(const Config& config, const std::string& prefix, const std::string& layer_type)
      : config_(config),
        base_key_(prefix + (layer_type == kSlidingAttention ? "rope_local_base_freq" : "rope_theta")) {
    const std::string scaling = prefix + "rope_scaling", parameters = prefix + "rope_parameters";
    const bool scaled = is_stated(config, scaling), split = has_types(config, parameters);
    if (has_types(config, scaling) || (layer_type.empty() && !scaled && split))
      refuse(scaled ? scaling : parameters, "has settings for each type of layer; expected one for all");
    if (layer_type.empty()) {
      objects_ = {scaled ? scaling : parameters};
      return;
    }
    if (!split && is_stated(config, parameters))
      refuse(parameters, cat("has no settings for each type of layer; expected '", kFullAttention, "', '",
                             kSlidingAttention, "'"));
    if (scaled && !config.has(scaling + ".rope_type") && config.has(scaling + ".type"))
      refuse(scaling,
             "states 'type', which versions of transformers read differently; rename it to 'rope_type'");
    if (scaled && layer_type == kFullAttention) objects_.push_back(scaling);
    objects_.push_back(cat(parameters, ".", layer_type));
    is_stated(config, objects_.back());  // throws unless it is an object
  }

  /// Where the key stands, or would.
  std::string path(const std::string& key) const {
    for (const std::string& object : objects_)
      if (config_.has(cat(object, ".", key))) return cat(object, ".", key);
    return cat(objects_.front(), ".", key);
  }

  double base(double otherwise) const {
    for (const std::string& stated : {path("rope_theta"), base_key_})
      if (config_.has(stated)) return config_.positive_number(stated);
    return otherwise;
  }

  std::string type() const {
    return config_.string_or(path("rope_type"), config_.string_or(path("type"), "default"));
  }

  [[noreturn]] void refuse_type(const std::vector<std::string>& known) const {
    refuse(objects_.front(), cat("is of type \"", printable(type()), "\"; known are ", join(known, ", ")));
  }

 private:
  [[noreturn]] void refuse(const std::string& object, const std::string& why) const {
    fail(ErrorKind::unsupported, config_.origin(), ": '", object, "' ", why);
  }

  const Config& config_;
  std::string base_key_;
  std::vector<std::string> objects_;  // the one that decides first
};

}  // namespace

std::vector<std::int64_t> mrope_sections(const Config& config, const std::string& prefix, std::int64_t dim,
                                         const std::vector<std::int64_t>& otherwise) {
  const std::string path = RopeSettings(config, prefix, "").path("mrope_section");
  std::vector<std::int64_t> sections =
      otherwise.empty() || config.has(path) ? config.integers(path) : otherwise;
  const bool counts = std::ranges::all_of(sections, [&](std::int64_t n) { return n >= 0 && n <= dim; });
  if (sections.size() != 3 || !counts || checked_sum(sections) != dim / 2)
    fail(ErrorKind::input, config.origin(), ": '", path, "': expected three counts that sum to ", dim / 2,
         ", half of a head, found ", config.has(path) ? config.raw(path) : "none");
  return sections;
}

double tower_rope_base(const Config& config, const std::string& prefix, double otherwise) {
  const RopeSettings rope(config, prefix, "");
  const std::string type = rope.type();
  if (type != "default" && type != "axial") rope.refuse_type({"default", "axial"});
  return rope.base(otherwise);
}

void set_rope(const Config& config, const std::string& prefix, double otherwise, RopeSpec& rope,
              const std::string& layer_type) {
  const RopeSettings settings(config, prefix, layer_type);
  rope.base = settings.base(otherwise);
  const std::string type = settings.type();
  if (type == "default" || type == "mrope") return;
  if (type != "linear" && type != "dynamic") settings.refuse_type({"default", "mrope", "linear", "dynamic"});
  const double factor = config.positive_number(settings.path("factor"));
  if (type == "linear") {
    rope.position_scale = 1 / factor;
  } else {
    rope.stretch = Stretch::dynamic;
    rope.stretch_factor = factor;
    rope.trained_length = config.positive(prefix + "max_position_embeddings");
  }
}

}  // namespace mquant
