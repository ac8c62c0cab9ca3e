#include "support/line_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "mquant/error.h"

namespace mquant {

std::uint64_t read_whole_lines(std::string_view text,
                               const std::function<void(std::string_view, int)>& read) {
  std::uint64_t bytes = 0;
  for (int number = 1;; ++number) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return bytes;
    read(text.substr(0, end), number);
    text.remove_prefix(end + 1);
    bytes += end + 1;
  }
}

LineFile::LineFile(std::filesystem::path path, Links links, Sync sync, const std::filesystem::path& held)
    : path_(std::move(path)), sync_(sync) {
  if (path_.has_parent_path()) std::filesystem::create_directories(path_.parent_path());
  const int no_link = links == Links::refuse ? O_NOFOLLOW : 0;
  file_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | no_link, 0666);
  if (file_ < 0) fail_with("open", errno);
  if (flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {  // else: a disk without locks
    close(file_);
    fail(ErrorKind::usage, "another process is writing '", held.string(), "'; wait for it to end");
  }
}

LineFile::~LineFile() {
  if (sync_ == Sync::at_end) fdatasync(file_);  // an error loses no more than a power cut would
  close(file_);
}

void LineFile::keep(std::uint64_t bytes) {
  if (ftruncate(file_, static_cast<off_t>(bytes)) != 0) fail_with("write", errno);
  if (sync_ == Sync::each_line && fsync(file_) != 0) fail_with("write", errno);
  bytes_ = bytes;
}

void LineFile::append(std::string_view line) {
  const std::size_t size = line.size();
  while (!line.empty()) {
    const ssize_t written = write(file_, line.data(), line.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const int error_number = errno;
      // What is there of the line has no newline and does not count; without it the next append
      // starts clean.
      if (ftruncate(file_, static_cast<off_t>(bytes_)) != 0) fail_with("repair", errno);
      fail_with("write", error_number);
    }
    line.remove_prefix(static_cast<std::size_t>(written));
  }
  if (sync_ == Sync::each_line && fsync(file_) != 0) fail_with("sync", errno);
  bytes_ += size;
}

void LineFile::fail_with(const char* what, int error_number) const {
  fail(ErrorKind::resources, "cannot ", what, " '", path_.string(), "': ", std::strerror(error_number));
}

}  // namespace mquant
