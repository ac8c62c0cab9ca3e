#include "runtime/prepared_linear.h"

#include <algorithm>

#include "mquant/error.h"

namespace mquant {
namespace {

std::vector<double> split_weight_of(const SplitColumns& split, std::int64_t out) {
  std::vector<double> weight(split.channels.size() * static_cast<std::size_t>(out));
  for (std::size_t i = 0; i < weight.size(); ++i) {
    const std::size_t k = i / static_cast<std::size_t>(out);
    weight[i] = split.quantized
                    ? static_cast<double>(split.codes[i]) * static_cast<double>(split.weight_scale[k])
                    : static_cast<double>(split.values[i]);
  }
  return weight;
}

TokenClass class_of_largest(const ClassScales& scales) {
  TokenClass largest = TokenClass::text;
  for (const TokenClass c : kAllTokenClasses)
    if (scales.of(c).value_or(0) > scales.of(largest).value_or(0)) largest = c;
  return largest;
}

}  // namespace

std::string_view scaling_name(Scaling scaling) {
  switch (scaling) {
    case Scaling::segments: return "segments";
    case Scaling::gathered: return "gathered";
    case Scaling::one_static: return "one_static";
    case Scaling::dynamic: return "dynamic";
  }
  return "?";
}

std::string_view stage_name(Stage stage) {
  switch (stage) {
    case Stage::quantize: return "quantize";
    case Stage::linears: return "linears";
    case Stage::hadamard: return "hadamard";
    case Stage::attention: return "attention";
    case Stage::rest: return "rest";
  }
  return "?";
}

float scale_of(const ClassScales& scales, TokenClass token_class) {
  const std::optional<float>& scale = scales.of(token_class);
  if (!scale)
    fail(ErrorKind::input, "there is no static scale for ", token_class_name(token_class),
         " tokens: calibration saw none; calibrate with samples that have them");
  return *scale;
}

float largest_scale(const ClassScales& scales) { return scale_of(scales, class_of_largest(scales)); }

InputForm::InputForm(const Linear& linear)
    : rotation(linear.rotation),
      scales(linear.quantized->input_scales),
      split_channels(linear.quantized->split.channels),
      split_quantized(linear.quantized->split.quantized && !linear.quantized->split.input_scales.empty()),
      split_scales(split_quantized ? linear.quantized->split.input_scales : std::vector<ClassScales>()) {}

bool InputForm::operator==(const InputForm& other) const {
  const auto same_scales = [](const ClassScales& a, const ClassScales& b) { return a.scale == b.scale; };
  return rotation.size == other.rotation.size && rotation.block == other.rotation.block &&
         rotation.signs == other.rotation.signs && same_scales(scales, other.scales) &&
         split_channels == other.split_channels && split_quantized == other.split_quantized &&
         std::ranges::equal(split_scales, other.split_scales, same_scales);
}

bool runs_by_codes(const Linear& linear) {
  if (linear.quantized == nullptr) return false;
  const QuantScheme& scheme = linear.quantized->scheme;
  return scheme.activation_bits == 8 && (scheme.weight_bits == 4 || scheme.weight_bits == 8);
}

PreparedLinear::PreparedLinear(const std::string& name, const Linear& linear, RowSet rows)
    : name_(name), input_form_(linear), rows_(rows) {
  const QuantizedLinear& q = *linear.quantized;
  weight_ = PackedWeight(q.codes, q.out, q.in, q.scheme.weight_bits);
  channel_scale_.assign(q.weight_scale.begin(), q.weight_scale.end());
  largest_class_ = class_of_largest(q.input_scales);
  for (const TokenClass c : kAllTokenClasses) {
    const std::optional<float>& scale = q.input_scales.of(c);
    if (!scale) continue;
    for (const double channel : channel_scale_)
      class_scale_[static_cast<std::size_t>(c)].push_back(static_cast<double>(*scale) * channel);
  }
  split_weight_ = split_weight_of(q.split, q.out);
  if (!linear.bias.defined()) return;
  const at::Tensor bias = linear.bias.to(at::kFloat).contiguous();
  bias_.assign(bias.data_ptr<float>(), bias.data_ptr<float>() + bias.numel());
}

const double* PreparedLinear::class_scale(TokenClass c) const {
  const std::vector<double>& scale = class_scale_[static_cast<std::size_t>(c)];
  return scale.empty() ? nullptr : scale.data();
}

std::int64_t PreparedLinear::bytes() const {
  std::size_t bytes =
      (channel_scale_.size() + split_weight_.size()) * sizeof(double) + bias_.size() * sizeof(float);
  for (const std::vector<double>& scale : class_scale_) bytes += scale.size() * sizeof(double);
  return weight_.bytes() + static_cast<std::int64_t>(bytes);
}

}  // namespace mquant
