#include "text/wire.h"

#include "mquant/error.h"

namespace mquant {
namespace {

constexpr std::uint64_t kLargestFieldNumber = (std::uint64_t{1} << 29) - 1;

std::uint64_t little_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = (value << 8) | static_cast<unsigned char>(bytes[i]);
  return value;
}

}  // namespace

std::uint64_t WireReader::read_varint() {
  std::uint64_t value = 0;
  const std::size_t begin = at_;
  for (unsigned shift = 0; at_ < message_.size(); shift += 7) {
    const auto byte = static_cast<unsigned char>(message_[at_++]);
    if (shift == 63 && byte > 1) break;
    value |= std::uint64_t{byte & 0x7FU} << shift;
    if (byte < 0x80) return value;
  }
  fail(ErrorKind::input, "byte ", begin, ": expected a number of at most 64 bits, found ",
       at_ < message_.size() ? "a longer one" : "the end");
}

std::string_view WireReader::read_bytes(std::uint64_t size) {
  if (size > message_.size() - at_) {
    fail(ErrorKind::input, "byte ", at_, ": expected ", size, " bytes, found ", message_.size() - at_);
  }
  const std::string_view bytes = message_.substr(at_, static_cast<std::size_t>(size));
  at_ += bytes.size();
  return bytes;
}

bool WireReader::next(WireField& field) {
  if (at_ == message_.size()) return false;
  const std::size_t begin = at_;
  const std::uint64_t tag = read_varint(), number = tag >> 3, type = tag & 7;
  if (number == 0 || number > kLargestFieldNumber) {
    fail(ErrorKind::input, "byte ", begin, ": expected a field of number 1 to ", kLargestFieldNumber,
         ", found ", number);
  }
  field = {.number = static_cast<std::uint32_t>(number), .is_bytes = type == 2};
  switch (type) {
    case 0: field.value = read_varint(); break;
    case 1: field.value = little_endian(read_bytes(8)); break;
    case 2: field.bytes = read_bytes(read_varint()); break;
    case 5: field.value = little_endian(read_bytes(4)); break;
    default: fail(ErrorKind::input, "byte ", begin, ": field ", number, " has wire type ", type);
  }
  field.whole = message_.substr(begin, at_ - begin);
  return true;
}

}  // namespace mquant
