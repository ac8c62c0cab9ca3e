// Paths as users write them, and what is there of them.
#pragma once

#include <filesystem>
#include <system_error>

namespace mquant {

/// "OUTPUT" for "OUTPUT/" and "OUTPUT/." too; normal, and no link is followed.
inline std::filesystem::path without_slash(const std::filesystem::path& path) {
  const std::filesystem::path normal = path.lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

/// The path itself, or the nearest directory above it that is there; absolute.
inline std::filesystem::path existing_parent(const std::filesystem::path& path) {
  std::filesystem::path at = std::filesystem::absolute(path).lexically_normal();
  std::error_code ignored;  // what may not be looked at is told by who uses it
  while (!std::filesystem::exists(at, ignored) && at.has_relative_path()) at = at.parent_path();
  return at;
}

}  // namespace mquant
