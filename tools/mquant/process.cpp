#include "process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>

#include "mquant/error.h"
#include "support/console.h"
#include "support/mapped_file.h"

namespace mquant::cli {
namespace {

bool leaving = false;

/// Nothing here may allocate, nor rely on constructors that have run.
[[noreturn]] void end_now(const char* message, ErrorKind kind) {
  for (const char* text : {console::kErrorPrefix.data(), message, "\n"}) {
    [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, text, std::strlen(text));
  }
  _exit(static_cast<int>(kind));
}

[[noreturn]] void on_terminate() {
  try {
    if (const std::exception_ptr error = std::current_exception()) std::rethrow_exception(error);
  } catch (const std::bad_alloc&) {
    end_now("out of memory", ErrorKind::resources);
  } catch (const std::exception& error) {
    end_now(error.what(), ErrorKind::internal);
  } catch (...) {
  }
  end_now("std::terminate was called; this is a bug of mquant", ErrorKind::internal);
}

/// As much as malloc asks the system for at a time.
constexpr std::size_t kLeastRoom = std::size_t{1} << 20;

/// glibc aborts where it finds no memory for its own records of a thread.  If no room is left, that is why; otherwise it is a
/// bug, and the process ends as it would without a handler.
void on_abort(int number) {
  void* const room = mmap(nullptr, kLeastRoom, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED) end_now("out of memory", ErrorKind::resources);
  signal(number, SIG_DFL);
  raise(number);
}

void on_exit() {
  if (!leaving)
    end_now("a library ended the program: no memory or no more threads; try fewer --threads",
            ErrorKind::resources);
}

void set_last_handlers() {
  std::set_terminate(on_terminate);
  signal(SIGABRT, on_abort);
}

// The loader calls what stands here before the constructors of any library, libtorch's among them.
[[gnu::section(".preinit_array"), gnu::used]] void (*const before_libraries)() = set_last_handlers;

}  // namespace

void prepare_process() {
  while (true) {
    const int opened = open("/dev/null", O_RDONLY);  // the lowest number that is free
    if (opened < 0) break;
    if (opened > STDERR_FILENO) {
      close(opened);
      break;
    }
  }
  signal(SIGXFSZ, SIG_IGN);
  install_lost_file_handler();
  std::atexit(on_exit);
}

int leave(int code) {
  leaving = true;
  return code;
}

}  // namespace mquant::cli
