#include "pipeline/obstacles.h"

#include <algorithm>

#include "io/json_text.h"
#include "mquant/log.h"
#include "support/strings.h"

namespace mquant {

void Obstacles::raise() const {
  if (found_.empty()) return;
  if (found_.size() == 1) throw found_.front();
  for (const Error& error : found_) log_error(error.what());
  fail(found_.front().kind(), found_.size(), " obstacles, as told above: nothing was done");
}

std::string few_of(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 3;
  std::vector<std::string> shown;
  for (std::size_t i = 0; i < std::min(kShown, names.size()); ++i)
    shown.push_back(cat("'", printable(names[i]), "'"));
  return join(shown, ", ") +
         (names.size() > kShown ? cat(" and ", names.size() - kShown, " more") : std::string());
}

}  // namespace mquant
