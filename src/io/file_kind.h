// Files that are not what their name says, told apart by their first bytes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "mquant/error.h"

namespace mquant {

inline bool begins_with(std::span<const std::byte> file, std::string_view text) {
  return file.size() >= text.size() &&
         std::equal(text.begin(), text.end(), file.begin(),
                    [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
}

/// A clone without Git LFS has a few lines of text in the place of each large file.
inline void refuse_lfs_pointer(std::span<const std::byte> file, const std::string& origin) {
  if (begins_with(file, "version https://git-lfs")) {
    fail(ErrorKind::input, origin,
         ": this is a Git LFS pointer, not the file itself; run 'git lfs pull' there");
  }
}

}  // namespace mquant
