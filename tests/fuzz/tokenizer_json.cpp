// tokenizer.json: read, a text encoded, its ids decoded.
#include "tests/fuzz/target.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mquant;
  return fuzz::read_or_refuse([&] {
    const Tokenizer tokenizer = parse_tokenizer(fuzz::text_of(data, size), "tokenizer.json");
    const TokenIds ids = tokenizer.encode_with_template("What's  this, <s>caf\u00e9 \u4f60\u597d 123?\n");
    tokenizer.decode(ids, true);
    tokenizer.decode(ids, false);
  });
}
