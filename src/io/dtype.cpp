// What checkpoint.h says about element types, and the names that safetensors gives them.
#include "io/dtype.h"

#include <algorithm>
#include <array>
#include <limits>

#include "mquant/error.h"

namespace mquant {
namespace {

using enum DType;

/// Every type of safetensors 0.6, read or not: the layout of a file can be checked around tensors of any of them.
constexpr std::array kFileTypes = {
    FileType{"BOOL", 8, boolean}, FileType{"U8", 8, u8},      FileType{"I8", 8, i8},
    FileType{"I16", 16, i16},     FileType{"I32", 32, i32},   FileType{"I64", 64, i64},
    FileType{"F16", 16, f16},     FileType{"BF16", 16, bf16}, FileType{"F32", 32, f32},
    FileType{"F64", 64, f64},     FileType{"U16", 16, {}},    FileType{"U32", 32, {}},
    FileType{"U64", 64, {}},      FileType{"C64", 64, {}},    FileType{"F8_E4M3", 8, {}},
    FileType{"F8_E5M2", 8, {}},   FileType{"F8_E8M0", 8, {}}, FileType{"F6_E2M3", 6, {}},
    FileType{"F6_E3M2", 6, {}},   FileType{"F4", 4, {}},
};

const FileType& file_type_of(DType dtype) {
  const auto found = std::find_if(kFileTypes.begin(), kFileTypes.end(),
                                  [&](const FileType& type) { return type.dtype == dtype; });
  require(found != kFileTypes.end(), "no such dtype: ", static_cast<int>(dtype));
  return *found;
}

}  // namespace

std::int64_t byte_size(DType dtype) { return file_type_of(dtype).bits / 8; }

std::string_view dtype_name(DType dtype) { return file_type_of(dtype).name; }

std::int64_t TensorView::numel() const {
  std::int64_t product = 1;
  for (const std::int64_t size : shape) product *= size;
  return product;
}

const FileType* find_file_type(std::string_view name) {
  const auto found = std::find_if(kFileTypes.begin(), kFileTypes.end(),
                                  [&](const FileType& type) { return type.name == name; });
  return found == kFileTypes.end() ? nullptr : &*found;
}

std::optional<std::int64_t> checked_bits(std::span<const std::int64_t> shape, std::int64_t bits) {
  std::int64_t product = bits;
  bool empty = false;
  for (const std::int64_t size : shape) {
    if (size < 0) return std::nullopt;
    empty = empty || size == 0;
    // An empty tensor's other sizes count too: strides are computed from them.
    if (size != 0 && product > std::numeric_limits<std::int64_t>::max() / size) return std::nullopt;
    if (size != 0) product *= size;
  }
  return empty ? 0 : product;
}

}  // namespace mquant
