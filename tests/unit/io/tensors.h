// What the tests of io share: bytes of tensors, files from parts, errors as text, pickles opcode by opcode.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mquant/checkpoint.h"
#include "mquant/error.h"

namespace mquant::test {

/// `count` bytes that differ from seed to seed.
std::vector<std::byte> random_bytes(std::size_t count, std::uint64_t seed);

/// The bytes of a tensor as text, for comparison.
std::string text_of(std::span<const std::byte> bytes);

/// A safetensors file from its parts: length, header, data.
std::string safetensors_file(std::string_view header, std::string_view data);

/// "input: message" of the Error that `work` throws; "nothing thrown" if there is none.
std::string thrown(const std::function<void()>& work);

/// A pickle of protocol 2, piece by piece, as torch.save writes it.
class Pickle {
 public:
  Pickle& raw(std::string_view opcodes);  // opcodes without arguments: "(", "t", "R", ...
  Pickle& text(std::string_view value);
  Pickle& number(std::int32_t value);
  Pickle& global(std::string_view module, std::string_view name);
  Pickle& numbers(const std::vector<std::int32_t>& values);  // a tuple
  /// _rebuild_tensor_v2 of a storage.
  Pickle& tensor(std::string_view type, std::string_view key, std::int32_t elements, std::int32_t offset,
                 const std::vector<std::int32_t>& shape, const std::vector<std::int32_t>& strides);
  /// The whole, with protocol and STOP.
  std::string done() const;

 private:
  std::string bytes_;
};

}  // namespace mquant::test
