// The pickle of a PyTorch checkpoint: every tensor that it describes lies in its storage.
#include "io/state_dict_pickle.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mquant;
  return fuzz::read_or_refuse([&] {
    for (const auto& [name, tensor] : read_state_dict_pickle(fuzz::bytes_of(data, size), "data.pkl")) {
      std::int64_t last = tensor.offset, elements = 1;
      for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
        elements *= tensor.shape[i];
        if (tensor.shape[i] > 1) last += (tensor.shape[i] - 1) * tensor.strides[i];
      }
      require(elements == 0 || last < tensor.storage_elements, "tensor '", name, "' leaves its storage");
    }
  });
}
