// What a piece of work depends on, told by the places where files are opened and values looked up, so that no list can
// forget one.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mquant {

/// Everything that any thread reads while this lives.
class WorkInputs {
 public:
  WorkInputs();
  ~WorkInputs();
  WorkInputs(const WorkInputs&) = delete;
  WorkInputs& operator=(const WorkInputs&) = delete;

  /// Paths that a MappedFile opened; sorted, each once.
  std::vector<std::filesystem::path> files() const;
  /// What a Config looked up in `file`, by path: the value as JSON, "{}" for an object that was only asked for, "" where
  /// it is absent; "PATH.*" holds Config::keys.  Two files with the same values mean the same to the work.
  std::map<std::string, std::string> values(const std::filesystem::path& file) const;

  /// Whether one lives: else nothing needs to be noted.
  static bool any();
  static void note_file(const std::filesystem::path& path);
  static void note_value(const std::string& file, const std::string& path, std::string_view text);

 private:
  std::vector<std::filesystem::path> files_;
  std::map<std::string, std::map<std::string, std::string>> values_;
};

}  // namespace mquant
