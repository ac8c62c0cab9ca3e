// What stands in the way of a job, collected so that all of it is told at once.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "mquant/error.h"

namespace mquant {

class Obstacles {
 public:
  template <class... Parts>
  void add(ErrorKind kind, const Parts&... parts) {
    found_.emplace_back(kind, cat(parts...));
  }
  /// An Error that leaves `work` is one of them.
  template <class Work>
  void collect(Work&& work) {
    try {
      work();
    } catch (const Error& error) {
      found_.push_back(error);
    }
  }

  bool none() const { return found_.empty(); }
  bool has(ErrorKind kind) const {
    return std::ranges::any_of(found_, [kind](const Error& error) { return error.kind() == kind; });
  }
  /// Throws the only one.  Several are logged as errors first, each a line; what is thrown has the kind of the first.
  void raise() const;

 private:
  std::vector<Error> found_;
};

/// "'a', 'b', 'c' and 4 more"
std::string few_of(const std::vector<std::string>& names);

}  // namespace mquant
