// The pixels of samples, which exist only while they are needed.
#pragma once

#include <functional>
#include <vector>

#include "mquant/block.h"
#include "mquant/sample.h"

namespace mquant {

/// Pixels of a sample, [patches, columns] float32, made by its processor each time: kept, they
/// would be most of what a run holds.  Thread-safe.
using PixelSource = std::function<at::Tensor(std::size_t sample)>;
PixelSource pixels_of(const Processor& processor, const std::vector<Sample>& samples, WithAnswer with_answer);

/// A sample before the first block, its pixels from `pixels`.
SampleState start_sample(const Features& features, std::size_t sample, const PixelSource& pixels);

}  // namespace mquant
