// A file of chat samples, in its directory two pictures: a.png and b.jpg.
#include "mquant/sample.h"
#include "tests/fuzz/target.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mquant;
  static const test::TempDir directory;
  static const bool are_there = [] {
    std::filesystem::copy_file(test::data_path("goldens/images/one.png"), directory / "a.png");
    std::filesystem::copy_file(test::data_path("goldens/images/grey.jpg"), directory / "b.jpg");
    return true;
  }();
  require(are_there, "no pictures");
  test::write_text(directory / "samples.jsonl", fuzz::text_of(data, size));
  return fuzz::read_or_refuse([] { read_samples(directory / "samples.jsonl", 0); });
}
