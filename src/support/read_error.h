// What a file that cannot be read means.
#pragma once

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "mquant/error.h"

namespace mquant {

/// Input: the path leads to no file that can be read by anyone.  Resources: this process may not, or has no memory,
/// descriptors or working disk left.
inline ErrorKind kind_of_read_error(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case ENXIO:
    case EINVAL: return ErrorKind::input;
    default: return ErrorKind::resources;
  }
}

/// "cannot open 'model.safetensors': No such file or directory"
[[noreturn]] inline void fail_reading(std::string_view what, const std::filesystem::path& path,
                                      int error_number) {
  fail(kind_of_read_error(error_number), "cannot ", what, " '", path.string(),
       "': ", std::strerror(error_number));
}

}  // namespace mquant
