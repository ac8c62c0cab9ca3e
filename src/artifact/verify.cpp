// verify: does an artifact hold what its manifest says?  Every problem is a line; none stops the others.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <tuple>

#include "artifact/manifest.h"
#include "artifact/open_artifact.h"
#include "artifact/sidecars.h"
#include "io/config_keys.h"
#include "mquant/artifact.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "support/mapped_file.h"
#include "support/sha256.h"

namespace mquant {
namespace fs = std::filesystem;
namespace {

class Verifier {
 public:
  Verifier(const fs::path& directory, const ModelSpec& model) : directory_(directory), model_(model) {}

  VerifyReport run() {
    attempt([&] { manifest_ = read_manifest(directory_); });
    if (manifest_.is_null()) return std::move(report_);
    attempt([&] { check_seal(); });
    check_files();
    attempt([&] { check_config(); });
    attempt([&] { check_blocks(); });
    return std::move(report_);
  }

 private:
  template <class... Parts>
  void problem(const Parts&... parts) {
    report_.problems.push_back(cat(parts...));
  }

  /// Errors of the artifact are problems; Ctrl-C, a full memory or a bug of ours are not.
  template <class Work>
  void attempt(const Work& work) {
    try {
      work();
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::interrupted || error.kind() == ErrorKind::internal) throw;
      report_.problems.emplace_back(error.what());
    }
  }

  void check_seal() {
    const MappedFile file(directory_ / kManifestFile);
    if (!is_sealed({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}))
      problem(kManifestFile, ": its text is not the one that was written (digest)");
  }

  void check_files() {
    for (const auto& [name, told] : manifest_["files"].items()) {
      check_interrupt();
      attempt([&, &file = name, &entry = told] {
        if (!is_local_name(file)) return problem(kManifestFile, ": '", printable(file), "' is no file name");
        const auto size = static_cast<std::int64_t>(MappedFile(directory_ / file).bytes().size());
        report_.bytes += size;
        if (size != entry["bytes"])
          return problem(file, ": expected ", entry["bytes"].dump(), " bytes, found ", size);
        if (entry["sha256"] != sha256_file(directory_ / file))
          problem(file, ": its SHA-256 is not the one in the manifest");
      });
    }
    for (const char* name : {"config.json"})
      if (!manifest_["files"].contains(name)) problem(kManifestFile, ": no file '", name, "'");
    attempt([&] { check_others(); });
  }

  /// Files that the manifest does not name.  A loader would take one for a part of the model by its name.
  void check_others() {
    for (const auto& entry : fs::recursive_directory_iterator(directory_)) {
      const std::string name = entry.path().lexically_relative(directory_).string();
      const bool directory = entry.symlink_status().type() == fs::file_type::directory;
      if (directory || name == kManifestFile || manifest_["files"].contains(name)) continue;
      std::string line = cat(printable(name), ": the manifest does not name it");
      (is_loaded(name) ? report_.problems : report_.warnings).push_back(std::move(line));
    }
  }

  /// By what transformers, vLLM, SGLang and llama.cpp look for.
  static bool is_loaded(const std::string& name) {
    static constexpr std::array<std::string_view, 8> kEndings = {
        ".json", ".py", ".jinja", ".model", ".tiktoken", "merges.txt", "vocab.txt", ".spm"};
    const auto ends_name = [&](std::string_view ending) { return name.ends_with(ending); };
    return !name.starts_with('.') && (is_weights(name) || std::ranges::any_of(kEndings, ends_name));
  }

  /// Sidecars may have any name that stays in the directory.
  static bool is_local_name(const std::string& name) {
    return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
           name.find('\0') == std::string::npos;
  }

  void check_config() {
    const Json config = read_json(directory_ / "config.json");
    const Fields quantization = Fields(config, "config.json").object(kQuantization);
    const std::string method = quantization.text("quant_method");
    if (manifest_["format"]["name"] != method)
      problem("config.json: quant_method is '", printable(method), "', the manifest says ",
              describe(manifest_["format"]["name"]));
  }

  void check_blocks() {
    const OpenArtifact artifact(directory_, model_);
    std::set<std::string> modules;
    for (const BlockSpec& spec : model_.blocks) {
      check_interrupt();
      for (const Matrix& matrix : artifact.matrices(spec)) {
        modules.insert(matrix.module);
        ++report_.linears;
        attempt([&] { check_parts(artifact, matrix, spec); });
      }
      StoredBlock block;
      for (const NormSpec& norm : spec.norms) attempt([&] { artifact.read_norm(norm, block); });
      for (const ParamSpec& param : spec.params) attempt([&] { artifact.read_param(param, spec, block); });
      attempt([&] { artifact.read_kv_scales(spec, block); });
    }
    check_cache_names();
    check_embedding_names(artifact.embedding_modules());
    for (const auto& [name, entry] : manifest_["linears"].items())
      if (!modules.contains(name))
        problem(kManifestFile, ": '", printable(name), "' is no linear of the model");
    const std::vector<std::string> names = artifact.tensors().names();
    report_.tensors = static_cast<std::int64_t>(names.size());
    if (report_.tensors != manifest_["totals"]["tensors"])
      problem("expected ", manifest_["totals"]["tensors"].dump(), " tensors, found ", report_.tensors);
    for (const std::string& name : names) attempt([&] { std::ignore = artifact.tensors().get(name); });
  }

  void check_cache_names() {
    if (!manifest_.contains("kv_cache")) return;
    for (const auto& [name, entry] : manifest_["kv_cache"].items()) {
      const auto named = [&, &name = name](const BlockSpec& spec) { return spec.name == name; };
      const auto spec = std::ranges::find_if(model_.blocks, named);
      if (spec == model_.blocks.end() || !spec->has_kv_cache())
        problem(kManifestFile, ": kv_cache: '", printable(name), "' is no block with a key-value cache");
    }
  }

  void check_embedding_names(const std::vector<std::string>& modules) {
    if (!manifest_.contains("embeddings")) return;
    for (const auto& [name, entry] : manifest_["embeddings"].items())
      if (std::ranges::find(modules, name) == modules.end())
        problem(kManifestFile, ": embeddings: '", printable(name),
                "' is not a table of embeddings of the model");
  }

  static void check_parts(const OpenArtifact& artifact, const Matrix& matrix, const BlockSpec& spec) {
    StoredBlock block;
    artifact.read_matrix(matrix, spec, block);
    for (const auto& [linear, figures] : block.figures)
      if (!block.linears.contains(linear))
        fail(ErrorKind::input, kManifestFile, ": '", matrix.module, "' has no part '", printable(linear),
             "'");
  }

  const fs::path& directory_;
  const ModelSpec& model_;
  Json manifest_;
  VerifyReport report_;
};

}  // namespace

VerifyReport verify_artifact(const fs::path& directory, const ModelSpec& model) {
  return Verifier(directory, model).run();
}

}  // namespace mquant
