// Ctrl-C: the first ends the job between two steps, the second at once.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <string_view>

#include "mquant/error.h"
#include "mquant/log.h"
#include "support/console.h"

namespace mquant {
namespace {

std::atomic<bool> interrupted = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler must not wait");

extern "C" void on_signal(int /*number*/) {
  if (interrupted.exchange(true)) _exit(static_cast<int>(ErrorKind::interrupted));
  for (const std::string_view text : {std::string_view("\n"), console::kStopping, std::string_view("\n")}) {
    [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, text.data(), text.size());
  }
}

}  // namespace

void install_interrupt_handler() {
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool interrupt_requested() { return interrupted; }

void check_interrupt() {
  if (interrupted) fail(ErrorKind::interrupted, "interrupted");
}

}  // namespace mquant
