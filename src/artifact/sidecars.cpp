#include "artifact/sidecars.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "artifact/manifest.h"
#include "mquant/error.h"
#include "support/atomic_file.h"
#include "support/mapped_file.h"
#include "support/sha256.h"

namespace mquant {
namespace fs = std::filesystem;
namespace {

/// Weights in the formats that repositories carry beside each other.
constexpr std::array<std::string_view, 8> kWeightEndings = {".safetensors", ".bin",  ".pt",      ".pth",
                                                            ".gguf",        ".onnx", ".msgpack", ".h5"};

bool is_sidecar(const std::string& name) {
  const auto ends_name = [&](std::string_view ending) { return name.ends_with(ending); };
  if (name.starts_with(".") || name == "config.json" || name == kManifestFile) return false;
  return !name.ends_with(".index.json") &&
         std::none_of(kWeightEndings.begin(), kWeightEndings.end(), ends_name);
}

}  // namespace

std::vector<WrittenFile> copy_sidecars(const Checkpoint& source, const fs::path& directory) {
  std::set<std::string> weights, names;
  for (const fs::path& file : source.files()) weights.insert(file.filename().string());
  for (const fs::directory_entry& entry : fs::directory_iterator(source.directory())) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file() && is_sidecar(name) && !weights.contains(name)) names.insert(name);
  }
  std::vector<WrittenFile> written;
  for (const std::string& name : names) {
    const MappedFile from(source.directory() / name);
    AtomicFile to(directory / name);
    to.write(from.bytes());
    to.commit();
    written.push_back({name, sha256_hex(from.bytes())});
  }
  return written;
}

}  // namespace mquant
