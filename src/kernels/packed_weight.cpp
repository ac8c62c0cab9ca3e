#include "kernels/packed_weight.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include "kernels/gemm_int8.h"
#include "mquant/error.h"

namespace mquant {
namespace {

static_assert(std::endian::native == std::endian::little, "codes are packed four bytes at a time");

constexpr std::align_val_t kAlignment{64};
constexpr std::int64_t kStepInputs = 4, kStepBytes = 64;

/// Where a nibble lies in a plane of its group: the byte, and how far it is shifted.
struct Place {
  std::int64_t byte;
  int shift;
};

Place place_of(std::int64_t output, std::int64_t input) {
  const std::int64_t half = output / 16,
                     within = output % 16;  // outputs 0-15 and 16-31 take 32 bytes of a step each
  return {input / kStepInputs * kStepBytes + half * 32 + within % 8 * 4 + input % kStepInputs,
          within < 8 ? 0 : 4};
}

void check_range(const std::int8_t* codes, std::int64_t in, int bits, std::int64_t output) {
  const int lowest = bits == 4 ? -8 : -127, highest = bits == 4 ? 7 : 127;
  int bad = 0;
  for (std::int64_t i = 0; i < in; ++i)
    bad |= static_cast<int>(codes[i] < lowest) | static_cast<int>(codes[i] > highest);
  if (bad == 0) return;
  const auto at =
      std::find_if(codes, codes + in, [&](int code) { return code < lowest || code > highest; }) - codes;
  fail(ErrorKind::internal, "code ", int{codes[at]}, " of output ", output, ", input ", at, " is none of ",
       bits, " bits");
}

}  // namespace

std::int64_t padded_inputs(std::int64_t in) { return (in + kGroupInputs - 1) / kGroupInputs * kGroupInputs; }

void PackedWeight::Free::operator()(std::uint8_t* bytes) const { ::operator delete[](bytes, kAlignment); }

PackedWeight::PackedWeight(std::span<const std::int8_t> codes, std::int64_t out, std::int64_t in, int bits)
    : out_(out), in_(in), bits_(bits) {
  require(bits == 4 || bits == 8, "a weight of ", bits, " bits: expected 4 or 8");
  require(out > 0 && in > 0 && std::ssize(codes) == out * in, "PackedWeight: ", codes.size(), " codes for ",
          out, " x ", in);
  if (in > kLongestInt8Sum)
    fail(ErrorKind::unsupported, "an integer product over ", in, " columns may overflow; at most ",
         kLongestInt8Sum);
  bytes_.reset(
      static_cast<std::uint8_t*>(::operator new[](static_cast<std::size_t>(this->bytes()), kAlignment)));
  std::fill_n(bytes_.get(), this->bytes(), std::uint8_t{0});
  for (std::int64_t o = 0; o < out; ++o)
    pack_output(o, codes.subspan(static_cast<std::size_t>(o * in)).data());
}

void PackedWeight::pack_output(std::int64_t output, const std::int8_t* codes) {
  check_range(codes, in_, bits_, output);
  std::uint8_t* panel = bytes_.get() + output / kPanelOutputs * panel_bytes();
  for (std::int64_t i = 0; i < in_; i += kStepInputs) {
    std::uint32_t four = 0;  // codes, two's complement; 0 behind the last
    std::memcpy(&four, codes + i, static_cast<std::size_t>(std::min(kStepInputs, in_ - i)));
    // Adding 2^(bits - 1) turns the sign bit of a code over, and no other.
    four ^= bits_ == 4 ? 0x08080808U : 0x80808080U;
    const Place at = place_of(output % kPanelOutputs, i % kGroupInputs);
    std::uint8_t* step = panel + i / kGroupInputs * planes() * kPlaneBytes + at.byte;
    for (std::int64_t plane = 0; plane < planes(); ++plane, step += kPlaneBytes) {
      std::uint32_t word = 0;
      std::memcpy(&word, step, sizeof(word));
      word |= (four >> (4 * plane) & 0x0f0f0f0fU) << at.shift;
      std::memcpy(step, &word, sizeof(word));
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
