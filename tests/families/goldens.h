// The folders of tests/data/goldens that hold a model and what its official code computes.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/files.h"

namespace mquant::test {

inline std::filesystem::path golden_path(const std::string& family) { return data_path("goldens/" + family); }

inline std::vector<std::string> golden_families() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(data_path("goldens")))
    if (std::filesystem::exists(entry.path() / "model" / "config.json"))
      names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

}  // namespace mquant::test
