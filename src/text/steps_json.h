// The components of tokenizer.json around the model.
#pragma once

#include <memory>
#include <vector>

#include "text/json_part.h"
#include "text/steps.h"
#include "text/vocabulary.h"

namespace mquant {

/// Each takes the value of its key, null included.  Sequences are flattened.
/// @throws Error{unsupported} naming file and component; Error{input} for a broken one.
std::vector<std::unique_ptr<Normalizer>> read_normalizers(const JsonPart& part);

struct PreTokenizers {
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  bool byte_level = false;  // the last of them is ByteLevel: vocabulary entries are in the alphabet of bytes
};
PreTokenizers read_pre_tokenizers(const JsonPart& part);

std::vector<std::unique_ptr<Decoder>> read_decoders(const JsonPart& part);

/// Ids around a text.
struct Template {
  TokenIds before, after;
};
Template read_post_processor(const JsonPart& part);

}  // namespace mquant
