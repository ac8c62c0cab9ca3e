// Whether something could be written, told before the work that makes it; nothing is changed or left behind.
#pragma once

#include <filesystem>

namespace mquant {

/// @throws Error{resources} if no file may be made in `directory`, which is there
void expect_writable_directory(const std::filesystem::path& directory);

/// `path` is a file or a directory that is to be made, or replaced by a rename; directories above it may be absent.
/// @throws Error{usage} if a file stands in the way of a directory, or a name is longer than the disk allows;
///         Error{resources} if nothing may be made where it would lie
void expect_creatable(const std::filesystem::path& path);

/// @throws Error{usage} if `path` is a link to what is not there, or to itself
void expect_no_dead_link(const std::filesystem::path& path);

/// Half of it, for a path that is still to be looked at: std::filesystem throws for such a name.
/// @throws Error{usage} if a name is longer than the disk allows
void expect_short_names(const std::filesystem::path& path);

}  // namespace mquant
