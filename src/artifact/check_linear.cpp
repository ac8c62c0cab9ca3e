#include "artifact/check_linear.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "artifact/tensor_data.h"
#include "support/strings.h"

namespace mquant {
namespace {

/// Where something is stored, and whose fault it is when it is wrong.
struct Place {
  const std::string& where;
  ErrorKind kind;

  template <class... Parts>
  void expect(bool holds, const Parts&... parts) const {
    if (!holds) fail(kind, where, ": ", parts...);
  }
};

bool is_scale(float scale) { return std::isfinite(scale) && scale > 0; }

void check_scales(const std::vector<float>& scales, std::int64_t count, std::string_view what,
                  const Place& at) {
  at.expect(static_cast<std::int64_t>(scales.size()) == count, "expected ", count, " ", what, ", found ",
            scales.size());
  const auto bad = std::find_if_not(scales.begin(), scales.end(), is_scale);
  at.expect(bad == scales.end(), what, ": expected finite positive numbers, found ",
            bad == scales.end() ? 0.0F : *bad, " at ", bad - scales.begin());
}

void check_codes(const std::vector<std::int8_t>& codes, std::int64_t count, int bits, std::string_view what,
                 const Place& at) {
  at.expect(static_cast<std::int64_t>(codes.size()) == count, "expected ", count, " ", what, ", found ",
            codes.size());
  const int least = bits == 4 ? -8 : -127, most = bits == 4 ? 7 : 127;
  int outside = 0;  // no early way out: this loop runs over every weight of a model, many at a time
  for (const int code : codes) outside |= static_cast<int>(code < least) | static_cast<int>(code > most);
  if (outside == 0) return;
  const auto bad =
      std::find_if(codes.begin(), codes.end(), [&](int code) { return code < least || code > most; });
  at.expect(bad == codes.end(), what, ": expected [", least, ", ", most, "], found ",
            bad == codes.end() ? 0 : int{*bad}, " at ", bad - codes.begin());
}

void check_class_scales(const ClassScales& scales, std::string_view what, const Place& at) {
  for (const std::optional<float>& scale : scales.scale)
    at.expect(!scale || is_scale(*scale), what, ": expected finite positive numbers, found ",
              scale.value_or(0));
}

void check_split(const SplitColumns& split, const QuantizedLinear& q, const Place& at) {
  const std::int64_t out = q.out, in = q.in;
  const auto k = static_cast<std::int64_t>(split.channels.size());
  std::int64_t before = -1;
  for (const std::int64_t channel : split.channels) {
    at.expect(channel > before && channel < in, "split channels: expected an ascending list below ", in,
              ", found ", channel, " after ", before);
    before = channel;
  }
  at.expect(
      split.quantized || (split.codes.empty() && split.weight_scale.empty() && split.input_scales.empty()),
      "split columns: expected codes or floats, found both");
  if (!split.quantized) {
    at.expect(static_cast<std::int64_t>(split.values.size()) == k * out, "split columns: expected ", k * out,
              " values, found ", split.values.size());
    at.expect(std::all_of(split.values.begin(), split.values.end(), [](float x) { return std::isfinite(x); }),
              "split columns: expected finite numbers");
    return;
  }
  at.expect(split.values.empty(), "split columns: expected codes or floats, found both");
  check_codes(split.codes, k * out, 8, "split codes", at);
  check_scales(split.weight_scale, k, "split weight scales", at);
  const auto scales = static_cast<std::int64_t>(split.input_scales.size());
  const bool float_inputs = q.scheme.activation_bits == 16;
  at.expect(scales == (float_inputs ? 0 : k), "expected ", float_inputs ? 0 : k,
            " split input scales, found ", scales);
  for (const ClassScales& of_channel : split.input_scales)
    check_class_scales(of_channel, "split input scales", at);
}

void check_quantized(const QuantizedLinear& q, const Place& at) {
  const int w = q.scheme.weight_bits, a = q.scheme.activation_bits;
  at.expect((w == 4 || w == 8 || w == 16) && (a == 8 || a == 16) && !q.scheme.is_float(), "no scheme has ", w,
            "-bit weights and ", a, "-bit activations");
  std::int64_t count = 0;
  at.expect(q.out > 0 && q.in > 0 && !__builtin_mul_overflow(q.out, q.in, &count),
            "expected positive sizes, found ", q.out, " x ", q.in);
  check_codes(q.codes, w == 16 ? 0 : count, w, "codes", at);
  check_scales(q.weight_scale, w == 16 ? 0 : q.out, "weight scales", at);
  check_class_scales(q.input_scales, "input scales", at);
  at.expect(a == 8 || !largest(q.input_scales), "expected no input scales beside float activations");
  check_split(q.split, q, at);
}

void check_rotation(const OnlineRotation& r, std::int64_t in, const Place& at) {
  if (!r) {
    at.expect(r.block == 0 && r.signs.empty(), "expected no block and no signs without a rotation");
    return;
  }
  at.expect(r.size == in, "input rotation: expected size ", in, ", found ", r.size);
  at.expect(r.block > 0 && r.size % r.block == 0, "input rotation: blocks of ", r.block, " do not divide ",
            r.size);
  at.expect(r.signs.empty() || static_cast<std::int64_t>(r.signs.size()) == r.size,
            "input rotation: expected ", r.size, " signs, found ", r.signs.size());
  at.expect(std::all_of(r.signs.begin(), r.signs.end(), [](int s) { return s == 1 || s == -1; }),
            "input rotation: expected signs of +1 and -1");
}

void check_floats(const TensorData& data, const std::vector<std::int64_t>& shape, std::string_view what,
                  const Place& at) {
  at.expect(is_float(data.dtype) && data.shape == shape, what, ": expected floats ", shape_text(shape),
            ", found ", dtype_name(data.dtype), " ", shape_text(data.shape));
  at.expect(all_finite(view_of(data)), what, ": expected finite numbers, found an infinity or a NaN");
}

}  // namespace

std::optional<float> largest(const ClassScales& scales) {
  std::optional<float> most;
  for (const std::optional<float>& scale : scales.scale)
    if (scale && (!most || *scale > *most)) most = scale;
  return most;
}

void check_linear(const StoredLinear& linear, std::int64_t out, std::int64_t in, const std::string& where,
                  ErrorKind kind) {
  const Place at{where, kind};
  const bool coded = linear.quantized && linear.quantized->scheme.weight_bits != 16;
  if (linear.quantized) {
    const QuantizedLinear& q = *linear.quantized;
    at.expect(q.out == out && q.in == in, "expected ", out, " x ", in, ", found ", q.out, " x ", q.in);
    check_quantized(q, at);
  }
  at.expect(coded != static_cast<bool>(linear.weight),
            coded ? "expected codes or a float weight, found both" : "expected a float weight, found none");
  if (!coded) check_floats(linear.weight, {out, in}, "weight", at);
  if (linear.bias) check_floats(linear.bias, {out}, "bias", at);
  check_rotation(linear.rotation, in, at);
}

void check_linear(const StoredLinear& linear, const std::string& where, ErrorKind kind) {
  const Place at{where, kind};
  if (linear.quantized) return check_linear(linear, linear.quantized->out, linear.quantized->in, where, kind);
  at.expect(linear.weight.shape.size() == 2, "weight: expected two axes, found ",
            shape_text(linear.weight.shape));
  check_linear(linear, linear.weight.shape[0], linear.weight.shape[1], where, kind);
}

void check_embedding(const StoredLinear& table, const std::string& where, ErrorKind kind) {
  const Place at{where, kind};
  at.expect(table.quantized && table.quantized->scheme.name() == "w8a16",
            "embeddings: expected the scheme w8a16, found ",
            table.quantized ? table.quantized->scheme.name() : "float");
  at.expect(!table.weight && !table.bias && !table.rotation && table.quantized->split.empty(),
            "embeddings: expected codes and scales alone, found a weight, bias, rotation or split columns");
  check_linear(table, table.quantized->out, table.quantized->in, where, kind);
}

void check_block(const StoredBlock& block, const BlockSpec& spec) {
  const auto expect = [&](bool holds, const std::string& part, const auto&... expected) {
    if (!holds)
      fail(ErrorKind::input, "block '", spec.name, "': '", part, "': expected ", expected...,
           " by config.json; one of them was changed since the calibration: calibrate again");
  };
  for (const LinearSpec& linear : spec.linears) {
    const auto it = block.linears.find(linear.name);
    expect(it != block.linears.end(), linear.name, "a linear");
    const StoredLinear& stored = it->second;
    const std::vector<std::int64_t> shape = {linear.out, linear.in};
    expect(stored.quantized ? std::vector{stored.quantized->out, stored.quantized->in} == shape
                            : stored.weight.shape == shape,
           linear.name, linear.out, " x ", linear.in);
    expect(!stored.bias || stored.bias.shape == std::vector{linear.out}, linear.name, "a bias of ",
           linear.out);
  }
  for (const NormSpec& norm : spec.norms) {
    const auto it = block.norms.find(norm.name);
    expect(it != block.norms.end(), norm.name, "a norm");
    const auto fits = [&](const TensorData& data, const Source& source) {
      return !data || (source && data.shape == std::vector{norm.width});
    };
    expect(fits(it->second.scale, norm.weight) && fits(it->second.shift, norm.bias), norm.name, "a width of ",
           norm.width, " and the names of its tensors");
  }
  for (const ParamSpec& param : spec.params) {
    const auto codes = block.embeddings.find(param.name);
    const auto floats = block.params.find(param.name);
    if (codes != block.embeddings.end())
      expect(std::vector{codes->second.quantized->out, codes->second.quantized->in} == param.shape,
             param.name, shape_text(param.shape));
    else
      expect(floats == block.params.end() ? param.source.optional : floats->second.shape == param.shape,
             param.name, shape_text(param.shape));
  }
}

void check_norm(const StoredNorm& norm, const std::string& where, ErrorKind kind) {
  const Place at{where, kind};
  at.expect(std::isfinite(norm.eps) && norm.eps >= 0, "eps: expected a small positive number, found ",
            norm.eps);
  for (const TensorData* data : {&norm.scale, &norm.shift})
    if (*data) {
      at.expect(data->shape.size() == 1, "expected one axis, found ", shape_text(data->shape));
      check_floats(*data, data->shape, "scale or shift", at);
    }
}

}  // namespace mquant
