// A zip archive as torch.save writes it: read, and every byte of every tensor.
#include "io/pytorch_bin.h"

#include "io/convert.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mquant;
  static fuzz::InputFile file;
  return fuzz::read_or_refuse([&] {
    const auto tensors = open_pytorch_bin(file.put(fuzz::text_of(data, size)));
    for (const std::string& name : tensors->names()) to_doubles(tensors->get(name));
  });
}
