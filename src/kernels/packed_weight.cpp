#include "kernels/packed_weight.h"

#include <algorithm>
#include <new>

#include "kernels/gemm_int8.h"
#include "mquant/error.h"

namespace mquant {
namespace {

constexpr std::align_val_t kAlignment{64};
constexpr std::int64_t kStepInputs = 4, kStepBytes = 64;

/// Where a nibble lies in a plane of its group: the byte, and how far it is shifted.
struct Place {
  std::int64_t byte;
  int shift;
};

Place place_of(std::int64_t output, std::int64_t input) {
  const std::int64_t half = output / 16, within = output % 16;  // outputs 0-15 and 16-31 take 32 bytes of a step each
  return {input / kStepInputs * kStepBytes + half * 32 + within % 8 * 4 + input % kStepInputs,
          within < 8 ? 0 : 4};
}

}  // namespace

std::int64_t padded_inputs(std::int64_t in) { return (in + kGroupInputs - 1) / kGroupInputs * kGroupInputs; }

void PackedWeight::Free::operator()(std::uint8_t* bytes) const { ::operator delete[](bytes, kAlignment); }

PackedWeight::PackedWeight(std::span<const std::int8_t> codes, std::int64_t out, std::int64_t in, int bits)
    : out_(out), in_(in), bits_(bits) {
  require(bits == 4 || bits == 8, "a weight of ", bits, " bits: expected 4 or 8");
  require(out > 0 && in > 0 && std::ssize(codes) == out * in, "PackedWeight: ", codes.size(), " codes for ", out,
          " x ", in);
  if (in > kLongestInt8Sum)
    fail(ErrorKind::unsupported, "an integer product over ", in, " columns may overflow; at most ",
         kLongestInt8Sum);
  const std::int64_t lowest = bits == 4 ? -8 : -127, highest = bits == 4 ? 7 : 127;
  bytes_.reset(static_cast<std::uint8_t*>(::operator new[](static_cast<std::size_t>(this->bytes()), kAlignment)));
  std::fill_n(bytes_.get(), this->bytes(), std::uint8_t{0});
  for (std::int64_t o = 0; o < out; ++o) {
    std::uint8_t* panel = bytes_.get() + o / kPanelOutputs * panel_bytes();
    const std::int8_t* row = codes.data() + o * in;
    for (std::int64_t i = 0; i < in; ++i) {
      require(row[i] >= lowest && row[i] <= highest, "code ", int{row[i]}, " of output ", o, ", input ", i,
              " is none of ", bits, " bits");
      const int value = row[i] + offset();
      const Place at = place_of(o % kPanelOutputs, i % kGroupInputs);
      std::uint8_t* group = panel + i / kGroupInputs * planes() * kPlaneBytes + at.byte;
      for (std::int64_t plane = 0; plane < planes(); ++plane)
        group[plane * kPlaneBytes] |= static_cast<std::uint8_t>((value >> (4 * plane) & 15) << at.shift);
    }
  }
}

std::int8_t PackedWeight::code(std::int64_t output, std::int64_t input) const {
  const Place at = place_of(output % kPanelOutputs, input % kGroupInputs);
  const std::uint8_t* group =
      panel(output / kPanelOutputs) + input / kGroupInputs * planes() * kPlaneBytes + at.byte;
  int value = 0;
  for (std::int64_t plane = 0; plane < planes(); ++plane)
    value |= (group[plane * kPlaneBytes] >> at.shift & 15) << (4 * plane);
  return static_cast<std::int8_t>(value - offset());
}

}  // namespace mquant
