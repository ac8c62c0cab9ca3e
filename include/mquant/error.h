// Errors: one type, one kind per exit code.  Libraries throw; only main() catches, prints one line and exits.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace mquant {

/// Whose mistake it is.  The value is the exit code of the program.
enum class ErrorKind {
  usage = 2,         ///< the command line is wrong
  input = 3,         ///< a file is missing, broken or contradicts another
  unsupported = 4,   ///< well formed, but nothing here knows how to do it
  resources = 5,     ///< disk full, out of memory, no permission
  verification = 6,  ///< an artifact or a block does not hold what it promises
  internal = 70,     ///< a bug of ours
  interrupted = 130  ///< the user pressed Ctrl-C
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }
  int exit_code() const { return static_cast<int>(kind_); }

 private:
  ErrorKind kind_;
};

/// Concatenates anything that a stream prints.
template <class... Parts>
std::string cat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return std::move(out).str();
}

/// Throws Error{kind} with the parts as one line: what, where, expected, found, what to do.
template <class... Parts>
[[noreturn]] void fail(ErrorKind kind, const Parts&... parts) {
  throw Error(kind, cat(parts...));
}

/// Our own promise is broken: a bug.  Never for what a user's file may cause.
template <class... Parts>
void require(bool promise, const Parts&... parts) {
  if (!promise) fail(ErrorKind::internal, parts...);
}

/// Runs `work`; an Error that leaves it gets "context: " in front, once, where the context is known.
template <class Work>
auto in_context(std::string_view context, Work&& work) -> decltype(work()) {
  try {
    return work();
  } catch (const Error& error) {
    throw Error(error.kind(), cat(context, ": ", error.what()));
  }
}

}  // namespace mquant
