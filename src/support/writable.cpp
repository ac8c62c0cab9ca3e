#include "support/writable.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "mquant/error.h"
#include "support/paths.h"
#include "support/strings.h"

namespace mquant {
namespace fs = std::filesystem;
namespace {

/// A file without a name: other runs do not see it, and a kill leaves nothing of it.  Not every file system has them.
int error_of_writing(const fs::path& directory) {
  const int file = open(directory.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
  if (file >= 0) {
    close(file);
    return 0;
  }
  const bool has_none = errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL || errno == ENOENT;
  if (!has_none) return errno;
  return faccessat(AT_FDCWD, directory.c_str(), W_OK | X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

/// The system is asked: file systems differ in what they count.
bool is_too_long(const fs::path& path) {
  struct stat status{};
  return lstat(path.c_str(), &status) != 0 && errno == ENAMETOOLONG;
}

}  // namespace

void expect_writable_directory(const fs::path& directory) {
  if (!fs::is_directory(directory)) fail(ErrorKind::usage, "'", directory.string(), "' is not a directory");
  if (const int error_number = error_of_writing(directory); error_number != 0)
    fail(ErrorKind::resources, "cannot write into '", directory.string(), "': ", std::strerror(error_number));
}

void expect_creatable(const fs::path& path) {
  expect_short_names(path);
  expect_writable_directory(existing_parent(without_slash(fs::absolute(path)).parent_path()));
}

void expect_no_dead_link(const fs::path& path) {
  std::error_code error;
  if (fs::is_symlink(fs::symlink_status(path, error)) && !fs::exists(path, error))
    fail(ErrorKind::usage, "'", path.string(), "' is a link that leads nowhere");
}

void expect_short_names(const fs::path& path) {
  const fs::path whole = without_slash(fs::absolute(path)), parent = existing_parent(whole.parent_path());
  for (const fs::path& name : whole.lexically_relative(parent))
    if (is_too_long(parent / name))
      fail(ErrorKind::usage, "'", printable(whole.string()), "': the name '", printable(name.string(), 60),
           "' has ", name.string().size(), " bytes, more than the disk allows; give a shorter one");
}

}  // namespace mquant
