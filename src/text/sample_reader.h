// One chat sample, in any of the forms that docs/samples.md lists.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mquant/sample.h"
#include "text/json_part.h"
#include "text/sample_pictures.h"

namespace mquant {

/// What the samples of a file share.
class SampleReader {
 public:
  explicit SampleReader(const std::filesystem::path& file) : pictures_(file.parent_path()) {}

  /// @param text  of the sample: tools and calls are taken from there, in the order of their keys
  /// @param id    of a sample that states none
  /// @throws Error{input} naming the place; Error{unsupported} for sounds and videos
  Sample read(const JsonPart& sample, std::string_view text, std::string id);

 private:
  struct Marked;
  std::vector<Message> read_messages(const JsonPart& sample, std::string_view text);
  Message read_message(const JsonPart& part, std::string_view text, Marked& marked);
  void read_parts(const JsonPart& list, Marked& marked, Message& message);
  Message read_short_form(const JsonPart& sample);
  std::vector<ContentPart> read_pictures(const JsonPart& part) const;
  std::string digest(const Sample& sample);
  void tell_once(const JsonPart& part, const std::string& what);

  SamplePictures pictures_;
  std::map<std::string, std::string> ids_;  // where each stands
  std::set<std::string> told_;
};

}  // namespace mquant
