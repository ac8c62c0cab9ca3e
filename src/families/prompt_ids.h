// The token ids of a rendered prompt, and what texts may not hold.
#pragma once

#include <string>
#include <vector>

#include "families/processor.h"

namespace mquant {

struct PromptIds {
  TokenIds prompt, answer;
};

/// Tokenizes a prompt, in which pictures are placed already, and the answer behind it ("" pieces: none).
///
/// A prompt's ids do not depend on its answer.  Where both are one text and the tokenizer would join them across their
/// border, the answer is tokenized on its own, as a model that goes on from the prompt would see it.
PromptIds encode_pieces(const ProcessorSpec& spec, const std::vector<PromptPiece>& prompt,
                        const std::vector<PromptPiece>& answer);

/// Throws Error{input} if what a user wrote holds one of spec.reserved.
void refuse_reserved(const ProcessorSpec& spec, const std::vector<PromptPiece>& pieces);

}  // namespace mquant
