// A lock that processes hold on a file; the file is made if need be, and stays.
#pragma once

#include <filesystem>
#include <string>

namespace mquant::zoo {

class FileLock {
 public:
  enum class Kind { exclusive, shared };

  /// Waits until nobody else has it; a disk without locks has nobody.
  /// @throws Error{resources} if the file cannot be made
  explicit FileLock(const std::filesystem::path& file, Kind kind = Kind::exclusive)
      : FileLock(file, kind, nullptr) {}
  /// @throws Error{usage} saying `busy` if somebody else has it; Error{resources} as above
  static FileLock now(const std::filesystem::path& file, Kind kind, const std::string& busy);
  ~FileLock();
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&&) = delete;

 private:
  FileLock(const std::filesystem::path& file, Kind kind, const std::string* busy);

  int file_ = -1;
};

}  // namespace mquant::zoo
