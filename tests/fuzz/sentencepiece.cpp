// A model of SentencePiece: read, a text encoded, its ids decoded.
#include "tests/fuzz/target.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mquant;
  return fuzz::read_or_refuse([&] {
    const Tokenizer tokenizer = parse_sentencepiece(fuzz::text_of(data, size), "tokenizer.model", {});
    tokenizer.decode(tokenizer.encode("What's  this, caf\u00e9 \u4f60\u597d 123?\n"), false);
  });
}
