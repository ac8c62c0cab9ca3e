// The table of families, and the choice among them by config.json.
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

const Family& find_family(const Config& config) {
  const std::string type = config.model_type();
  std::vector<std::string> types;
  for (const Family* family : all_families()) {
    if (family->recognises(config)) return *family;
    types.insert(types.end(), family->model_types.begin(), family->model_types.end());
  }
  fail(ErrorKind::unsupported, config.origin(), ": model type '", type,
       "' is not supported; the nearest that is: '", nearest(type, types),
       "' (mquant list families). docs/adding-a-family.md tells how to add one");
}

}  // namespace mquant
