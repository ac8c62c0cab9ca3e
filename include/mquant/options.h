// Options: what a recipe may say of passes, schemes and calibration, and the structs that hold what it says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "mquant/config.h"

namespace mquant {

/// What a number may be; no end: any number.
struct Range {
  std::optional<double> above, at_least, below, at_most;
  bool or_zero = false;  ///< 0 as well, which turns something off
  bool contains(double value) const;
  /// "above 0 and at most 1", "0 or at least 1"; "" without ends.
  std::string text() const;
};

struct PassOption {
  std::string name;
  std::string fallback;  // JSON text of the default; its type is the option's type
  std::string summary;
  std::vector<std::string> choices = {};  // of a text option; empty: any text
  Range range = {};                       // of a number
};

/// Binds the fields of a struct of options to names.  Its one function `bind` is the table of the options and the reader of
/// their values, so that neither knows an option that the other does not:
///
///   struct SmoothOptions {
///     double alpha = 0.5;
///     void bind(OptionBinder& options) {
///       options.number("alpha", alpha, "how much of an outlier goes into the weight", {.above = 0, .below = 1});
///     }
///   };
class OptionBinder {
 public:
  /// Appends every option to the table; its default is the value of the field.
  explicit OptionBinder(std::vector<PassOption>& table) : table_(&table) {}
  /// Reads every option into its field.  `values` holds them all, as the recipe language has checked them.
  explicit OptionBinder(const Config& values) : values_(&values) {}

  void flag(const char* name, bool& field, const char* summary);
  void integer(const char* name, std::int64_t& field, const char* summary, const Range& range = {});
  void number(const char* name, double& field, const char* summary, const Range& range = {});
  void text(const char* name, std::string& field, const char* summary);
  /// One of some words, each of which stands for a value of the field.
  template <class E>
  void choice(const char* name, E& field, const char* summary,
              std::initializer_list<std::pair<const char*, std::type_identity_t<E>>> choices) {
    std::vector<std::string> words;
    std::size_t chosen = choices.size();
    for (const auto& [word, value] : choices) {
      if (value == field) chosen = words.size();
      words.emplace_back(word);
    }
    field = std::data(choices)[choose(name, chosen, summary, words)].second;
  }

 private:
  std::size_t choose(const char* name, std::size_t chosen, const char* summary,
                     const std::vector<std::string>& words);

  std::vector<PassOption>* table_ = nullptr;
  const Config* values_ = nullptr;
};

/// The table of a struct of options.
template <class Options>
std::vector<PassOption> describe_options() {
  std::vector<PassOption> table;
  OptionBinder binder(table);
  Options().bind(binder);
  return table;
}

/// @param values  every option of the table
template <class Options>
Options read_options(const Config& values) {
  Options options;
  OptionBinder binder(values);
  options.bind(binder);
  return options;
}

}  // namespace mquant
