// Typed lookups in a JSON file of a checkpoint (config.json, preprocessor_config.json, ...).  No JSON type is shown.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mquant {

class Config {
 public:
  /// Throws Error{input} naming the file, line and column of a syntax error.
  static Config open(const std::filesystem::path& file);
  /// For tests and defaults; `origin` is what messages call it.
  static Config parse(std::string_view text, std::string origin);

  /// Dotted paths: "vision_config.depth"; "rope_scaling.mrope_section.0" indexes an array.
  bool has(std::string_view path) const;  ///< present and not null
  /// The required kinds throw Error{input}: "config.json: no key 'vision_config.dept'; did you mean ..." or
  /// "config.json: 'vision_config.depth': expected a positive integer, found \"32\"".
  std::int64_t integer(std::string_view path) const;
  static constexpr std::int64_t kLargestSize = 2147483647;
  std::int64_t positive(std::string_view path, std::int64_t most = kLargestSize) const;  ///< 1 .. most
  double number(std::string_view path) const;
  double positive_number(std::string_view path) const;  ///< a normal float32 above 0: eps, bases, factors
  bool boolean(std::string_view path) const;
  std::string string(std::string_view path) const;
  std::vector<std::int64_t> integers(
      std::string_view path) const;  ///< a lone integer counts as a list of one
  std::vector<double> numbers(std::string_view path) const;

  /// With a default where official configs leave the key out; a wrong type is still an error.
  std::int64_t integer_or(std::string_view path, std::int64_t otherwise) const;
  std::int64_t positive_or(std::string_view path, std::int64_t otherwise,
                           std::int64_t most = kLargestSize) const;
  double number_or(std::string_view path, double otherwise) const;
  double positive_number_or(std::string_view path, double otherwise) const;
  bool boolean_or(std::string_view path, bool otherwise) const;
  std::string string_or(std::string_view path, std::string_view otherwise) const;

  /// The text of a key's value as JSON; "" if absent.  For passing parts through.  The path "" is the whole file.
  std::string raw(std::string_view path) const;
  /// Dotted paths of all members called `key`, in objects of any depth.
  std::vector<std::string> paths_of(const std::string& key) const;
  /// The keys of an object, sorted; none if it is absent.
  std::vector<std::string> keys(std::string_view path) const;

  /// "model_type"; where the file has none, the first of "architectures" (CogVLM2).  Throws Error{input} for neither.
  std::string model_type() const;
  const std::string& origin() const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace mquant
