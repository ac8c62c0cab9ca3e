#include "artifact/targets.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "mquant/error.h"
#include "support/strings.h"

namespace mquant {
namespace {

constexpr const char* kNumber = "#";

bool is_number(const std::string& word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// "model.layers.0.mlp" -> "model.layers.#.mlp"
std::string form_of(const std::string& module) {
  std::vector<std::string> words = split(module, '.');
  for (std::string& word : words)
    if (is_number(word)) word = kNumber;
  return join(words, ".");
}

/// `name` under all the prefixes that releases use for it, itself among them.
std::vector<std::string> aliases(const std::string& name, const ModelSpec& model) {
  std::string described = name;
  std::size_t longest = 0;
  for (const auto& [from, to] : model.renames)
    if (name.starts_with(to) && to.size() > longest) {
      described = from + name.substr(to.size());
      longest = to.size();
    }
  std::vector<std::string> all = {described};
  for (const auto& [from, to] : model.renames)
    if (described.starts_with(from)) all.push_back(to + described.substr(from.size()));
  return all;
}

bool ends_as(const std::string& name, const std::string& ending) {
  return name == ending || name.ends_with("." + ending);
}

/// Without those that another one matches behind a prefix.
std::vector<std::string> shortest(const std::vector<std::string>& all) {
  std::vector<std::string> kept;
  for (const std::string& name : all)
    if (std::none_of(all.begin(), all.end(),
                     [&](const std::string& o) { return o != name && ends_as(name, o); }) &&
        std::find(kept.begin(), kept.end(), name) == kept.end())
      kept.push_back(name);
  return kept;
}

std::string escaped(const std::string& form) {
  std::string text;
  for (const char c : form) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (c == kNumber[0]) {
      text += "\\d+";
    } else if (plain) {
      text += c;
    } else {
      text += {'\\', c};
    }
  }
  return text;
}

std::string pattern_of(const std::vector<std::string>& names, bool behind_prefix) {
  std::vector<std::string> choices;
  for (const std::string& name : names) choices.push_back(escaped(name));
  const std::string choice = choices.size() == 1 ? choices[0] : cat("(?:", join(choices, "|"), ")");
  return cat("re:", behind_prefix ? "(?:.*\\.)?" : "", choice, "$");
}

}  // namespace

std::vector<std::string> target_patterns(const std::vector<std::string>& modules,
                                         const std::vector<std::string>& others, const ModelSpec& model) {
  const std::set<std::string> not_meant(others.begin(), others.end());
  for (const std::string& module : modules)
    require(!not_meant.contains(module), "module '", module, "' is a target and is none");
  std::set<std::string> forms_not_meant;
  for (const std::string& other : others) forms_not_meant.insert(form_of(other));
  std::vector<std::string> patterns;
  for (const std::string& module : modules) {
    const std::string form = form_of(module);
    const bool all_of_form = !forms_not_meant.contains(form);
    const std::vector<std::string> names = aliases(all_of_form ? form : module, model);
    const std::set<std::string>& excluded = all_of_form ? forms_not_meant : not_meant;
    const bool behind_prefix = std::none_of(excluded.begin(), excluded.end(), [&](const std::string& other) {
      return std::any_of(names.begin(), names.end(),
                         [&](const std::string& name) { return ends_as(other, name); });
    });
    const std::string pattern = pattern_of(behind_prefix ? shortest(names) : names, behind_prefix);
    if (std::find(patterns.begin(), patterns.end(), pattern) == patterns.end()) patterns.push_back(pattern);
  }
  return patterns;
}

}  // namespace mquant
