// config.json: which family it is, and that family's description of the model.
#include "mquant/config.h"

#include "mquant/family.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mquant;
  return fuzz::read_or_refuse([&] {
    const Config config = Config::parse(fuzz::text_of(data, size), "config.json");
    find_family(config).describe(config);
  });
}
