#include "passes/collected.h"

namespace mquant {

ByClass ClassHistogram::energies() const {
  ByClass energies{};
  for (const TokenClass c : kAllTokenClasses) energies[static_cast<std::size_t>(c)] = energy(inputs.of(c));
  return energies;
}

}  // namespace mquant
