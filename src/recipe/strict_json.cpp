#include "recipe/strict_json.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>
#include <vector>

#include "mquant/error.h"

namespace mquant {
namespace {

constexpr int kDeepest = 32;
constexpr std::streamsize kLargestFile = std::streamsize{1} << 20;

/// "parse error at line 3, column 7: ..." without the library's "[json.exception.parse_error.101] ".
std::string reason(const Json::exception& error) {
  const std::string_view what = error.what();
  const auto end = what.find("] ");
  return std::string(end == std::string_view::npos ? what : what.substr(end + 2));
}

}  // namespace

Json parse_strict(std::string_view text, const std::string& origin) {
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kDeepest) fail(ErrorKind::input, origin, ": nested more than ", kDeepest, " levels deep");
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second) {
      fail(ErrorKind::input, origin, ": key '", parsed.get<std::string>(), "' is there twice in one object");
    }
    return true;
  };
  try {
    return Json::parse(text, check);
  } catch (const Json::exception& error) {
    fail(ErrorKind::input, origin, ": ", reason(error));
  }
}

std::string read_small_file(const std::filesystem::path& path) {
  std::error_code status;
  errno = std::filesystem::is_directory(path, status) ? EISDIR : 0;
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (errno == EISDIR || !in)
    fail(ErrorKind::input, "cannot read '", path.string(), "': ", std::strerror(errno));
  if (in.tellg() > kLargestFile) {
    fail(ErrorKind::input, "'", path.string(), "': expected at most 1 MiB, found ", in.tellg(), " bytes");
  }
  in.seekg(0);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace mquant
