// A recipe, against the table of passes that the tests of recipes have.
#include "mquant/recipe.h"

#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mquant;
  return fuzz::read_or_refuse([&] { parse_recipe(std::string(fuzz::text_of(data, size)), "recipe.json"); });
}
