#include "support/mapped_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <utility>

#include "mquant/error.h"
#include "support/console.h"
#include "support/read_error.h"
#include "support/strings.h"
#include "support/work_inputs.h"

namespace mquant {

/// What a signal handler must know of a mapping: it may neither lock nor allocate.  Ranges are never freed, only used again.
struct MappedRange {
  std::atomic<const std::byte*> begin = nullptr;  // nullptr: unused
  std::size_t size = 0;
  std::array<char, 512> name{};  // printable, ends with 0
  MappedRange* next = nullptr;
};

namespace {

std::atomic<MappedRange*> ranges = nullptr;
static_assert(std::atomic<MappedRange*>::is_always_lock_free && std::atomic<std::byte*>::is_always_lock_free);

std::mutex& changing_ranges() {
  static std::mutex& mutex = *new std::mutex;  // mappings may be destroyed after all else
  return mutex;
}

MappedRange* unused_range() {
  for (MappedRange* range = ranges; range != nullptr; range = range->next)
    if (range->begin == nullptr) return range;
  auto* const range = new MappedRange;
  range->next = ranges;
  ranges = range;
  return range;
}

MappedRange* remember(std::span<const std::byte> bytes, const std::filesystem::path& path) {
  const std::string name = printable(path.string(), 120);  // at most four bytes for each when escaped
  const std::lock_guard lock(changing_ranges());
  MappedRange* const range = unused_range();
  range->name.fill(0);
  name.copy(range->name.data(), range->name.size() - 1);
  range->size = bytes.size();
  range->begin = bytes.data();
  return range;
}

extern "C" void on_lost_page(int number, siginfo_t* signal, void* /*context*/) {
  const auto* const address = static_cast<const std::byte*>(signal->si_addr);
  for (const MappedRange* range = ranges; range != nullptr; range = range->next) {
    const std::byte* const begin = range->begin;
    if (begin == nullptr || address < begin || address >= begin + range->size) continue;
    const auto say = [](const char* text) {
      [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, text, std::strlen(text));
    };
    say(console::kErrorPrefix.data());
    say("'");
    say(range->name.data());
    say("' was made shorter while it was in use, or its disk fails; run the command again once the file is "
        "whole\n");
    _exit(static_cast<int>(ErrorKind::input));
  }
  ::signal(number, SIG_DFL);  // not ours: the process ends as it would without a handler
  raise(number);
}

std::span<const std::byte> map(int file, const std::filesystem::path& path) {
  struct stat status{};
  if (fstat(file, &status) != 0) fail_reading("read", path, errno);
  if (!S_ISREG(status.st_mode))
    fail(ErrorKind::input, "cannot read '", path.string(), "': not a regular file");
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) return {};  // mmap refuses an empty range
  void* const address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
  if (address == MAP_FAILED) fail_reading("map", path, errno);
  return {static_cast<const std::byte*>(address), size};
}

}  // namespace

void install_lost_file_handler() {
  struct sigaction action{};
  action.sa_sigaction = on_lost_page;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &action, nullptr);
}

void forget_mapped_pages() {
  const std::lock_guard lock(changing_ranges());
  for (const MappedRange* range = ranges; range != nullptr; range = range->next)
    if (const std::byte* const begin = range->begin; begin != nullptr)
      madvise(const_cast<std::byte*>(begin), range->size, MADV_DONTNEED);
}

MappedFile::MappedFile(std::filesystem::path path) : path_(std::move(path)) {
  // O_NONBLOCK: a named pipe is refused at once instead of waited for.
  const int file = open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) fail_reading("open", path_, errno);
  WorkInputs::note_file(path_);
  try {
    bytes_ = map(file, path_);
    if (!bytes_.empty()) range_ = remember(bytes_, path_);
  } catch (...) {
    close(file);
    unmap();
    throw;
  }
  close(file);  // the mapping stays
}

MappedFile::~MappedFile() { unmap(); }

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      bytes_(std::exchange(other.bytes_, {})),
      range_(std::exchange(other.range_, nullptr)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    unmap();
    path_ = std::move(other.path_);
    bytes_ = std::exchange(other.bytes_, {});
    range_ = std::exchange(other.range_, nullptr);
  }
  return *this;
}

void MappedFile::unmap() noexcept {
  if (bytes_.empty()) return;
  const std::lock_guard lock(
      changing_ranges());  // forget_mapped_pages must not meet what is mapped here next
  if (range_ != nullptr) range_->begin = nullptr;
  // munmap takes a pointer to non-const, though it reads nothing through it.
  munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace mquant
