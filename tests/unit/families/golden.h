// What the official code made of a family's golden samples, and the processor that must make the same.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "mquant/chat_template.h"
#include "mquant/config.h"
#include "mquant/sample.h"

namespace mquant::test {

using MakeProcessor = std::unique_ptr<Processor> (*)(const std::filesystem::path&, const Config&,
                                                     const ChatTemplate&);

struct TestedFamily {
  std::string name;  // of its folder in tests/data/goldens
  MakeProcessor make;
  std::int64_t frames = 1;  // in a patch
};
inline void PrintTo(const TestedFamily& family, std::ostream* out) { *out << family.name; }
const std::vector<TestedFamily>& tested_families();
/// Throws std::runtime_error for an unknown name.
const TestedFamily& tested_family(const std::string& name);

class FamilyGolden {
 public:
  explicit FamilyGolden(const TestedFamily& family);

  std::filesystem::path model() const { return directory_ / "model"; }
  const std::vector<Sample>& samples() const { return samples_; }
  const Processor& processor() const { return *processor_; }
  Features features(const Sample& sample) const { return processor_->features(sample, WithAnswer::no); }

  std::string prompt(const std::string& sample) const;
  std::size_t cases() const { return cases_.size(); }
  bool has(const std::string& name) const { return tensors_.has(name); }
  std::vector<std::int64_t> shape(const std::string& name) const { return tensors_.get(name).shape; }
  std::vector<std::int64_t> integers(const std::string& name) const;  // i64 or u8
  std::vector<float> floats(const std::string& name) const;           // f32 or f16
  bool is_half(const std::string& name) const { return tensors_.get(name).dtype == DType::f16; }

 private:
  std::filesystem::path directory_;
  SafetensorsFile tensors_;
  nlohmann::json cases_;
  std::vector<Sample> samples_;
  std::unique_ptr<Processor> processor_;
};

/// The value of one pixel: tile, channel, row, column.
using PixelOf = std::function<double(std::int64_t, std::int64_t, std::int64_t, std::int64_t)>;

/// "" if every value of every patch is within 2e-6 (2^-11 of it more, for `half`) of what `wanted` says; else the first
/// that is not.  Grey levels are 0.01 apart or more.
std::string pixel_difference(const Features& f, std::int64_t frames, const PixelOf& wanted,
                             bool half = false);

}  // namespace mquant::test
