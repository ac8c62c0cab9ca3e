#include "artifact/sidecars.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "artifact/manifest.h"
#include "io/json_text.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "support/atomic_file.h"
#include "support/mapped_file.h"
#include "support/sha256.h"
#include "support/utf8.h"

namespace mquant {
namespace fs = std::filesystem;
namespace {

/// Weights in the formats that repositories carry beside each other.
constexpr std::array<std::string_view, 9> kWeightEndings = {
    ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".onnx", ".msgpack", ".h5"};

constexpr const char* kTemplateFile = "chat_template.jinja";

/// What an artifact has where a chat template is stated: the template, and a processor_config.json without one, which
/// loaders would prefer.
std::optional<std::string> text_in_place_of(const fs::path& file, const std::string& chat_template) {
  if (chat_template.empty()) return std::nullopt;
  if (file.filename() == kTemplateFile) return chat_template;
  if (file.filename() != "processor_config.json") return std::nullopt;
  OrderedJson config = read_ordered_json(file);
  if (!config.is_object() || config.erase("chat_template") == 0) return std::nullopt;
  return config.dump(2) + "\n";
}

bool is_sidecar(const std::string& name) {
  return !name.starts_with(".") && name != "config.json" && name != kManifestFile && !is_weights(name);
}

/// Why a file that would be a sidecar does not go into an artifact, or "".
std::string reason_against(const fs::path& file, const fs::path& directory) {
  std::error_code error;
  if (!fs::exists(file, error)) return "is a link that leads nowhere";
  if (!belongs_to(file, directory)) return "is a link out of the model's directory";
  if (first_invalid_utf8(file.filename().string()) != std::string::npos)
    return "has a name that is not UTF-8, which no manifest can hold,";
  return {};
}

/// HUB/models--ORGANIZATION--NAME/blobs/DIGEST
bool is_cached_file(const fs::path& file) {
  const std::string digest = file.filename().string();
  const bool is_digest = (digest.size() == 40 || digest.size() == 64) &&
                         digest.find_first_not_of("0123456789abcdef") == std::string::npos;
  const fs::path blobs = file.parent_path();
  return is_digest && blobs.filename() == "blobs" &&
         blobs.parent_path().filename().string().starts_with("models--");
}

/// `directory` is REPOSITORY/snapshots/REVISION, `file` REPOSITORY/blobs/NAME: so caches lie, whatever they are called.
bool is_blob_of_snapshot(const fs::path& file, const fs::path& directory) {
  const fs::path snapshots = directory.parent_path();
  return snapshots.filename() == "snapshots" && file.parent_path() == snapshots.parent_path() / "blobs";
}

}  // namespace

bool is_weights(const fs::path& file) {
  const std::string name = file.filename().string();
  const auto ends_name = [&](std::string_view ending) { return name.ends_with(ending); };
  return name.ends_with(".index.json") || std::ranges::any_of(kWeightEndings, ends_name);
}

bool belongs_to(const fs::path& file, const fs::path& directory) {
  if (!fs::is_symlink(file)) return true;
  const fs::path target = fs::canonical(file), root = fs::canonical(directory);
  const bool below = std::ranges::mismatch(root, target).in1 == root.end();
  return below || is_cached_file(target) || is_blob_of_snapshot(target, root);
}

Sidecars sidecars_of(const Checkpoint& source) {
  std::set<std::string> weights;
  for (const fs::path& file : source.files()) weights.insert(file.filename().string());
  Sidecars sidecars;
  for (const fs::directory_entry& entry : fs::directory_iterator(source.directory())) {
    const std::string name = entry.path().filename().string();
    if (!is_sidecar(name) || weights.contains(name)) continue;
    std::error_code error;  // of a link that leads nowhere
    const bool other = entry.exists(error) && !entry.is_regular_file(error);
    if (other) continue;
    if (const std::string reason = reason_against(entry.path(), source.directory()); reason.empty())
      sidecars.copied.insert(name);
    else
      sidecars.left_out[name] = reason;
  }
  return sidecars;
}

std::vector<WrittenFile> copy_sidecars(const Checkpoint& source, const fs::path& directory,
                                       const std::string& chat_template) {
  Sidecars sidecars = sidecars_of(source);
  if (!chat_template.empty()) {
    sidecars.copied.erase("chat_template.json");
    sidecars.copied.insert(kTemplateFile);
  }
  std::vector<WrittenFile> written;
  const auto write = [&](const std::string& name, std::span<const std::byte> bytes) {
    AtomicFile to(directory / name);
    to.write(bytes);
    to.commit();
    written.push_back({name, sha256_hex(bytes)});
  };
  for (const std::string& name : sidecars.copied) {
    const fs::path file = source.directory() / name;
    if (const auto text = text_in_place_of(file, chat_template))
      write(name, std::as_bytes(std::span(*text)));
    else
      write(name, MappedFile(file).bytes());
  }
  return written;
}

}  // namespace mquant
