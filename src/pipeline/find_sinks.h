// Which tokens of a model's prompts are attention sinks.
#pragma once

#include <cstddef>
#include <vector>

#include "mquant/sample.h"
#include "pipeline/pixels.h"
#include "pipeline/source.h"

namespace mquant {

/// Runs a few samples through the float model, block by block, and looks at the input of every group of linears of the
/// decoder.  The energy of a row is its sum of squares; its excess is that over the median of its class at that group.
///
///   - The first token of a prompt is a sink if its excess reaches 16 at some group: no int8 scale serves rows
///     whose root mean squares are four and more times apart without costing the others two bits.
///   - Others are sinks only if they behave as massive activations do.  What may be one is the first visual token of
///     each picture, and the first occurrence of an id in a prompt.  Its excess reaches 1000 somewhere, and nowhere is
///     it more than 64 times below the largest of a sink: one static scale has to serve all of them.
///
/// A candidate's excess at a group is the median over its tokens.  The rule is one for the model, so a
/// runtime needs nothing but the prompt's tokens.
/// @param features  of `samples`; their pixels are taken from `pixels`
SinkRule find_sinks(const SourceModel& source, const std::vector<Sample>& samples,
                    const std::vector<Features>& features, const PixelSource& pixels);

/// Up to `count` samples, spread evenly over those with pictures and those without, half of each where there are
/// enough; indices, in an order that depends on what the samples hold and not on their place in the file.
std::vector<std::size_t> representatives(const std::vector<Sample>& samples, std::size_t count);

}  // namespace mquant
