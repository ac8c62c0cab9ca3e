#include "text/tokenizer.h"

#include "io/json_text.h"
#include "mquant/error.h"
#include "support/strings.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

namespace mquant {
namespace {

constexpr std::size_t kLongestText = std::size_t{16} << 20;

void check_text(std::string_view text) {
  if (text.size() > kLongestText) {
    fail(ErrorKind::input, "text: expected at most ", human_bytes(kLongestText), " to encode at once, found ",
         human_bytes(text.size()));
  }
  const std::size_t invalid = first_invalid_utf8(text);
  if (invalid != std::string_view::npos) {
    fail(ErrorKind::input, "text: byte ", invalid, " is not UTF-8; convert the text first");
  }
}

/// The words of one stretch of text; `at_start`: the whole text begins with it.
Words words_of(std::string_view text, bool at_start, const TokenizerParts& parts) {
  Words words;
  words.views.push_back(text);
  for (const auto& step : parts.pre_tokenizers) {
    const std::vector<std::string_view> before = std::move(words.views);
    words.views.clear();
    for (std::size_t i = 0; i < before.size(); ++i) {
      // A step may have removed what the text began with; what it has rewritten begins where the text did.
      const bool inside = before[i].data() > text.data() && before[i].data() < text.data() + text.size();
      step->split(before[i], at_start && i == 0 && !inside, words);
    }
  }
  return words;
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const TokenizerParts> parts) : parts_(std::move(parts)) {
  require(parts_ && parts_->vocabulary, "a tokenizer without a vocabulary");
}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

TokenIds Tokenizer::encode_recognising(std::string_view text, const Recognised& recognised) const {
  check_text(text);
  TokenIds ids;
  std::vector<AddedTokens::Piece> raw;
  parts_->added.split(text, AddedTokens::Stage::raw, recognised, raw);
  for (const AddedTokens::Piece& piece : raw) {
    if (piece.id >= 0) {
      ids.push_back(piece.id);
      continue;
    }
    const bool begins = piece.text.data() == text.data();
    const std::string normalized = parts_->normalize(std::string(piece.text));
    std::vector<AddedTokens::Piece> stretches;
    parts_->added.split(normalized, AddedTokens::Stage::normalized, recognised, stretches);
    for (const AddedTokens::Piece& stretch : stretches) {
      if (stretch.id >= 0)
        ids.push_back(stretch.id);
      else
        parts_->vocabulary->encode(
            words_of(stretch.text, begins && stretch.text.data() == normalized.data(), *parts_).views, ids);
    }
  }
  return ids;
}

TokenIds Tokenizer::encode(std::string_view text) const {
  return encode_recognising(text, Recognised::all());
}

TokenIds Tokenizer::encode_ordinary(std::string_view text) const {
  return encode_recognising(text, Recognised::not_special());
}

TokenIds Tokenizer::encode(std::string_view text, std::span<const std::string> allowed) const {
  std::vector<std::int64_t> ids;
  for (const std::string& token : allowed) {
    const AddedToken* added = parts_->added.find(token);
    if (!added) fail(ErrorKind::input, parts_->origin, ": no added token '", printable(token), "'");
    ids.push_back(added->id);
  }
  return encode_recognising(text, Recognised::only(std::move(ids)));
}

TokenIds Tokenizer::encode_with_template(std::string_view text) const {
  TokenIds ids = parts_->before;
  const TokenIds inner = encode(text);
  ids.insert(ids.end(), inner.begin(), inner.end());
  ids.insert(ids.end(), parts_->after.begin(), parts_->after.end());
  return ids;
}

const TokenIds& Tokenizer::before() const { return parts_->before; }
const TokenIds& Tokenizer::after() const { return parts_->after; }

std::string Tokenizer::decode(std::span<const std::int64_t> ids, bool skip_special) const {
  std::vector<std::string> tokens;
  TokenIds run;  // ids of the vocabulary that no visible added token separates
  const auto decode_run = [&] {
    parts_->vocabulary->decode(run, tokens);
    run.clear();
  };
  for (const std::int64_t id : ids) {
    const AddedToken* added = parts_->added.find(id);
    if (!added) {
      run.push_back(id);
    } else if (!skip_special || !added->special) {
      decode_run();
      tokens.push_back(added->content);
    }
  }
  decode_run();
  for (const auto& step : parts_->decoders) tokens = step->apply(std::move(tokens));
  return join(tokens, parts_->decoders.empty() ? " " : "");
}

std::optional<std::int64_t> Tokenizer::find(std::string_view token) const {
  if (const AddedToken* added = parts_->added.find(token)) return added->id;
  return parts_->vocabulary->id_of(token);
}

std::int64_t Tokenizer::id_of(std::string_view token) const {
  const auto id = find(token);
  if (!id) fail(ErrorKind::input, parts_->origin, ": no token '", printable(token), "'");
  return *id;
}

std::string Tokenizer::token_of(std::int64_t id) const {
  if (const AddedToken* added = parts_->added.find(id)) return added->content;
  const std::string* entry = parts_->vocabulary->entry(id);
  return entry ? *entry : std::string();
}

bool Tokenizer::is_special(std::int64_t id) const {
  const AddedToken* added = parts_->added.find(id);
  return added && added->special;
}

std::map<std::int64_t, std::string> Tokenizer::added_beyond(std::int64_t first) const {
  std::map<std::int64_t, std::string> found;
  for (const AddedToken& token : parts_->added.all())
    if (token.id >= first) found.emplace(token.id, token.content);
  return found;
}

std::int64_t Tokenizer::vocabulary_size() const {
  return std::max(parts_->vocabulary->size(), parts_->added.size());
}

const std::string& Tokenizer::origin() const { return parts_->origin; }

}  // namespace mquant
