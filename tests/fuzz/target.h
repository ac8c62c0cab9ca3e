// What every fuzz target shares.  A target is one function that reads untrusted bytes; libFuzzer's main or that of
// replay.cpp calls it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "mquant/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace mquant::fuzz {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

inline std::span<const std::byte> bytes_of(const std::uint8_t* data, std::size_t size) {
  return std::as_bytes(std::span(data, size));
}

/// Runs `work`, a reader on one input.  That it reads the input or refuses it are the two right answers; an Error that
/// blames anything but the input leaves, as any other exception does, and ends the program.  Returns 0.
template <class Work>
int read_or_refuse(Work&& work) {
  try {
    work();
  } catch (const Error& error) {
    const ErrorKind kind = error.kind();
    if (kind != ErrorKind::input && kind != ErrorKind::unsupported && kind != ErrorKind::usage) throw;
  }
  return 0;
}

/// A file without a directory that holds the bytes of the last put().
class InputFile {
 public:
  InputFile();
  const std::filesystem::path& put(std::string_view bytes);

 private:
  int file_ = -1;
  std::filesystem::path path_;
};

}  // namespace mquant::fuzz
