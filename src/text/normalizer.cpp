#include "mquant/error.h"
#include "text/steps.h"

namespace mquant {
namespace {

std::string replace_all(const std::string& text, const Pattern& pattern, const std::string& content) {
  std::vector<Span> matches;
  find_all(text, pattern, matches);
  if (matches.empty()) return text;
  std::string result;
  std::size_t done = 0;
  for (const Span match : matches) {
    result.append(text, done, match.begin - done);
    result += content;
    done = match.end;
    if (result.size() > kLongestNormalized) {
      fail(ErrorKind::input, "text: more than ", kLongestNormalized, " bytes after it was normalized");
    }
  }
  return result.append(text, done);
}

class NormalFormStep final : public Normalizer {
 public:
  explicit NormalFormStep(NormalForm form) : form_(form) {}
  std::string apply(std::string text) const override { return normalized(text, form_); }

 private:
  NormalForm form_;
};

class Replace final : public Normalizer {
 public:
  Replace(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  std::string apply(std::string text) const override { return replace_all(text, pattern_, content_); }

 private:
  Pattern pattern_;
  std::string content_;
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(std::string text) : text_(std::move(text)) {}
  std::string apply(std::string text) const override { return text.empty() ? text : text_ + text; }

 private:
  std::string text_;
};

class ReplaceInTokens final : public Decoder {
 public:
  ReplaceInTokens(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  std::vector<std::string> apply(std::vector<std::string> tokens) const override {
    for (std::string& token : tokens) token = replace_all(token, pattern_, content_);
    return tokens;
  }

 private:
  Pattern pattern_;
  std::string content_;
};

}  // namespace

std::unique_ptr<Normalizer> normal_form(NormalForm form) { return std::make_unique<NormalFormStep>(form); }
std::unique_ptr<Normalizer> replace(Pattern pattern, std::string content) {
  return std::make_unique<Replace>(std::move(pattern), std::move(content));
}
std::unique_ptr<Normalizer> prepend(std::string text) { return std::make_unique<Prepend>(std::move(text)); }
std::unique_ptr<Decoder> decode_replace(Pattern pattern, std::string content) {
  return std::make_unique<ReplaceInTokens>(std::move(pattern), std::move(content));
}

}  // namespace mquant
