// A file mapped read-only into memory, and what happens when it shrinks meanwhile.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace mquant {

class MappedFile {
 public:
  /// An empty file is fine.
  /// @throws Error{input} naming `path` if it is absent or not a regular file; Error{resources} if this process may not
  /// read it or has no memory left to map it
  explicit MappedFile(std::filesystem::path path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  /// Valid as long as this object; a page-aligned address.
  std::span<const std::byte> bytes() const { return bytes_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  void unmap() noexcept;

  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
  struct MappedRange* range_ = nullptr;
};

/// What was read of mapped files no longer counts as memory of this process, until it is read
/// again.  Mappings are read only, so nothing is lost, and other threads may be reading.
void forget_mapped_pages();

/// From now on a mapped file that was made shorter, or whose disk fails, ends the process with one line that names it and
/// the exit code of ErrorKind::input, where it would be killed by SIGBUS.  For main().
void install_lost_file_handler();

}  // namespace mquant
