#include "pipeline/pixels.h"

namespace mquant {

PixelSource pixels_of(const Processor& processor, const std::vector<Sample>& samples,
                      WithAnswer with_answer) {
  return [&processor, &samples, with_answer](std::size_t i) {
    const Features features = processor.features(samples[i], with_answer);
    return start(features, at::kFloat).registers.at("pixels");
  };
}

SampleState start_sample(const Features& features, std::size_t sample, const PixelSource& pixels) {
  SampleState state;
  state.features = &features;
  if (!features.patches.empty()) state.registers["pixels"] = pixels(sample);
  return state;
}

}  // namespace mquant
