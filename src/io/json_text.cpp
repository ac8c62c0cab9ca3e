#include "io/json_text.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <vector>

#include "io/file_kind.h"
#include "mquant/error.h"
#include "support/mapped_file.h"
#include "support/strings.h"

namespace mquant {
namespace {

constexpr std::size_t kLongestShown = 200;

/// "parse error at line 3, column 7: ..." without the library's "[json.exception.parse_error.101] ".
std::string reason(const Json::exception& error) {
  const std::string_view what = error.what();
  const auto end = what.find("] ");
  return printable(end == std::string_view::npos ? what : what.substr(end + 2));
}

bool continues_utf8(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

}  // namespace

Json parse_json(std::string_view text, const std::string& origin) {
  std::vector<std::unordered_set<std::string>> keys;  // of the objects that are open
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    const bool opens =
        event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
    if (opens && depth >= kDeepestJson) {
      fail(ErrorKind::input, origin, ": nested more than ", kDeepestJson, " levels deep");
    }
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key &&
        !keys.back().insert(parsed.get_ref<const std::string&>()).second) {
      fail(ErrorKind::input, origin, ": key '", printable(parsed.get_ref<const std::string&>()),
           "' is there twice in one object; remove one");
    }
    return true;
  };
  try {
    return Json::parse(text, check);
  } catch (const Json::exception& error) {
    fail(ErrorKind::input, origin, ": ", reason(error));
  }
}

Json read_json(const std::filesystem::path& file) {
  const MappedFile mapped(file);
  refuse_lfs_pointer(mapped.bytes(), file.string());  // tokenizer.json is often one
  if (mapped.bytes().size() > kLargestJsonFile) {
    fail(ErrorKind::input, file.string(), ": expected at most ", human_bytes(kLargestJsonFile),
         " of JSON, found ", human_bytes(mapped.bytes().size()));
  }
  return parse_json({reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size()},
                    file.string());
}

std::string printable(std::string_view text) {
  if (text.size() > kLongestShown) {  // both ends, cut between characters
    std::size_t head = kLongestShown / 2, tail = text.size() - kLongestShown / 2;
    while (head > 0 && continues_utf8(text[head])) --head;
    while (tail < text.size() && continues_utf8(text[tail])) ++tail;
    return printable(text.substr(0, head)) + "..." + printable(text.substr(tail));
  }
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7F) {
      shown += c;
      continue;
    }
    std::array<char, 8> escaped{};
    std::snprintf(escaped.data(), escaped.size(), "\\x%02x", byte);
    shown += escaped.data();
  }
  return shown;
}

std::string describe(const Json& value) {
  if (value.is_object()) return "an object";
  const auto is_short = [](const Json& list) {
    return list.size() <= 4 &&
           std::all_of(list.begin(), list.end(), [](const Json& item) { return item.is_primitive(); });
  };
  if (value.is_array() && !is_short(value)) return cat("a list of ", value.size());
  return printable(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace mquant
