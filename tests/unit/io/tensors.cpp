#include "tests/unit/io/tensors.h"

#include <algorithm>

#include "support/rng.h"

namespace mquant::test {
namespace {

std::string little_endian(std::uint64_t value, std::size_t bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xFF);
  return text;
}

std::string_view kind_name(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::usage: return "usage";
    case ErrorKind::input: return "input";
    case ErrorKind::unsupported: return "unsupported";
    case ErrorKind::resources: return "resources";
    case ErrorKind::verification: return "verification";
    case ErrorKind::internal: return "internal";
    case ErrorKind::interrupted: return "interrupted";
  }
  return "?";
}

}  // namespace

std::vector<std::byte> random_bytes(std::size_t count, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<std::byte> bytes(count);
  std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<std::byte>(rng.next() & 0xFF); });
  return bytes;
}

std::string text_of(std::span<const std::byte> bytes) {
  return bytes.empty() ? "" : std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

std::string safetensors_file(std::string_view header, std::string_view data) {
  return little_endian(header.size(), 8) + std::string(header) + std::string(data);
}

std::string thrown(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return cat(kind_name(error.kind()), ": ", error.what());
  }
  return "nothing thrown";
}

Pickle& Pickle::raw(std::string_view opcodes) {
  bytes_ += opcodes;
  return *this;
}

Pickle& Pickle::text(std::string_view value) {
  bytes_ += "X" + little_endian(value.size(), 4) + std::string(value);
  return *this;
}

Pickle& Pickle::number(std::int32_t value) {
  bytes_ += "J" + little_endian(static_cast<std::uint32_t>(value), 4);
  return *this;
}

Pickle& Pickle::global(std::string_view module, std::string_view name) {
  bytes_ += cat("c", module, "\n", name, "\n");
  return *this;
}

Pickle& Pickle::numbers(const std::vector<std::int32_t>& values) {
  raw("(");
  for (const std::int32_t value : values) number(value);
  return raw("t");
}

Pickle& Pickle::tensor(std::string_view type, std::string_view key, std::int32_t elements,
                       std::int32_t offset, const std::vector<std::int32_t>& shape,
                       const std::vector<std::int32_t>& strides) {
  global("torch._utils", "_rebuild_tensor_v2")
      .raw("((")
      .text("storage")
      .global("torch", type)
      .text(key)
      .text("cpu");
  number(elements).raw("tQ").number(offset).numbers(shape).numbers(strides).raw("\x89");
  return global("collections", "OrderedDict").raw(")RtR");
}

std::string Pickle::done() const { return "\x80\x02" + bytes_ + "."; }

}  // namespace mquant::test
