// A .safetensors file: header, layout, and every tensor as numbers.
#include "io/safetensors.h"

#include "io/convert.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mquant;
  static fuzz::InputFile file;
  return fuzz::read_or_refuse([&] {
    const SafetensorsFile tensors(file.put(fuzz::text_of(data, size)));
    for (const std::string& name : tensors.names()) to_doubles(tensors.get(name));
  });
}
