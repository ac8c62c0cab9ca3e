#include "tests/unit/text/golden_files.h"

#include <zlib.h>

#include <array>
#include <stdexcept>

#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

constexpr std::string_view kFolder = "goldens/";

std::filesystem::path golden(std::string_view name) { return data_path(std::string(kFolder).append(name)); }

}  // namespace

nlohmann::json golden_json(std::string_view name) { return nlohmann::json::parse(read_text(golden(name))); }

std::string unpacked(std::string_view name) {
  const std::string path = golden(name).string();
  const std::unique_ptr<gzFile_s, decltype(&gzclose)> file(gzopen(path.c_str(), "rb"), &gzclose);
  if (!file) throw std::runtime_error("cannot open " + path);
  std::string bytes;
  std::array<char, 1 << 16> buffer{};
  int length = 0;
  while ((length = gzread(file.get(), buffer.data(), buffer.size())) > 0) {
    bytes.append(buffer.data(), static_cast<std::size_t>(length));
  }
  if (length < 0) throw std::runtime_error("cannot unpack " + path);
  return bytes;
}

Tokenizer qwen_tokenizer(std::string_view special, bool nfc) {
  const nlohmann::json golden = golden_json("tokenizers/qwen.json");
  TiktokenOptions options{.pattern = golden.at("pattern"), .nfc = nfc};
  for (const auto& [token, id] : golden.at(std::string(special)).items())
    options.special_tokens.emplace_back(token, id);
  if (special == "special_qwen_vl") {
    for (int i = 0; i < 205; ++i) {
      options.special_tokens.emplace_back("<|extra_" + std::to_string(i) + "|>", 151646 + i);
    }
  }
  const TempDir folder;
  write_text(folder / "qwen.tiktoken", unpacked("tokenizers/qwen.tiktoken.gz"));
  return open_tiktoken(folder / "qwen.tiktoken", options);
}

Tokenizer smollm2_tokenizer() {
  return parse_tokenizer(unpacked("tokenizers/smollm2.tokenizer.json.gz"), "smollm2.tokenizer.json");
}

}  // namespace mquant::test
