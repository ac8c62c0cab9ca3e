#include "artifact/partial_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "artifact/journal.h"
#include "mquant/artifact.h"
#include "mquant/error.h"
#include "support/paths.h"
#include "support/writable.h"

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

/// "out/" and "out/." name the same directory as "out", and a link the one that it leads to.
fs::path named_directory(const fs::path& path) {
  const fs::path named = without_slash(fs::absolute(path));
  return fs::is_symlink(named) ? fs::canonical(named) : named;
}

fs::path partial_of(const fs::path& named) {
  return named.parent_path() / cat(".", named.filename().string(), ".partial");
}

/// Also one whose file system is that of the directory around it (mount --bind), which the device does not tell.
bool is_mount_point(const fs::path& directory) {
  struct statx own{}, around{};
  const auto look = [](const fs::path& path, struct statx& at) {
    return statx(AT_FDCWD, path.c_str(), 0, STATX_BASIC_STATS, &at) == 0;
  };
  if (!look(directory, own) || !look(directory.parent_path(), around)) return false;
  return (own.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0 || own.stx_dev_major != around.stx_dev_major ||
         own.stx_dev_minor != around.stx_dev_minor;
}

/// Lies in a directory while it is written or removed, and proves that what is in it is ours.
constexpr const char* kMarker = ".mquant-partial";

bool is_ours(const fs::path& directory) {
  if (fs::symlink_status(directory).type() != fs::file_type::directory) return false;
  return fs::is_empty(directory) ||
         fs::symlink_status(directory / kMarker).type() == fs::file_type::regular ||
         Artifact::is_artifact(directory);  // whole, but not renamed yet
}

void expect_ours(const fs::path& directory, const fs::path& target) {
  if (!is_ours(directory))
    fail(ErrorKind::usage, "'", directory.string(),
         "' is there and is not left over from mquant; move it away, ", "or write to another place than '",
         target.string(), "'");
}

void mark(const fs::path& directory) {
  const int file = open((directory / kMarker).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (file < 0) fail_with("write into", directory, errno);
  close(file);
}

/// Removes all but the marker: killed on the way, the rest is still known as ours.
void clear(const fs::path& directory) {
  mark(directory);
  std::vector<fs::path> entries;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory))
    if (entry.path().filename() != kMarker) entries.push_back(entry.path());
  for (const fs::path& entry : entries) fs::remove_all(entry);
}

void remove_ours(const fs::path& directory) {
  clear(directory);
  fs::remove_all(directory);
}

}  // namespace

void expect_writable(const fs::path& directory) {
  if (fs::exists(directory)) return expect_writable_directory(directory);
  expect_creatable(directory);
}

void expect_publishable(const fs::path& target) {
  const fs::path named = named_directory(target), partial = partial_of(named);
  expect_creatable(partial);
  if (is_mount_point(named))
    fail(ErrorKind::usage, "'", target.string(),
         "' is a mount point, and the finished directory cannot take its place; give a directory below it");
  const fs::file_type there = fs::symlink_status(partial).type();
  if (there != fs::file_type::not_found) expect_ours(partial, named);
}

PartialDirectory::PartialDirectory(fs::path target) : target_(named_directory(target)) {
  partial_ = partial_of(target_);
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
  try {
    expect_ours(partial_, target_);
    clear(partial_);
  } catch (...) {
    close(lock_);
    throw;
  }
}

PartialDirectory::~PartialDirectory() {
  std::error_code ignored;
  if (!published_) fs::remove_all(partial_, ignored);
  close(lock_);
}

void PartialDirectory::publish() {
  fs::remove(partial_ / kMarker);
  sync_path(partial_);
  const bool replaces = fs::exists(target_) && !fs::is_empty(target_);
  // RENAME_EXCHANGE: one of the two is there under the name at any moment.
  if (replaces && renameat2(AT_FDCWD, partial_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) != 0) {
    if (errno != EINVAL && errno != ENOSYS) fail_with("replace", target_, errno);
    fs::path old = partial_;
    old += ".old";
    if (fs::exists(old)) {
      expect_ours(old, target_);
      remove_ours(old);
    }
    if (std::rename(target_.c_str(), old.c_str()) != 0) fail_with("move", target_, errno);
    if (std::rename(partial_.c_str(), target_.c_str()) != 0) fail_with("make", target_, errno);
    remove_ours(old);
  } else if (replaces) {
    remove_ours(partial_);  // the one before
  } else if (std::rename(partial_.c_str(), target_.c_str()) != 0) {
    fail_with("make", target_, errno);
  }
  published_ = true;
  sync_path(target_.parent_path());
}

}  // namespace mquant
