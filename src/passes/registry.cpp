// The table of passes.  Each file of this folder defines one entry: name, effect, summary, options, factory.
#include "mquant/error.h"
#include "mquant/pass.h"
#include "passes/collected.h"
#include "support/strings.h"

namespace mquant {

#define MQUANT_PASS(name) extern const PassInfo name##_pass;
#include "passes/passes.def"
#undef MQUANT_PASS

const std::vector<PassInfo>& all_passes() {
  static const std::vector<PassInfo> passes = {
#define MQUANT_PASS(name) name##_pass,
#include "passes/passes.def"
#undef MQUANT_PASS
  };
  return passes;
}

const PassInfo& find_pass(std::string_view name) {
  std::vector<std::string> names;
  for (const PassInfo& pass : all_passes()) {
    if (pass.name == name) return pass;
    names.push_back(pass.name);
  }
  fail(ErrorKind::usage, "no pass '", name, "'", did_you_mean(name, names), " (mquant list passes)");
}

Request Pass::wants(const Block&, const LinearGroup&, const Collected&, const GroupFacts&,
                    const PassContext&) const {
  return {};
}

std::optional<CacheRequest> Pass::wants_cache(const Block&) const { return std::nullopt; }

void PassContext::note(std::string_view linear, std::string_view figure, double value) {
  figures[std::string(linear)][std::string(figure)] = value;
}

void PassContext::count(std::string_view counter, std::int64_t n) {
  const auto it = counters.find(counter);
  (it == counters.end() ? counters[std::string(counter)] : it->second) += n;
}

}  // namespace mquant
