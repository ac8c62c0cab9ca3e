#include "zoo/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "mquant/error.h"
#include "support/console.h"

namespace mquant::zoo {
namespace {

constexpr std::size_t kLongestLine = std::size_t{1}
                                     << 20;  // of a JSON text on one line; more is cut in pieces

/// Between fork and exec: nothing here may allocate.
[[noreturn]] void run(const char* program, char* const* words, pid_t parent,
                      const std::array<int, 2>& write_ends) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);  // it was gone before it could be said
  setpgid(0, 0);
  const int nothing = open("/dev/null", O_RDONLY);
  dup2(nothing, STDIN_FILENO);
  dup2(write_ends[ChildProcess::out], STDOUT_FILENO);
  dup2(write_ends[ChildProcess::err], STDERR_FILENO);
  close_range(STDERR_FILENO + 1, ~0U, 0);  // logs of other jobs; where the system cannot, they stay open
  signal(SIGPIPE, SIG_DFL);
  execv(program, words);
  for (const std::string_view text :
       {console::kErrorPrefix, std::string_view("cannot start the program\n")}) {
    [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, text.data(), text.size());
  }
  _exit(static_cast<int>(ErrorKind::resources));
}

std::array<int, 2> make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0)
    fail(ErrorKind::resources, "cannot start a process: ", std::strerror(errno));
  return ends;
}

}  // namespace

ChildProcess::ChildProcess(const std::filesystem::path& program, const std::vector<std::string>& words)
    : start_(std::chrono::steady_clock::now()) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const std::array<int, 2> of_out = make_pipe(), of_err = make_pipe();
  const pid_t parent = getpid();
  process_ = fork();
  if (process_ == 0) run(program.c_str(), arguments.data(), parent, {of_out[1], of_err[1]});
  const int error_number = errno;
  for (const int end : {of_out[1], of_err[1]}) close(end);
  pipes_ = {of_out[0], of_err[0]};
  if (process_ < 0) {
    for (const int end : pipes_) close(end);
    fail(ErrorKind::resources, "cannot start a process: ", std::strerror(error_number));
  }
}

ChildProcess::~ChildProcess() {
  for (const int end : pipes_)
    if (end >= 0) close(end);
  if (process_ < 0) return;
  kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : process_(std::exchange(other.process_, -1)),
      pipes_(std::exchange(other.pipes_, {-1, -1})),
      rest_(std::move(other.rest_)),
      start_(other.start_) {}

void ChildProcess::read(Stream stream, const std::function<void(std::string)>& line) {
  std::array<char, 65536> bytes{};
  const ssize_t n = ::read(pipes_[stream], bytes.data(), bytes.size());
  if (n < 0 && errno == EINTR) return;
  std::string& rest = rest_[stream];
  if (n <= 0) {
    close(std::exchange(pipes_[stream], -1));
    if (!rest.empty()) line(std::exchange(rest, {}));
    return;
  }
  rest.append(bytes.data(), static_cast<std::size_t>(n));
  std::size_t begin = 0;
  for (std::size_t end = rest.find('\n'); end != std::string::npos; end = rest.find('\n', begin)) {
    line(rest.substr(begin, end - begin));
    begin = end + 1;
  }
  rest.erase(0, begin);
  if (rest.size() > kLongestLine) line(std::exchange(rest, {}));
}

std::optional<Exit> ChildProcess::ended() {
  if (pipes_[out] >= 0 || pipes_[err] >= 0) return {};
  int status = 0;
  struct rusage usage{};
  while (wait4(process_, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  process_ = -1;
  return Exit{.code = WIFEXITED(status) ? WEXITSTATUS(status) : 0,
              .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
              .seconds = seconds(),
              .peak_bytes = std::int64_t{1024} * usage.ru_maxrss};
}

void ChildProcess::signal(int number) const {
  if (process_ > 0) kill(process_, number);
}

double ChildProcess::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

}  // namespace mquant::zoo
