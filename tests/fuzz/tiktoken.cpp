// A rank file of tiktoken: read, a text encoded, its ids decoded.
#include "tests/fuzz/target.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mquant;
  static fuzz::InputFile file;
  static const TiktokenOptions options = {
      .pattern = R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+)",
      .following = {"<|im_start|>", "<|im_end|>"}};
  return fuzz::read_or_refuse([&] {
    const Tokenizer tokenizer = open_tiktoken(file.put(fuzz::text_of(data, size)), options);
    tokenizer.decode(tokenizer.encode("<|im_start|>What's this, caf\u00e9 \u4f60\u597d 123?\n"), false);
  });
}
