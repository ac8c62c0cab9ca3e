#include <algorithm>
#include <nlohmann/json.hpp>

#include "mquant/error.h"
#include "mquant/options.h"
#include "support/strings.h"

namespace mquant {

bool Range::contains(double value) const {
  if (or_zero && value == 0) return true;
  return !(above && value <= *above) && !(at_least && value < *at_least) && !(below && value >= *below) &&
         !(at_most && value > *at_most);
}

std::string Range::text() const {
  std::vector<std::string> ends;
  if (above) ends.push_back(cat("above ", *above));
  if (at_least) ends.push_back(cat("at least ", *at_least));
  if (below) ends.push_back(cat("below ", *below));
  if (at_most) ends.push_back(cat("at most ", *at_most));
  return cat(or_zero ? "0 or " : "", join(ends, " and "));
}

void OptionBinder::flag(const char* name, bool& field, const char* summary) {
  if (table_ != nullptr)
    table_->push_back({name, field ? "true" : "false", summary});
  else
    field = values_->boolean(name);
}

void OptionBinder::integer(const char* name, std::int64_t& field, const char* summary, const Range& range) {
  if (table_ != nullptr)
    table_->push_back({name, std::to_string(field), summary, {}, range});
  else
    field = values_->integer(name);
}

void OptionBinder::number(const char* name, double& field, const char* summary, const Range& range) {
  if (table_ != nullptr)
    table_->push_back({name, nlohmann::json(field).dump(), summary, {}, range});
  else
    field = values_->number(name);
}

void OptionBinder::text(const char* name, std::string& field, const char* summary) {
  if (table_ != nullptr)
    table_->push_back({name, nlohmann::json(field).dump(), summary});
  else
    field = values_->string(name);
}

std::size_t OptionBinder::choose(const char* name, std::size_t chosen, const char* summary,
                                 const std::vector<std::string>& words) {
  if (table_ != nullptr) {
    require(chosen < words.size(), "option '", name, "': no word stands for its default");
    table_->push_back({name, nlohmann::json(words[chosen]).dump(), summary, words});
    return chosen;
  }
  const std::string word = values_->string(name);
  const auto found = std::ranges::find(words, word);
  require(found != words.end(), "option '", name, "': '", word, "' has not been checked");
  return static_cast<std::size_t>(found - words.begin());
}

}  // namespace mquant
