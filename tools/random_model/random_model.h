// A checkpoint of random weights in the shapes of a real model: what speed and memory are measured on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "mquant/checkpoint.h"

namespace mquant {

struct RandomModelOptions {
  std::filesystem::path base,
      output;  // base: config.json, tokenizer and processor files of any supported model
  std::vector<std::filesystem::path> shapes;  // JSON files merged into config.json (RFC 7386), in this order
  std::vector<std::string> overrides;         // KEY=JSON with a dotted key of config.json, after the shapes
  std::uint64_t seed = 0;
  DType dtype = DType::bf16;  // or f32
};
struct RandomModelReport {
  std::string family;
  std::int64_t tensors = 0, parameters = 0, bytes = 0;
};

/// Writes the checkpoint; the same bytes for the same options on every machine.
/// One tensor is in memory at a time.
/// @throws Error{input, unsupported} for a base or a shape that no family takes; Error{usage} for an override that is
///         none or an output that exists; Error{resources} when the disk is full
RandomModelReport write_random_model(const RandomModelOptions& options);

/// Value i of a tensor, near normal: the sum of four uniform numbers from a hash of seed, name and i.
float random_value(std::uint64_t stream, std::uint64_t i, float mean, float deviation);

}  // namespace mquant
