#include "text/vocabulary.h"

#include "io/json_text.h"
#include "mquant/error.h"

namespace mquant {

void Vocabulary::decode(std::span<const std::int64_t> ids, std::vector<std::string>& tokens) const {
  for (const std::int64_t id : ids) {
    if (const std::string* text = entry(id)) tokens.push_back(*text);
  }
}

void Entries::add(std::int64_t id, std::string entry) {
  if (id < 0 || id > kLargestTokenId) {
    fail(ErrorKind::input, "token '", printable(entry), "': expected an id of 0 to ", kLargestTokenId,
         ", found ", id);
  }
  const auto index = static_cast<std::size_t>(id);
  if (index >= entries_.size()) entries_.resize(index + 1);
  if (entries_[index]) {
    fail(ErrorKind::input, "token '", printable(entry), "': id ", id, " belongs to '",
         printable(*entries_[index]), "' already");
  }
  entries_[index] = std::move(entry);
}

const std::string* Entries::find(std::int64_t id) const {
  if (id < 0 || id >= size()) return nullptr;
  const auto& entry = entries_[static_cast<std::size_t>(id)];
  return entry ? &*entry : nullptr;
}

}  // namespace mquant
