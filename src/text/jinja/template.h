// Jinja templates as transformers renders them, in a strict subset that is bounded: templates are untrusted.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "text/jinja/date.h"

namespace mquant::jinja {

/// Throws Error{input} unless a template's text is UTF-8 of at most 1 MiB.
void check_source(std::string_view text);

/// Compared byte for byte with jinja2 in ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True) with loop
/// controls, {% generation %}, raise_exception and strftime_now, as transformers sets it up.
class Template {
 public:
  /// @param name  what messages call it
  /// @throws Error{input}        the text is not UTF-8, longer than 1 MiB or not a template
  ///         Error{unsupported}  something of Jinja that is not known here; both name line and column
  static Template parse(std::string_view text, std::string name);
  ~Template();
  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;

  /// @param variables  an object
  /// @param today      what strftime_now prints
  /// @throws Error{input}        what Jinja raises, raise_exception among it; or the template does not come to an end in
  ///                             2 million steps, nests too deep or writes more than 16 MiB
  ///         Error{unsupported}  as parse()
  std::string render(const nlohmann::ordered_json& variables,
                     const std::optional<Date>& today = std::nullopt) const;

  /// Whether the word is among its names, attributes and strings, so that it can read a variable or key of that name.
  bool mentions(std::string_view word) const { return words_.contains(std::string(word)); }
  const std::string& name() const { return name_; }

 private:
  struct Tree;
  Template(std::string name, std::unique_ptr<const Tree> tree, std::set<std::string> words);
  std::string name_;
  std::unique_ptr<const Tree> tree_;
  std::set<std::string> words_;
};

}  // namespace mquant::jinja
