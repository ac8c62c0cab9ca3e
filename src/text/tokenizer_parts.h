// What a tokenizer is made of.  The readers of tokenizer files fill this in.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "text/added_tokens.h"
#include "text/steps.h"
#include "text/vocabulary.h"

namespace mquant {

/// Text goes through these from top to bottom.
struct TokenizerParts {
  std::string origin;  // the file, for messages
  AddedTokens added;
  std::vector<std::unique_ptr<Normalizer>> normalizers;       // of each text between added tokens
  std::vector<std::unique_ptr<PreTokenizer>> pre_tokenizers;  // none: the text is one word
  std::unique_ptr<Vocabulary> vocabulary;
  TokenIds before, after;                          // what encode_with_template puts around
  std::vector<std::unique_ptr<Decoder>> decoders;  // none: tokens are joined with blanks

  std::string normalize(std::string text) const {
    for (const auto& step : normalizers) text = step->apply(std::move(text));
    return text;
  }
};

}  // namespace mquant
