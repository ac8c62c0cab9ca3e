// The prompt of a benchmark: pictures and text made up for it, through the model's own processor.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "mquant/bench.h"
#include "mquant/sample.h"

namespace mquant {

/// A prompt of these pictures and about `text_tokens` tokens that are not visual, the same at every call.  The chat
/// template has tokens of its own: there are never fewer than those, and one word.
/// @param features  of a sample: the model's processor
Features make_prompt(const std::vector<PictureSize>& pictures, std::int64_t text_tokens,
                     const std::function<Features(const Sample&)>& features);

/// `batch` times the same sequence as one set of rows, for operations that see rows only.
Features merged(const Features& one, std::int64_t batch);

/// The token to decode at `step`: any, for its time does not depend on which; below `vocabulary`.
std::int64_t decoded_token(std::int64_t step, std::int64_t vocabulary);

std::int64_t count_tokens(const Features& features, TokenClass token_class);

}  // namespace mquant
