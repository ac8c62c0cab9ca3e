// What a tokenizer is made of.  The readers of tokenizer files fill this in.
#pragma once

#include <cstdint>
#include <filesystem>
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

/// Adds the tokens that other files of a directory with tokenizer.json state: "added_tokens_decoder" of
/// tokenizer_config.json or, where it has none, added_tokens.json and special_tokens_map.json; then those that have a
/// name there ("bos_token", "image_token", "extra_special_tokens").  A token without an id gets the vocabulary's, or
/// `next` and so on, as in transformers.
/// @throws Error{input} if a token has another id or other flags there
void merge_added_tokens(const std::filesystem::path& directory, const Vocabulary& vocabulary,
                        std::int64_t next, std::vector<AddedToken>& tokens);

}  // namespace mquant
