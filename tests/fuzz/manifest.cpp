// mquant_manifest.json of an artifact: against its schema, and its digest.
#include "artifact/manifest.h"

#include <nlohmann/json.hpp>

#include "tests/fuzz/target.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mquant;
  static const test::TempDir directory;
  test::write_text(directory / kManifestFile, fuzz::text_of(data, size));
  return fuzz::read_or_refuse([&] {
    read_manifest(directory.path());
    is_sealed(fuzz::text_of(data, size));
  });
}
