// A file that grows line by line and survives a kill: the journals of calibrations and of evaluations.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace mquant {

/// Calls `read` for each line of `text` that ends with a newline, and its number from 1; a torn last line does not count.
/// @returns the bytes of the lines that count
std::uint64_t read_whole_lines(std::string_view text, const std::function<void(std::string_view, int)>& read);

/// Open for appending, by one process at a time.  All members throw Error{resources} naming the path if the disk is
/// full or refuses.
class LineFile {
 public:
  enum class Links { follow, refuse };
  enum class Sync { each_line, at_end };

  /// Creates the file, and directories above it, if it is absent.
  /// @param held  what messages call it: "another process is writing 'HELD'"
  /// @throws Error{usage} if another process holds it; a disk without locks has no such error
  LineFile(std::filesystem::path path, Links links, Sync sync, const std::filesystem::path& held);
  ~LineFile();
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;

  /// Cuts off what comes after so many bytes: a torn line.
  void keep(std::uint64_t bytes);
  /// @param line  with its newline.  An error leaves the lines before it.
  void append(std::string_view line);

 private:
  [[noreturn]] void fail_with(const char* what, int error_number) const;

  std::filesystem::path path_;
  Sync sync_;
  int file_ = -1;
  std::uint64_t bytes_ = 0;
};

}  // namespace mquant
