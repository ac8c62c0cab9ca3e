// model.safetensors.index.json, beside the one shard that an index may name here: "s.safetensors" with a tensor "w".
#include <array>

#include "io/safetensors.h"
#include "mquant/checkpoint.h"
#include "tests/fuzz/target.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mquant;
  static const test::TempDir directory;
  static const bool is_there = [] {
    const std::array<std::byte, 8> bytes{};
    write_safetensors(directory / "s.safetensors", {{"w", {DType::f32, {2}, bytes}}});
    return true;
  }();
  require(is_there, "no shard");
  test::write_text(directory / "model.safetensors.index.json", fuzz::text_of(data, size));
  return fuzz::read_or_refuse([] {
    const Checkpoint checkpoint = Checkpoint::open(directory.path());
    for (const std::string& name : checkpoint.names()) checkpoint.get(name);
  });
}
