// A file that is there in full or not at all, also after a crash or a power cut.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace mquant {

/// Writes to "<path>.partial"; commit() makes it durable and gives it its name.  Destroyed without a commit, it
/// leaves `path` as it was and removes the partial file; a killed run's partial file is overwritten by the next.
/// All members throw Error{resources} naming `path` if the disk is full or refuses.
class AtomicFile {
 public:
  /// The directory must exist.  @throws Error{resources} also if another process is writing the same file.
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends.  Small pieces are gathered.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// Replaces bytes that were written already, such as a header whose space was kept.
  void overwrite(std::uint64_t offset, std::span<const std::byte> bytes);
  /// Bytes appended so far.
  std::uint64_t size() const { return size_; }

  /// fsync, rename, fsync of the directory.  Nothing may be written afterwards.
  void commit();

  const std::filesystem::path& path() const { return path_; }

 private:
  void flush();
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  [[noreturn]] void fail_with(int error_number) const;

  std::filesystem::path path_, partial_;
  int file_ = -1;
  std::uint64_t size_ = 0;
  std::string buffer_;  // the last bytes, not yet given to the system
};

/// The whole of a small file at once.
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

}  // namespace mquant
