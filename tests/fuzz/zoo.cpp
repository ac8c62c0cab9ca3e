// A zoo file; its directory has no models.
#include "tests/fuzz/target.h"
#include "zoo/zoo_file.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mquant;
  return fuzz::read_or_refuse([&] {
    std::vector<ZooProblem> problems;
    zoo::parse_zoo(std::string(fuzz::text_of(data, size)), "/nowhere/zoo.json", 0, problems);
  });
}
