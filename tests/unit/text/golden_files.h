// The golden files that tests of text read: JSON, and vocabularies packed with gzip.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "mquant/sample.h"
#include "text/tokenizer.h"

namespace mquant::test {

/// tests/data/goldens/<name>, as JSON.
nlohmann::json golden_json(std::string_view name);

/// The unpacked bytes of tests/data/goldens/<name>.  Throws std::runtime_error.
std::string unpacked(std::string_view name);

/// qwen.tiktoken with the special tokens under these keys of qwen.json; "special_qwen_vl" includes the 205 extras.
Tokenizer qwen_tokenizer(std::string_view special, bool nfc);

Tokenizer smollm2_tokenizer();

}  // namespace mquant::test
