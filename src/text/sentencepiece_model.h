// A SentencePiece model file, looked through before libsentencepiece gets it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mquant {

struct CheckedModel {
  std::string serialized;  ///< the fields that the library needs; samples for a test of its own are left out
  std::size_t longest_expansion = 1;  ///< bytes that one byte of text may become when it is normalized
};

/// libsentencepiece states errors of most broken models itself; this finds those that it would run out of bounds with.
///
/// @param model  a serialized sentencepiece.ModelProto
/// @throws Error{input} for a message that is cut off, is no model or lacks trainer_spec or normalizer_spec; for pieces
///         above 1 KiB, more pieces than a model may have tokens, user-defined pieces with a zero byte or that more
///         than 64 others begin, and for what check_charsmap refuses.
/// Source  sentencepiece_model.proto and the code of libsentencepiece 0.1.97.
CheckedModel check_sentencepiece_model(std::string_view model);

}  // namespace mquant
