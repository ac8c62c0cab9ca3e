#include "families/prompt_ids.h"

#include <algorithm>

#include "mquant/error.h"

namespace mquant {
namespace {

using Kind = PromptPiece::Kind;
using Tokenized = ProcessorSpec::Tokenized;

std::string joined(const std::vector<PromptPiece>& pieces) {
  std::string text;
  for (const PromptPiece& piece : pieces) text += piece.text;
  return text;
}

void append(TokenIds& ids, const TokenIds& more) { ids.insert(ids.end(), more.begin(), more.end()); }

/// Pictures among content become content, and neighbours one piece.
std::vector<PromptPiece> with_content_joined(const std::vector<PromptPiece>& pieces) {
  std::vector<PromptPiece> out;
  for (const PromptPiece& piece : pieces) {
    const Kind kind = piece.kind == Kind::image ? Kind::content : piece.kind;
    if (!out.empty() && out.back().kind == kind)
      out.back().text += piece.text;
    else
      out.push_back({piece.text, kind});
  }
  return out;
}

TokenIds encode_apart(const ProcessorSpec& spec, const std::vector<PromptPiece>& pieces) {
  TokenIds ids;
  for (const PromptPiece& piece : pieces)
    append(ids, piece.kind == Kind::content ? spec.tokenizer.encode(piece.text, spec.content_tokens)
                                            : spec.tokenizer.encode(piece.text));
  return ids;
}

TokenIds encode(const ProcessorSpec& spec, const std::vector<PromptPiece>& pieces) {
  if (pieces.empty()) return {};
  switch (spec.tokenized) {
    case Tokenized::whole: return spec.tokenizer.encode(joined(pieces));
    case Tokenized::content_apart: return encode_apart(spec, with_content_joined(pieces));
    case Tokenized::each_piece_apart: return encode_apart(spec, pieces);
  }
  fail(ErrorKind::internal, "unknown way to tokenize");
}

}  // namespace

PromptIds encode_pieces(const ProcessorSpec& spec, const std::vector<PromptPiece>& prompt,
                        const std::vector<PromptPiece>& answer) {
  PromptIds ids{encode(spec, prompt), {}};
  if (answer.empty()) return ids;
  if (spec.tokenized == Tokenized::whole) {
    const TokenIds both = spec.tokenizer.encode(joined(prompt) + joined(answer));
    if (both.size() > ids.prompt.size() && std::equal(ids.prompt.begin(), ids.prompt.end(), both.begin())) {
      ids.answer.assign(both.begin() + static_cast<std::ptrdiff_t>(ids.prompt.size()), both.end());
      return ids;
    }
  }
  ids.answer = encode(spec, answer);
  return ids;
}

void refuse_reserved(const ProcessorSpec& spec, const std::vector<PromptPiece>& pieces) {
  for (const PromptPiece& piece : pieces)
    for (const std::string& token : spec.reserved)
      if (piece.kind == Kind::content && piece.text.find(token) != std::string::npos) fail_reserved(token);
}

}  // namespace mquant
