#include <algorithm>
#include <charconv>

#include "text/byte_alphabet.h"
#include "text/steps.h"

namespace mquant {
namespace {

constexpr const char* kReplacement = "\xEF\xBF\xBD";

class ByteLevelDecoder final : public Decoder {
 public:
  explicit ByteLevelDecoder(bool in_alphabet) : in_alphabet_(in_alphabet) {}
  std::vector<std::string> apply(std::vector<std::string> tokens) const override {
    std::string bytes;
    for (const std::string& token : tokens) {
      const auto decoded = in_alphabet_ ? from_byte_alphabet(token) : std::nullopt;
      bytes += decoded ? *decoded : token;
    }
    return {replace_invalid_utf8(bytes)};
  }

 private:
  bool in_alphabet_;
};

/// The byte of "<0xE4>".
std::optional<char> spelled_byte(const std::string& token) {
  unsigned value = 0;
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, value, 16);
  if (error != std::errc() || end != token.data() + 5) return std::nullopt;
  return static_cast<char>(value);
}

class ByteFallbackDecoder final : public Decoder {
 public:
  std::vector<std::string> apply(std::vector<std::string> tokens) const override {
    std::vector<std::string> result;
    std::string bytes;
    const auto flush = [&] {
      if (first_invalid_utf8(bytes) == std::string_view::npos) {
        if (!bytes.empty()) result.push_back(bytes);
      } else {
        result.insert(result.end(), bytes.size(), kReplacement);
      }
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const auto byte = spelled_byte(token)) {
        bytes += *byte;
        continue;
      }
      flush();
      result.push_back(std::move(token));
    }
    flush();
    return result;
  }
};

class FuseDecoder final : public Decoder {
 public:
  std::vector<std::string> apply(std::vector<std::string> tokens) const override {
    std::string text;
    for (const std::string& token : tokens) text += token;
    return {text};
  }
};

class MetaspaceDecoder final : public Decoder {
 public:
  MetaspaceDecoder(std::string mark, bool prepended) : mark_(std::move(mark)), prepended_(prepended) {}
  std::vector<std::string> apply(std::vector<std::string> tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const std::string_view blank = i == 0 && prepended_ ? "" : " ";
      for (std::size_t at = tokens[i].find(mark_); at != std::string::npos;
           at = tokens[i].find(mark_, at + blank.size()))
        tokens[i].replace(at, mark_.size(), blank);
    }
    return tokens;
  }

 private:
  std::string mark_;
  bool prepended_;
};

class StripDecoder final : public Decoder {
 public:
  StripDecoder(char32_t content, std::size_t start, std::size_t stop)
      : content_(content), start_(start), stop_(stop) {}
  std::vector<std::string> apply(std::vector<std::string> tokens) const override {
    for (std::string& token : tokens) token = stripped(token);
    return tokens;
  }

 private:
  std::string stripped(const std::string& token) const {
    std::vector<std::size_t> starts;  // of characters, and the end
    std::vector<bool> matches;
    for (std::size_t at = 0; at < token.size();) {
      starts.push_back(at);
      matches.push_back(next_character(token, at) == content_);
    }
    starts.push_back(token.size());
    std::size_t begin = 0, end = matches.size();
    while (begin < std::min(start_, end) && matches[begin]) ++begin;
    while (end > begin && matches.size() - end < stop_ && matches[end - 1]) --end;
    return token.substr(starts[begin], starts[end] - starts[begin]);
  }

  char32_t content_;
  std::size_t start_, stop_;
};

}  // namespace

std::unique_ptr<Decoder> decode_byte_level() { return std::make_unique<ByteLevelDecoder>(true); }
std::unique_ptr<Decoder> decode_bytes() { return std::make_unique<ByteLevelDecoder>(false); }
std::unique_ptr<Decoder> decode_byte_fallback() { return std::make_unique<ByteFallbackDecoder>(); }
std::unique_ptr<Decoder> decode_fuse() { return std::make_unique<FuseDecoder>(); }
std::unique_ptr<Decoder> decode_metaspace(std::string mark, bool prepended) {
  return std::make_unique<MetaspaceDecoder>(std::move(mark), prepended);
}
std::unique_ptr<Decoder> decode_strip(char32_t content, std::size_t start, std::size_t stop) {
  return std::make_unique<StripDecoder>(content, start, stop);
}

}  // namespace mquant
