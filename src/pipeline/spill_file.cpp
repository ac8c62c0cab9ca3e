#include "pipeline/spill_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "mquant/error.h"

namespace mquant {
namespace {

[[noreturn]] void fail_with(const std::filesystem::path& directory, const char* what, int error_number) {
  fail(ErrorKind::resources, "cannot ", what, " the samples' states in '", directory.string(),
       "': ", std::strerror(error_number), "; make room there, or give more --memory");
}

}  // namespace

SpillFile::Extent::~Extent() { file_.give_back(offset_, bytes_); }

void SpillFile::Extent::read(std::span<std::byte> to) const {
  require(std::ssize(to) == bytes_, "an extent of ", bytes_, " bytes read as ", to.size());
  for (std::size_t done = 0; done < to.size();) {
    const ssize_t n =
        pread(file_.file_, to.data() + done, to.size() - done, offset_ + static_cast<std::int64_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail_with(file_.directory_, "read", n == 0 ? EIO : errno);
    done += static_cast<std::size_t>(n);
  }
}

SpillFile::~SpillFile() {
  if (file_ >= 0) close(file_);
}

std::shared_ptr<const SpillFile::Extent> SpillFile::write(std::span<const std::byte> bytes) {
  const std::int64_t offset = claim(std::ssize(bytes));
  std::shared_ptr<const Extent> extent(new Extent(*this, offset, std::ssize(bytes)));
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n =
        pwrite(file_, bytes.data() + done, bytes.size() - done, offset + static_cast<std::int64_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail_with(directory_, "write", n == 0 ? ENOSPC : errno);
    done += static_cast<std::size_t>(n);
  }
  return extent;
}

std::int64_t SpillFile::claim(std::int64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (file_ < 0) open_file();
  const auto hole = std::ranges::find_if(free_, [&](const auto& entry) { return entry.second >= bytes; });
  if (hole == free_.end()) {
    const std::int64_t offset = size_;
    size_ += bytes;
    return offset;
  }
  const auto [offset, room] = *hole;
  free_.erase(hole);
  if (room > bytes) free_[offset + bytes] = room - bytes;
  return offset;
}

void SpillFile::give_back(std::int64_t offset, std::int64_t bytes) {
  const std::lock_guard lock(mutex_);
  auto next = free_.lower_bound(offset);
  if (next != free_.end() && next->first == offset + bytes) {
    bytes += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin())
    if (const auto before = std::prev(next); before->first + before->second == offset) {
      before->second += bytes;
      return;
    }
  free_[offset] = bytes;
}

void SpillFile::open_file() {
  file_ = open(directory_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file_ >= 0) return;
  std::string name = (directory_ / "spill-XXXXXX").string();  // a file system without unnamed files
  file_ = mkostemp(name.data(), O_CLOEXEC);
  if (file_ < 0) fail_with(directory_, "keep", errno);
  unlink(name.c_str());
}

}  // namespace mquant
