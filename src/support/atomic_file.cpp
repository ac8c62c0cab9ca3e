#include "support/atomic_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "mquant/error.h"
#include "support/strings.h"

namespace mquant {
namespace {

constexpr std::size_t kBufferSize = std::size_t{1} << 20;
constexpr std::size_t kLongestWrite = std::size_t{1} << 30;  // Linux writes at most 2 GiB in one call

/// Whether the lock is on the file of that name; its owner may have renamed or removed it before we got the lock.
bool is_still_named(int file, const std::filesystem::path& path) {
  struct stat opened{}, named{};
  return fstat(file, &opened) == 0 && stat(path.c_str(), &named) == 0 && opened.st_dev == named.st_dev &&
         opened.st_ino == named.st_ino;
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)), partial_(path_) {
  partial_ += ".partial";
  file_ = open(partial_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (file_ < 0) fail_with(errno);
  const bool locked = flock(file_, LOCK_EX | LOCK_NB) == 0;
  const bool busy = !locked && errno == EWOULDBLOCK;  // any other error: a file system without locks
  if (busy || !is_still_named(file_, partial_)) {
    close(file_);
    fail(ErrorKind::resources, "cannot write '", path_.string(), "': another process is writing it");
  }
  if (ftruncate(file_, 0) != 0) {
    const int error_number = errno;
    close(file_);
    fail_with(error_number);
  }
}

AtomicFile::~AtomicFile() {
  if (file_ < 0) return;
  unlink(partial_.c_str());
  close(file_);
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  require(file_ >= 0, "AtomicFile: '", path_.string(), "' is committed already");
  if (buffer_.size() + bytes.size() > kBufferSize) flush();
  if (bytes.size() > kBufferSize) {
    write_at(size_, bytes);
  } else {
    buffer_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  size_ += bytes.size();
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::overwrite(std::uint64_t offset, std::span<const std::byte> bytes) {
  require(offset <= size_ && bytes.size() <= size_ - offset, "AtomicFile::overwrite beyond the end of '",
          path_.string(), "'");
  flush();
  write_at(offset, bytes);
}

void AtomicFile::commit() {
  require(file_ >= 0, "AtomicFile: '", path_.string(), "' is committed already");
  flush();
  if (fsync(file_) != 0) fail_with(errno);
  if (std::rename(partial_.c_str(), path_.c_str()) != 0) fail_with(errno);
  close(std::exchange(file_, -1));

  const std::filesystem::path directory = path_.has_parent_path() ? path_.parent_path() : ".";
  const int opened = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (opened < 0) fail_with(errno);
  const int result = fsync(opened);
  const int error_number = errno;
  close(opened);
  if (result != 0 && error_number != EINVAL)
    fail_with(error_number);  // EINVAL: directories are always in sync there
}

void AtomicFile::flush() {
  write_at(size_ - buffer_.size(), std::as_bytes(std::span(buffer_)));
  buffer_.clear();
}

void AtomicFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::size_t piece = std::min(bytes.size(), kLongestWrite);
    const ssize_t written = pwrite(file_, bytes.data(), piece, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_with(errno);
    offset += static_cast<std::uint64_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void AtomicFile::fail_with(int error_number) const {
  const bool full = error_number == ENOSPC || error_number == EDQUOT;
  fail(ErrorKind::resources, "cannot write '", path_.string(), "': ", std::strerror(error_number),
       full ? cat(" (after ", human_bytes(size_), "); free some space and run the same command again") : "");
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace mquant
