// Models of the SentencePiece library.  The library itself encodes and decodes, so that the ids are its own.
#include <sentencepiece_processor.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <new>

#include "io/json_text.h"
#include "mquant/error.h"
#include "support/mapped_file.h"
#include "support/strings.h"
#include "text/sentencepiece_model.h"
#include "text/tokenizer.h"
#include "text/tokenizer_parts.h"

namespace mquant {
namespace {

constexpr std::size_t kLargestModel = std::size_t{64} << 20;

/// Runs a call of the library; its trie builder throws exceptions of its own.
template <class Call>
void call(std::string_view what, Call&& library) {
  sentencepiece::util::Status status;
  try {
    status = library();
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    fail(ErrorKind::input, what, ": libsentencepiece: ", printable(error.what()));
  }
  if (!status.ok()) fail(ErrorKind::input, what, ": libsentencepiece: ", printable(status.ToString()));
}

class SentencePieceVocabulary final : public Vocabulary {
 public:
  explicit SentencePieceVocabulary(const CheckedModel& model) : longest_expansion_(model.longest_expansion) {
    call("SentencePiece model", [&] { return processor_.LoadFromSerializedProto(model.serialized); });
  }

  void encode(std::span<const std::string_view> pieces, TokenIds& ids) const override {
    std::vector<int> own;
    for (const std::string_view piece : pieces) {
      if (piece.size() > kLongestNormalized / longest_expansion_) {
        fail(ErrorKind::input, "text: a stretch of ", piece.size(), " bytes may become ", longest_expansion_,
             " times as long when it is normalized; expected at most ", human_bytes(kLongestNormalized));
      }
      own.clear();
      call("text", [&] { return processor_.Encode(piece, &own); });
      ids.insert(ids.end(), own.begin(), own.end());
    }
  }

  void decode(std::span<const std::int64_t> ids, std::vector<std::string>& tokens) const override {
    std::vector<int> own;
    for (const std::int64_t id : ids) {
      if (has(id)) own.push_back(static_cast<int>(id));
    }
    std::string text;
    call("tokens", [&] { return processor_.Decode(own, &text); });
    if (!text.empty()) tokens.push_back(replace_invalid_utf8(text));
  }

  std::optional<std::int64_t> id_of(std::string_view entry) const override {
    const int id = processor_.PieceToId(entry);  // that of the unknown piece, if there is none
    if (processor_.IdToPiece(id) != entry) return std::nullopt;
    return id;
  }
  const std::string* entry(std::int64_t id) const override {
    return has(id) ? &processor_.IdToPiece(static_cast<int>(id)) : nullptr;
  }
  std::int64_t size() const override { return processor_.GetPieceSize(); }

 private:
  bool has(std::int64_t id) const { return id >= 0 && id < size(); }

  sentencepiece::SentencePieceProcessor processor_;
  std::size_t longest_expansion_;
};

std::vector<AddedToken> with_ids(std::vector<AddedToken> tokens, const Vocabulary& vocabulary) {
  std::int64_t next = vocabulary.size();
  for (const AddedToken& token : tokens) next = std::max(next, std::min(token.id, kLargestTokenId) + 1);
  for (AddedToken& token : tokens) {
    token.normalized = false;
    if (token.id != kIdByContent) continue;
    const auto own = vocabulary.id_of(token.content);
    token.id = own ? *own : next++;
  }
  return tokens;
}

}  // namespace

Tokenizer open_sentencepiece(const std::filesystem::path& file, const SentencePieceOptions& options) {
  const MappedFile mapped(file);
  const std::string_view model(reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size());
  return parse_sentencepiece(model, file.string(), options);
}

Tokenizer parse_sentencepiece(std::string_view model, const std::string& origin,
                              const SentencePieceOptions& options) {
  auto parts = std::make_unique<TokenizerParts>();
  parts->origin = origin;
  return in_context(origin, [&] {
    if (model.size() > kLargestModel) {
      fail(ErrorKind::input, "expected at most ", human_bytes(kLargestModel), ", found ",
           human_bytes(model.size()));
    }
    parts->vocabulary = std::make_unique<SentencePieceVocabulary>(check_sentencepiece_model(model));
    parts->decoders.push_back(decode_fuse());
    parts->added = AddedTokens(with_ids(options.added, *parts->vocabulary),
                               [](const std::string& text) { return text; });
    if (!options.bos.empty()) {
      const AddedToken* added = parts->added.find(options.bos);
      const auto id = added ? added->id : parts->vocabulary->id_of(options.bos);
      if (!id) fail(ErrorKind::input, "no token '", printable(options.bos), "' to put in front of texts");
      parts->before.push_back(*id);
    }
    return Tokenizer(std::move(parts));
  });
}

}  // namespace mquant
