// The journal of an evaluation.
#include "eval/journal.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mquant;
  static fuzz::InputFile file;
  return fuzz::read_or_refuse([&] { read_eval_journal(file.put(fuzz::text_of(data, size))); });
}
