// Bytes that do not fit into memory, in a file without a name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <span>

namespace mquant {

/// A temporary file that grows and reuses what was given back; it is gone with the process,
/// however that ends.
///
/// Read and written by calls, not mapped: what the system keeps of it in memory is cache that it
/// may drop, and is not counted as this process's.
class SpillFile {
 public:
  /// Some bytes of the file, given back when the last holder is gone.
  class Extent {
   public:
    ~Extent();
    std::int64_t bytes() const { return bytes_; }
    /// @throws Error{resources} if the disk fails
    void read(std::span<std::byte> to) const;

   private:
    friend class SpillFile;
    Extent(SpillFile& file, std::int64_t offset, std::int64_t bytes)
        : file_(file), offset_(offset), bytes_(bytes) {}
    SpillFile& file_;
    std::int64_t offset_, bytes_;
  };

  /// @param directory  on whose disk it lies.  The file is made by the first write.
  explicit SpillFile(std::filesystem::path directory) : directory_(std::move(directory)) {}
  ~SpillFile();
  SpillFile(const SpillFile&) = delete;
  SpillFile& operator=(const SpillFile&) = delete;

  /// Thread-safe.  @throws Error{resources} naming the directory if the disk is full or fails
  std::shared_ptr<const Extent> write(std::span<const std::byte> bytes);
  /// Of the file so far.
  std::int64_t size() const { return size_; }

 private:
  std::int64_t claim(std::int64_t bytes);
  void give_back(std::int64_t offset, std::int64_t bytes);
  void open_file();

  std::filesystem::path directory_;
  std::mutex mutex_;
  int file_ = -1;
  std::int64_t size_ = 0;
  std::map<std::int64_t, std::int64_t> free_;  // bytes by offset, never two in a row
};

}  // namespace mquant
