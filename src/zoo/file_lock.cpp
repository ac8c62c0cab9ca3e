#include "zoo/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "mquant/error.h"

namespace mquant::zoo {

FileLock::FileLock(const std::filesystem::path& file, Kind kind, const std::string* busy)
    : file_(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
  if (file_ < 0) fail(ErrorKind::resources, "cannot open '", file.string(), "': ", std::strerror(errno));
  const int operation = (kind == Kind::exclusive ? LOCK_EX : LOCK_SH) | (busy != nullptr ? LOCK_NB : 0);
  int result = flock(file_, operation);
  while (result != 0 && errno == EINTR) result = flock(file_, operation);
  if (result == 0 || errno != EWOULDBLOCK) return;
  close(std::exchange(file_, -1));
  fail(ErrorKind::usage, *busy);
}

FileLock FileLock::now(const std::filesystem::path& file, Kind kind, const std::string& busy) {
  return {file, kind, &busy};
}

FileLock::FileLock(FileLock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}

FileLock::~FileLock() {
  if (file_ >= 0) close(file_);
}

}  // namespace mquant::zoo
