#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/target.h"

namespace mquant::fuzz {

InputFile::InputFile() : file_(memfd_create("input", MFD_CLOEXEC)), path_(cat("/proc/self/fd/", file_)) {
  require(file_ >= 0, "no file in memory");
}

const std::filesystem::path& InputFile::put(std::string_view bytes) {
  const bool written = ftruncate(file_, 0) == 0 &&
                       pwrite(file_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size());
  require(written, "the file in memory cannot be written");
  return path_;
}

}  // namespace mquant::fuzz
