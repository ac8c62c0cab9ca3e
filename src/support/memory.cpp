#include "support/memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>

namespace mquant {
namespace fs = std::filesystem;
namespace {

/// The number that a file holds; none for a file that is absent and for "max".
std::optional<std::int64_t> number_in(const fs::path& file) {
  std::ifstream text(file);
  std::int64_t number = 0;
  return text >> number ? std::optional(number) : std::nullopt;
}

/// "MemAvailable:  24000000 kB" of /proc/meminfo, or a line "inactive_file 1234" of memory.stat.
std::optional<std::int64_t> field_of(const fs::path& file, const std::string& name) {
  std::ifstream text(file);
  for (std::string line; std::getline(text, line);) {
    std::istringstream fields(line);
    std::string found;
    std::int64_t number = 0;
    if (fields >> found >> number && found == name) return number;
  }
  return {};
}

/// A group's pages of files count as used, and are given up when they are needed.
std::int64_t left_in(const fs::path& group, const char* limit, const char* usage) {
  const std::optional<std::int64_t> most = number_in(group / limit), used = number_in(group / usage);
  if (!most || !used) return std::numeric_limits<std::int64_t>::max();
  const std::int64_t files = field_of(group / "memory.stat", "inactive_file").value_or(0);
  return std::max<std::int64_t>(0, *most - *used + files);
}

/// Of the group and of all above it, since a limit holds for what is below.
std::int64_t left_in_groups(fs::path group, const fs::path& top, const char* limit, const char* usage) {
  std::int64_t least = left_in(top, limit, usage);  // in a container the path may be one of its host
  for (; group.string().starts_with(top.string()); group = group.parent_path()) {
    least = std::min(least, left_in(group, limit, usage));
    if (group == top) break;
  }
  return least;
}

}  // namespace

std::int64_t available_memory(const fs::path& root) {
  constexpr std::int64_t kKibi = 1024;
  std::int64_t least = field_of(root / "proc/meminfo", "MemAvailable:").value_or(0) * kKibi;
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "0::/path" (v2), "9:memory:/path" (v1)
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1),
                      path = line.substr(std::min(line.size(), second + 2));
    const fs::path top = root / "sys/fs/cgroup";
    if (controllers.empty())
      least = std::min(least,
                       left_in_groups((top / path).lexically_normal(), top, "memory.max", "memory.current"));
    else if (controllers == "memory")
      least = std::min(least, left_in_groups((top / "memory" / path).lexically_normal(), top / "memory",
                                             "memory.limit_in_bytes", "memory.usage_in_bytes"));
  }
  return least;
}

}  // namespace mquant
