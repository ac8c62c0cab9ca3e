// Files of chat samples: a JSON object a line, or one JSON list of such objects.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "io/json_slices.h"
#include "mquant/error.h"
#include "mquant/sample.h"
#include "support/mapped_file.h"
#include "support/strings.h"
#include "text/sample_reader.h"

namespace mquant {
namespace {

constexpr std::size_t kLongestSample = std::size_t{16} << 20;

class File {
 public:
  File(const std::filesystem::path& file, std::int64_t limit)
      : reader_(file), name_(file.string()), limit_(limit) {}

  void read_lines(std::string_view text) {
    for (std::int64_t number = 1; !text.empty() && !is_full(); ++number) {
      const std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(line.size() + 1, text.size()));
      if (line.find_first_not_of(" \t\r") != line.npos)
        add(line, cat(name_, ":", number), cat("line-", number));
    }
  }

  void read_list(std::string_view text) {
    std::int64_t number = 1;
    std::size_t counted = 0;
    JsonSlices items(text, name_);
    for (std::int64_t item = 1; !is_full() && items.next(); ++item) {
      number += std::ranges::count(text.substr(counted, items.offset() - counted), '\n');
      counted = items.offset();
      add(items.value(), cat(name_, ":", number, " (sample ", item, ")"), cat("sample-", item));
    }
  }

  std::vector<Sample> take() { return std::move(samples_); }

 private:
  bool is_full() const { return limit_ > 0 && std::ssize(samples_) >= limit_; }

  void add(std::string_view text, const std::string& where, std::string id) {
    if (text.size() > kLongestSample) {
      fail(ErrorKind::input, where, ": expected at most ", human_bytes(kLongestSample), " a sample, found ",
           human_bytes(text.size()));
    }
    const Json json = parse_json(text, where);
    samples_.push_back(reader_.read(JsonPart(json, where), text, std::move(id)));
  }

  SampleReader reader_;
  std::string name_;
  std::int64_t limit_;
  std::vector<Sample> samples_;
};

}  // namespace

std::vector<Sample> read_samples(const std::filesystem::path& file, std::int64_t limit) {
  const MappedFile mapped(file);
  std::string_view text(reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size());
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  File samples(file, limit);
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin != text.npos && text[begin] == '[')
    samples.read_list(text);
  else
    samples.read_lines(text);
  std::vector<Sample> read = samples.take();
  if (read.empty()) fail(ErrorKind::input, file.string(), ": no samples; expected a JSON object a line");
  return read;
}

}  // namespace mquant
