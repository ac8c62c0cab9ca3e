#include "pipeline/torch_memory.h"

#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <malloc.h>

#include <cstddef>
#include <limits>
#include <new>

namespace mquant {
namespace {

class TorchMemory final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    try {
      return libtorch_.allocate(bytes);
    } catch (const c10::Error&) {
      if (bytes > std::numeric_limits<std::ptrdiff_t>::max()) throw;  // a negative size: a bug
      throw std::bad_alloc();
    }
  }
  c10::DeleterFnPtr raw_deleter() const override { return libtorch_.raw_deleter(); }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    libtorch_.copy_data(to, from, bytes);
  }

 private:
  c10::Allocator& libtorch_ = *c10::GetDefaultCPUAllocator();
};

}  // namespace

void install_torch_memory() {
#if defined(__GLIBC__)
  // Tensors of this size come from the system and go back to it.  By default the bound rises with
  // what is freed, up to 32 MiB, and registers of samples, which live for very different times,
  // would leave holes in the heap.
  constexpr int kOwnMapping = 4 << 20;
  mallopt(M_MMAP_THRESHOLD, kOwnMapping);
#endif
  static TorchMemory& memory = *new TorchMemory;  // tensors may be destroyed after all else
  c10::SetCPUAllocator(&memory, /*priority=*/1);
}

}  // namespace mquant
