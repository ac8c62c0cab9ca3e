#include "text/sentencepiece_model.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "io/json_text.h"
#include "mquant/error.h"
#include "text/charsmap.h"
#include "text/vocabulary.h"
#include "text/wire.h"

namespace mquant {
namespace {

// Fields of sentencepiece.ModelProto and of the messages in it.
constexpr std::uint32_t kPieces = 1, kTrainerSpec = 2, kNormalizerSpec = 3, kDenormalizerSpec = 5;
constexpr std::uint32_t kPieceText = 1, kPieceType = 3;
constexpr std::uint32_t kPrecompiledCharsmap = 2;
constexpr std::uint32_t kUnknownSurface = 44;
constexpr int kUserDefined = 4;

/// Pieces that are not used are taken apart by recursion, one level a character.
constexpr std::size_t kLongestPiece = 1024;
/// The library keeps room for so many user-defined pieces that a text begins with.
constexpr std::size_t kMostNested = 64;
/// A blank becomes U+2581.
constexpr std::size_t kBlankExpansion = 3;

std::string_view bytes_of(const WireField& field, std::string_view what) {
  if (!field.is_bytes) fail(ErrorKind::input, what, ": expected bytes, found a number");
  return field.bytes;
}

std::string_view short_text(const WireField& field, std::string_view what) {
  const std::string_view text = bytes_of(field, what);
  if (text.size() > kLongestPiece) {
    fail(ErrorKind::input, what, ": expected at most ", kLongestPiece, " bytes, found ", text.size());
  }
  return text;
}

class ModelCheck {
 public:
  CheckedModel run(std::string_view model) {
    WireReader fields(model);
    for (WireField field; fields.next(field);) {
      switch (field.number) {
        case kPieces: add_piece(field); break;
        case kTrainerSpec: in_context("trainer_spec", [&] { check_trainer_spec(field); }); break;
        case kNormalizerSpec:
          has_normalizer_spec_ = true;
          in_context("normalizer_spec", [&] { check_rules(field); });
          break;
        case kDenormalizerSpec: in_context("denormalizer_spec", [&] { check_rules(field); }); break;
        default: continue;
      }
      result_.serialized += field.whole;
    }
    if (pieces_ == 0) fail(ErrorKind::input, "expected a SentencePiece model, found no piece");
    // Trained models have both; without, the library would go on with defaults, and so after a file that is cut off.
    for (const auto& [seen, name] :
         {std::pair(has_trainer_spec_, "trainer"), {has_normalizer_spec_, "normalizer"}}) {
      if (!seen) fail(ErrorKind::input, "found no ", name, "_spec; the file is cut off, fetch it again");
    }
    check_nesting();
    result_.longest_expansion *= kBlankExpansion;  // a replacement may be all blanks
    return std::move(result_);
  }

 private:
  void add_piece(const WireField& piece) {
    const std::string what = cat("piece ", pieces_);
    std::string_view text;
    bool user_defined = false;
    in_context(what, [&] {
      WireReader fields(bytes_of(piece, "pieces"));
      for (WireField field; fields.next(field);) {
        if (field.number == kPieceText) text = short_text(field, "piece");
        // The library keeps 32 bits of it, and the one before where it does not know a type.
        user_defined |= field.number == kPieceType && static_cast<std::int32_t>(field.value) == kUserDefined;
      }
    });
    if (user_defined) {
      // The library would match the part in front of it.
      if (text.find('\0') != text.npos) fail(ErrorKind::input, what, ": a zero byte in a user-defined piece");
      user_defined_.push_back(text);
    }
    if (++pieces_ > kLargestTokenId + 1) {
      fail(ErrorKind::input, "expected at most ", kLargestTokenId + 1, " pieces, found more");
    }
  }

  void check_trainer_spec(const WireField& spec) {
    has_trainer_spec_ = true;
    WireReader fields(bytes_of(spec, "message"));
    for (WireField field; fields.next(field);) {
      if (field.number == kUnknownSurface) short_text(field, "unk_surface");
    }
  }

  void check_rules(const WireField& spec) {
    WireReader fields(bytes_of(spec, "message"));
    for (WireField field; fields.next(field);) {
      if (field.number != kPrecompiledCharsmap) continue;
      const std::string_view charsmap = bytes_of(field, "precompiled_charsmap");
      if (charsmap.empty()) continue;
      in_context("precompiled_charsmap", [&] {
        result_.longest_expansion = std::max(result_.longest_expansion, check_charsmap(charsmap));
      });
    }
  }

  void check_nesting() {
    std::sort(user_defined_.begin(), user_defined_.end());
    user_defined_.erase(std::unique(user_defined_.begin(), user_defined_.end()), user_defined_.end());
    std::vector<std::string_view> begins;  // pieces that the piece at hand begins with
    for (const std::string_view piece : user_defined_) {
      while (!begins.empty() && !piece.starts_with(begins.back())) begins.pop_back();
      begins.push_back(piece);
      if (begins.size() > kMostNested) {
        fail(ErrorKind::input, "user-defined piece '", printable(piece), "': more than ", kMostNested,
             " others begin it");
      }
    }
  }

  CheckedModel result_;
  std::int64_t pieces_ = 0;
  bool has_trainer_spec_ = false, has_normalizer_spec_ = false;
  std::vector<std::string_view> user_defined_;
};

}  // namespace

CheckedModel check_sentencepiece_model(std::string_view model) { return ModelCheck().run(model); }

}  // namespace mquant
