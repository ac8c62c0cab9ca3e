// PyTorch's .bin checkpoints: a zip of storages and a pickle that describes tensors in them.
#pragma once

#include <filesystem>
#include <memory>

#include "mquant/checkpoint.h"

namespace mquant {

/// Opens what torch.save(state_dict) writes since PyTorch 1.6.  Runs no code of the file.  Storages are mapped: a tensor
/// costs nothing until its bytes are read; one that is not contiguous is copied when it is first asked for.
/// @throws Error{input}        for a broken file, or a pickle of anything but tensors
///         Error{unsupported}  for the format before 1.6, and for element types outside DType
std::unique_ptr<TensorFile> open_pytorch_bin(const std::filesystem::path& path);

}  // namespace mquant
