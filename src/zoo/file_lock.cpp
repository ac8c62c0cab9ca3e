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
  const int operation = (kind == Kind::exclusive ? LOCK_EX : LOCK_SH) | (busy != nullptr ? LOCK_NB : 0);
  int result = file_ < 0 ? -1 : flock(file_, operation);
  while (file_ >= 0 && result != 0 && errno == EINTR) result = flock(file_, operation);
  if (result == 0) return;
  const int error_number = errno;
  if (file_ >= 0) close(std::exchange(file_, -1));
  if (busy != nullptr && error_number == EWOULDBLOCK) fail(ErrorKind::usage, *busy);
  fail(ErrorKind::resources, "cannot lock '", file.string(), "': ", std::strerror(error_number));
}

FileLock FileLock::now(const std::filesystem::path& file, Kind kind, const std::string& busy) {
  return {file, kind, &busy};
}

FileLock::FileLock(FileLock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}

FileLock::~FileLock() {
  if (file_ >= 0) close(file_);
}

}  // namespace mquant::zoo
