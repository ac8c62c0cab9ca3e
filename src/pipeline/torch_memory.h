// libtorch's memory fails as all other memory does.
#pragma once

namespace mquant {

/// From now on a tensor that finds no memory throws std::bad_alloc, where libtorch's own exception is the one of a bug.
void install_torch_memory();

}  // namespace mquant
