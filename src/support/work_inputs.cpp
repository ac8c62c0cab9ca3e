#include "support/work_inputs.h"

#include <algorithm>
#include <atomic>
#include <mutex>

namespace mquant {
namespace {

std::mutex guard;                     // of all below
std::vector<WorkInputs*> listening;   // usually none or one
std::atomic<std::size_t> living = 0;  // listening.size(), read without the guard

}  // namespace

WorkInputs::WorkInputs() {
  const std::lock_guard lock(guard);
  listening.push_back(this);
  living = listening.size();
}

WorkInputs::~WorkInputs() {
  const std::lock_guard lock(guard);
  std::erase(listening, this);
  living = listening.size();
}

std::vector<std::filesystem::path> WorkInputs::files() const {
  const std::lock_guard lock(guard);
  std::vector<std::filesystem::path> files = files_;
  std::ranges::sort(files);
  const auto repeated = std::ranges::unique(files);
  files.erase(repeated.begin(), repeated.end());
  return files;
}

std::map<std::string, std::string> WorkInputs::values(const std::filesystem::path& file) const {
  const std::lock_guard lock(guard);
  const auto found = values_.find(file.string());
  return found == values_.end() ? std::map<std::string, std::string>() : found->second;
}

bool WorkInputs::any() { return living != 0; }

void WorkInputs::note_file(const std::filesystem::path& path) {
  if (!any()) return;
  const std::lock_guard lock(guard);
  for (WorkInputs* const listener : listening) listener->files_.push_back(path);
}

void WorkInputs::note_value(const std::string& file, const std::string& path, std::string_view text) {
  if (!any()) return;
  const std::lock_guard lock(guard);
  for (WorkInputs* const listener : listening) {
    std::string& told = listener->values_[file][path];
    if (text.size() > told.size()) told = text;  // the whole of an object says more than that it is there
  }
}

}  // namespace mquant
