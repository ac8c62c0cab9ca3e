#include "recipe/contracts.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "mquant/error.h"
#include "recipe/options.h"
#include "support/strings.h"

namespace mquant {
namespace {

const PassInfo& provider_of(Fact fact) {
  const auto provider =
      std::ranges::find_if(all_passes(), [&](const PassInfo& pass) { return pass.owns(fact); });
  require(provider != all_passes().end(), "no pass provides ", fact_name(fact));
  return *provider;
}

struct SchemeNeed {
  std::string what;  // "scheme w4a8 of 'decoder'"
  Fact fact;
};

/// What the roles that are not float have to end with.
std::vector<SchemeNeed> scheme_needs(const Recipe& recipe) {
  std::vector<SchemeNeed> needs;
  for (const auto& [role, scheme] : recipe.schemes) {
    const std::string what = cat("scheme ", scheme.name(), " of '", role, "'");
    if (scheme.activation_bits < 16) needs.push_back({what, Fact::input_scales});
    if (!scheme.is_float()) needs.push_back({what, Fact::codes});
  }
  return needs;
}

/// A recipe's passes with their entries of the table.
class Contracts {
 public:
  Contracts(const Recipe& recipe, const std::string& origin)
      : recipe_(recipe), origin_(origin), scheme_needs_(scheme_needs(recipe)) {
    for (const PassConfig& pass : recipe.passes) passes_.push_back(&pass_info(pass.name, origin));
  }

  void check() const {
    for (std::size_t i = 0; i < passes_.size(); ++i) {
      for (const Fact fact : needs_of(*passes_[i])) check_need(i, fact);
      for (const Fact fact : passes_[i]->precedes) check_precedes(i, fact);
    }
    for (const SchemeNeed& need : scheme_needs_)
      if (!provided(need.fact, passes_.size()))
        broken(need.what, " needs ", fact_name(need.fact), ", and no pass provides them: add '",
               provider_of(need.fact).name, "'");
    if (scheme_needs_.empty() && provided(Fact::codes, passes_.size()))
      fail(ErrorKind::usage, origin_, ": every scheme is float, and '", provider_of(Fact::codes).name,
           "' has nothing to do: set one in 'schemes', or drop the pass");
  }

 private:
  /// With the options that the recipe has, or by default for a pass that it lacks.
  std::vector<Fact> needs_of(const PassInfo& pass) const {
    const PassConfig* config = recipe_.find(pass.name);
    const auto is_on = [&](const std::string& option) {
      if (config != nullptr) return config->options.boolean(option);
      return std::ranges::find(pass.options, option, &PassOption::name)->fallback == "true";
    };
    std::vector<Fact> facts;
    for (const Need& need : pass.needs)
      if (need.with.empty() || std::ranges::any_of(need.with, is_on)) facts.push_back(need.fact);
    return facts;
  }

  /// By one of the first `count` passes?
  bool provided(Fact fact, std::size_t count) const {
    return std::any_of(passes_.begin(), passes_.begin() + static_cast<std::ptrdiff_t>(count),
                       [&](const PassInfo* pass) { return pass->owns(fact); });
  }

  void check_need(std::size_t at, Fact fact) const {
    if (provided(fact, at)) return;
    const bool later = provided(fact, passes_.size());
    broken("'", passes_[at]->name, "' needs ", fact_name(fact), " before it: ", later ? "move '" : "add '",
           provider_of(fact).name, "' there");
  }

  void check_precedes(std::size_t at, Fact fact) const {
    for (std::size_t before = 0; before < at; ++before)
      if (passes_[before]->owns(fact))
        broken("'", passes_[at]->name, "' stands after '", passes_[before]->name, "', whose ",
               fact_name(fact), " would not hold: put '", passes_[at]->name, "' before '",
               passes_[before]->name, "'");
  }

  /// The recipe's passes and those that it lacks, in the order of the table, which satisfies all contracts.
  std::vector<std::string> working_order() const {
    std::vector<const PassInfo*> passes = passes_;
    const auto complete = [&](Fact fact) {
      if (std::ranges::none_of(passes, [&](const PassInfo* pass) { return pass->owns(fact); }))
        passes.push_back(&provider_of(fact));
    };
    for (const SchemeNeed& need : scheme_needs_) complete(need.fact);
    for (std::size_t i = 0; i < passes.size(); ++i)  // grows
      for (const Fact fact : needs_of(*passes[i])) complete(fact);
    std::vector<std::string> names;
    for (const PassInfo& pass : all_passes())
      if (std::ranges::find(passes, &pass) != passes.end()) names.push_back(pass.name);
    return names;
  }

  template <class... Parts>
  [[noreturn]] void broken(const Parts&... parts) const {
    fail(ErrorKind::usage, origin_, ": ", parts..., "; an order that works: ", join(working_order(), ", "));
  }

  const Recipe& recipe_;
  const std::string& origin_;
  std::vector<SchemeNeed> scheme_needs_;
  std::vector<const PassInfo*> passes_;
};

std::string names_of(const std::vector<Fact>& facts) {
  std::vector<std::string> names;
  for (const Fact fact : facts) names.emplace_back(fact_name(fact));
  return join(names, ", ");
}

}  // namespace

void check_contracts(const Recipe& recipe, const std::string& origin) { Contracts(recipe, origin).check(); }

std::vector<std::string> contract_text(const PassInfo& pass) {
  std::vector<std::string> needs, clauses;
  for (const Need& need : pass.needs)
    needs.push_back(
        cat(fact_name(need.fact), need.with.empty() ? "" : " (with " + join(need.with, " or ") + ")"));
  if (!needs.empty()) clauses.push_back("needs " + join(needs, ", "));
  if (!pass.provides.empty()) clauses.push_back("provides " + names_of(pass.provides));
  if (!pass.precedes.empty()) clauses.push_back("before what provides " + names_of(pass.precedes));
  return clauses;
}

}  // namespace mquant
