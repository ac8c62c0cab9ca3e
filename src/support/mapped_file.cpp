#include "support/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "mquant/error.h"

namespace mquant {
namespace {

std::span<const std::byte> map(int file, const std::filesystem::path& path) {
  struct stat status{};
  if (fstat(file, &status) != 0)
    fail(ErrorKind::input, "cannot read '", path.string(), "': ", std::strerror(errno));
  if (!S_ISREG(status.st_mode))
    fail(ErrorKind::input, "cannot read '", path.string(), "': not a regular file");
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) return {};  // mmap refuses an empty range
  void* const address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
  if (address == MAP_FAILED)
    fail(ErrorKind::input, "cannot map '", path.string(), "': ", std::strerror(errno));
  return {static_cast<const std::byte*>(address), size};
}

}  // namespace

MappedFile::MappedFile(std::filesystem::path path) : path_(std::move(path)) {
  // O_NONBLOCK: a named pipe is refused at once instead of waited for.
  const int file = open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) fail(ErrorKind::input, "cannot open '", path_.string(), "': ", std::strerror(errno));
  try {
    bytes_ = map(file, path_);
  } catch (...) {
    close(file);
    throw;
  }
  close(file);  // the mapping stays
}

MappedFile::~MappedFile() { unmap(); }

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    unmap();
    path_ = std::move(other.path_);
    bytes_ = std::exchange(other.bytes_, {});
  }
  return *this;
}

void MappedFile::unmap() noexcept {
  // munmap takes a pointer to non-const, though it reads nothing through it.
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace mquant
