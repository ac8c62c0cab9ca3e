// A zoo file; its directory has no models.
#include "zoo/zoo_file.h"

#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mquant;
  return fuzz::read_or_refuse([&] {
    std::vector<ZooProblem> problems;
    zoo::parse_zoo(std::string(fuzz::text_of(data, size)), "/nowhere/zoo.json", 0, problems);
  });
}
