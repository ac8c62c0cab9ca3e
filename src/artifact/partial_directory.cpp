#include "artifact/partial_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "artifact/journal.h"
#include "mquant/error.h"

namespace mquant {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void fail_with(const char* what, const fs::path& path, int error_number) {
  fail(ErrorKind::resources, "cannot ", what, " '", path.string(), "': ", std::strerror(error_number));
}

/// Whether the directory that is open is still the one of that name; another process may just have published it.
bool is_still_named(int directory, const fs::path& path) {
  struct stat opened{}, named{};
  return fstat(directory, &opened) == 0 && lstat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/// "out/" and "out/." name the same directory as "out".
fs::path without_slash(const fs::path& path) {
  const fs::path normal = fs::absolute(path).lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

}  // namespace

PartialDirectory::PartialDirectory(fs::path target) : target_(without_slash(target)) {
  partial_ = target_.parent_path() / cat(".", target_.filename().string(), ".partial");
  std::error_code error;
  fs::create_directories(target_.parent_path(), error);
  if (error)
    fail(ErrorKind::resources, "cannot make '", target_.parent_path().string(), "': ", error.message());
  if (mkdir(partial_.c_str(), 0777) != 0 && errno != EEXIST) fail_with("make", partial_, errno);
  lock_ = open(partial_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (lock_ < 0) fail_with("open", partial_, errno);
  const bool busy =
      flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;  // else: a disk without locks
  if (busy || !is_still_named(lock_, partial_)) {
    close(lock_);
    fail(ErrorKind::usage, "another process is writing '", target_.string(), "'; wait for it to end");
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(partial_)) fs::remove_all(entry.path());
}

PartialDirectory::~PartialDirectory() {
  std::error_code ignored;
  if (!published_) fs::remove_all(partial_, ignored);
  close(lock_);
}

void PartialDirectory::publish() {
  sync_path(partial_);
  const bool replaces = fs::exists(target_) && !fs::is_empty(target_);
  // RENAME_EXCHANGE: one of the two is there under the name at any moment.
  if (replaces && renameat2(AT_FDCWD, partial_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) != 0) {
    if (errno != EINVAL && errno != ENOSYS) fail_with("replace", target_, errno);
    fs::path old = partial_;
    old += ".old";
    fs::remove_all(old);
    if (std::rename(target_.c_str(), old.c_str()) != 0) fail_with("move", target_, errno);
    if (std::rename(partial_.c_str(), target_.c_str()) != 0) fail_with("make", target_, errno);
    fs::remove_all(old);
  } else if (replaces) {
    fs::remove_all(partial_);  // the one before
  } else if (std::rename(partial_.c_str(), target_.c_str()) != 0) {
    fail_with("make", target_, errno);
  }
  published_ = true;
  sync_path(target_.parent_path());
}

}  // namespace mquant
