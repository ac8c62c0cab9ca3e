// The table of families, and the choice among them by config.json.
#include <algorithm>
#include <array>

#include "mquant/error.h"
#include "mquant/family.h"
#include "support/strings.h"

namespace mquant {

#define MQUANT_FAMILY(name) extern const Family name;
#include "families/families.def"
#undef MQUANT_FAMILY

const std::vector<const Family*>& all_families() {
  static const std::vector<const Family*> families = {
#define MQUANT_FAMILY(name) &name,
#include "families/families.def"
#undef MQUANT_FAMILY
  };
  return families;
}

ModelSpec Family::describe(const Config& config) const {
  ModelSpec model;
  model.family = name;
  model.exemptions = exemptions;
  add_blocks(model, config);
  return model;
}

namespace {

/// The supported type nearest to `type`: by its letters, or with the longest beginning in common ("llava_next").
std::string nearest_type(const std::string& type, const std::vector<std::string>& types) {
  if (std::string found = nearest(type, types); !found.empty()) return found;
  constexpr std::size_t kTelling = 4;  // letters
  std::string best;
  std::size_t most = kTelling - 1;
  for (const std::string& other : types) {
    const auto common = static_cast<std::size_t>(std::ranges::mismatch(type, other).in1 - type.begin());
    if (common <= most) continue;
    best = other;
    most = common;
  }
  return best;
}

/// Is it the class of a model that answers in text?  Embedding, reward and classification models of the same types have
/// other heads, or none.
bool answers_in_text(std::string_view architecture) {
  constexpr std::array<std::string_view, 4> kEndings = {"ForConditionalGeneration", "ForCausalLM",
                                                        "LMHeadModel", "ChatModel"};
  constexpr std::array<std::string_view, 2> kNames = {"ChatGLMModel", "MiniCPMV"};
  const auto ends = [&](std::string_view ending) { return architecture.ends_with(ending); };
  return std::ranges::any_of(kEndings, ends) || std::ranges::find(kNames, architecture) != kNames.end();
}

void expect_chat_model(const Config& config) {
  if (!config.has("architectures.0")) return;
  const std::string architecture = config.string("architectures.0");
  if (!answers_in_text(architecture))
    fail(ErrorKind::unsupported, config.origin(), ": 'architectures' is ", architecture,
         ": an embedding, reward or classification model, or an encoder alone; expected one that answers in "
         "text, such as ...ForConditionalGeneration");
}

}  // namespace

const Family& find_family(const Config& config) {
  const std::string type = config.model_type();
  std::vector<std::string> types;
  for (const Family* family : all_families()) {
    if (family->recognises(config)) {
      expect_chat_model(config);
      return *family;
    }
    types.insert(types.end(), family->model_types.begin(), family->model_types.end());
  }
  // A type that is known by its name only: qwen without pictures, for one.
  const bool known = std::ranges::find(types, type) != types.end();
  const std::string near = known ? "" : nearest_type(type, types);
  fail(ErrorKind::unsupported, config.origin(), ": model type '", type, "' is not supported",
       known ? " in this form: no key that says what its vision tower is" : "",
       near.empty() ? "" : "; the nearest that is: '" + near + "'",
       " (mquant list families). docs/adding-a-family.md tells how to add one");
}

}  // namespace mquant
