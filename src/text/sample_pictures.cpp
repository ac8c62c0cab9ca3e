#include "text/sample_pictures.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "mquant/error.h"
#include "support/sha256.h"
#include "support/strings.h"
#include "text/base64.h"

namespace mquant {
namespace {

constexpr std::uintmax_t kLargestPicture = std::uintmax_t{256} << 20;
constexpr std::string_view kData = "data:", kFile = "file://";

/// Schemes and "base64" are the same in capitals (RFC 3986, RFC 2397).
bool is_prefix(std::string_view lower, std::string_view text) {
  return text.size() >= lower.size() &&
         std::ranges::equal(lower, text.substr(0, lower.size()),
                            [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b - 'A' + 'a' : b); });
}

/// "data:image/png;base64,....": the decoded bytes.
std::string bytes_of(const JsonPart& part, std::string_view uri) {
  const std::size_t comma = uri.find(',');
  constexpr std::string_view kBase64 = ";base64";
  if (comma == uri.npos || comma < kBase64.size() || !is_prefix(kBase64, uri.substr(comma - kBase64.size())))
    part.fail_expecting("a data: URI in base64 (data:image/png;base64,...)");
  std::optional<std::string> bytes = decode_base64(uri.substr(comma + 1));
  if (!bytes) part.fail_expecting("a data: URI whose bytes are base64, padded and without line breaks");
  return std::move(*bytes);
}

/// RFC 8089: no host, or "localhost"; "%20" is a blank.
std::string path_of_uri(const JsonPart& part, std::string_view uri) {
  std::string_view rest = uri.substr(kFile.size());
  if (rest.starts_with("localhost/")) rest.remove_prefix(rest.find('/'));
  if (!rest.starts_with('/')) part.fail_expecting("a file URI with an absolute path (file:///folder/a.png)");
  std::string path;
  for (std::size_t at = 0; at < rest.size(); ++at) {
    if (rest[at] != '%') {
      path += rest[at];
      continue;
    }
    unsigned byte = 0;
    const std::string_view digits = rest.substr(at + 1, 2);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    if (digits.size() != 2 || error != std::errc() || end != digits.data() + 2)
      part.fail_expecting("two hexadecimal digits after each '%' of a file URI");
    path += static_cast<char>(byte);
    at += 2;
  }
  return path;
}

}  // namespace

ContentPart SamplePictures::from_path(const JsonPart& part, const std::string& path) const {
  if (path.empty() || path.find('\0') != path.npos || path.find("://") != path.npos)
    part.fail_expecting("the path of a picture");
  ContentPart content{.kind = ContentPart::Kind::image, .image = folder_ / path, .image_as_written = path};
  std::error_code error;
  if (!std::filesystem::is_regular_file(content.image, error)) {
    if (path.size() > 64 && decode_base64(path))
      part.fail_expecting("the path of a picture, or its bytes as a data: URI (data:image/png;base64,...)");
    fail(ErrorKind::input, part.where(), ": no picture '", printable(content.image.string()),
         "'; paths are relative to the sample file");
  }
  const auto size = std::filesystem::file_size(content.image, error);
  if (!error && size > kLargestPicture) {
    fail(ErrorKind::input, part.where(), ": '", printable(path), "': expected at most ",
         human_bytes(kLargestPicture), ", found ", human_bytes(size));
  }
  return content;
}

ContentPart SamplePictures::read(const JsonPart& part) const {
  const std::string& place = part.text();
  if (is_prefix(kData, place))
    return {.kind = ContentPart::Kind::image, .image_bytes = bytes_of(part, place)};
  if (is_prefix(kFile, place)) return from_path(part, path_of_uri(part, place));
  if (is_prefix("http://", place) || is_prefix("https://", place)) {
    fail(ErrorKind::input, part.where(), ": expected the path of a picture, found ", describe(part.value()),
         "; nothing is fetched: download it and give its path");
  }
  return from_path(part, place);
}

std::string SamplePictures::digest(const ContentPart& picture) {
  if (!picture.image_bytes.empty()) {
    Sha256 hash;
    hash.update(picture.image_bytes);
    return hash.hex();
  }
  std::string& digest = digests_[picture.image.string()];
  if (digest.empty()) digest = sha256_file(picture.image);
  return digest;
}

}  // namespace mquant
