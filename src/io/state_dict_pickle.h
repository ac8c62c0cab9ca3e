// The pickle in a PyTorch checkpoint, read as data: it can describe tensors in dictionaries and nothing else.
//
// libtorch's own Unpickler is not used: it cannot read what torch.save(module.state_dict()) writes (an OrderedDict with
// a _metadata attribute, opcode BUILD), and nested tuples of a 2 MB pickle overflow the stack when it destroys them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "mquant/checkpoint.h"

namespace mquant {

/// A tensor as the pickle describes it: a view into a storage, which is a record of its own.
struct PickledTensor {
  std::string storage;  // its key: the record is "data/<key>"
  DType dtype = DType::f32;
  std::int64_t storage_elements = 0;
  std::int64_t offset = 0;            // of the first element, in elements
  std::vector<std::int64_t> shape;    // product <= storage_elements
  std::vector<std::int64_t> strides;  // in elements, >= 0; every element lies in the storage
};

/// @throws Error{input} for a global that no state_dict needs (nothing of the file is ever called), an entry that is
/// not a tensor, a tensor that leaves its storage, and any broken pickle; Error{unsupported} for a storage type outside
/// DType.  Cost: linear in the pickle.
std::map<std::string, PickledTensor> read_state_dict_pickle(std::span<const std::byte> pickle,
                                                            const std::string& origin);

}  // namespace mquant
