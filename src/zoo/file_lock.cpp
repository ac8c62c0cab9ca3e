#include "zoo/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "mquant/error.h"

namespace mquant::zoo {

FileLock::FileLock(const std::filesystem::path& file, Kind kind, int flags)
    : file_(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
  if (file_ < 0) fail(ErrorKind::resources, "cannot write '", file.string(), "': ", std::strerror(errno));
  const int operation = (kind == Kind::exclusive ? LOCK_EX : LOCK_SH) | flags;
  int result = flock(file_, operation);
  while (result != 0 && errno == EINTR) result = flock(file_, operation);
  held_ = result == 0;
}

FileLock FileLock::now(const std::filesystem::path& file, Kind kind, const std::string& busy) {
  FileLock lock(file, kind, LOCK_NB);
  if (!lock.held_) fail(ErrorKind::usage, busy);
  return lock;
}

FileLock::FileLock(FileLock&& other) noexcept
    : file_(std::exchange(other.file_, -1)), held_(std::exchange(other.held_, false)) {}

FileLock::~FileLock() {
  if (file_ >= 0) close(file_);
}

}  // namespace mquant::zoo
