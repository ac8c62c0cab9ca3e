// Protocol buffers as they lie in a file: enough to look at a message before a library trusts it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mquant {

/// One field of a message.
struct WireField {
  std::uint32_t number = 0;
  bool is_bytes = false;
  std::uint64_t value = 0;  ///< of a number
  std::string_view bytes;   ///< of a text or a message
  std::string_view whole;   ///< the field with its tag
};

/// Goes through the fields of one message; messages in it are bytes.
/// Source: the wire format of protocol buffers, protobuf.dev/programming-guides/encoding.
class WireReader {
 public:
  /// A view: the message must outlive it.
  explicit WireReader(std::string_view message) : message_(message) {}

  /// @returns false at the end of the message.
  /// @throws Error{input} naming the byte, for a field that does not end inside the message, a number of more than 64
  ///         bits, and for groups, which no writer has made for long.
  bool next(WireField& field);

 private:
  std::uint64_t read_varint();
  std::string_view read_bytes(std::uint64_t size);

  std::string_view message_;
  std::size_t at_ = 0;
};

}  // namespace mquant
