#include "eval/opened_model.h"

#include <algorithm>

#include "artifact/calibration_files.h"
#include "artifact/check_linear.h"
#include "artifact/manifest.h"
#include "artifact/run_identity.h"
#include "artifact/sidecars.h"
#include "mquant/config.h"
#include "mquant/error.h"
#include "mquant/recipe.h"
#include "passes/facts.h"
#include "pipeline/identity.h"
#include "pipeline/source_checks.h"
#include "pipeline/streams.h"
#include "support/sha256.h"
#include "support/work_inputs.h"

namespace mquant {
namespace fs = std::filesystem;
namespace {

/// Of a calibration or an artifact: what is wrong with it is bad input, not a mistake of the
/// command line.
Recipe parse_stored_recipe(const std::string& json, const std::string& origin) {
  try {
    return parse_recipe(json, origin);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::usage) throw;
    throw Error(ErrorKind::input, error.what());
  }
}

/// The template is the artifact's own; the date is stated in its manifest.
ChatTemplate template_of_artifact(const fs::path& path) {
  const Config manifest = Config::open(path / kManifestFile);
  return {.text = {}, .origin = {}, .date = manifest.string_or("calibration.template_date", "")};
}

void describe(const fs::path& directory, const ChatTemplate& chat_template, ModelFacts& facts) {
  const Config config = Config::open(directory / "config.json");
  const Family& family = find_family(config);
  facts.spec = std::make_unique<const ModelSpec>(family.describe(config));
  facts.processor = family.make_processor(directory, config, chat_template);
}

void settle(const std::string& recipe_json, std::uint64_t seed, ModelFacts& facts) {
  const Recipe recipe = parse_stored_recipe(recipe_json, "recipe of " + facts.path.string());
  facts.order_tokens = recipe.find("order-tokens") != nullptr;
  facts.quantized = true;
  facts.seed = seed;
  facts.rotated = rotated_streams(recipe, *facts.spec);
}

OpenedModel open_calibration(const fs::path& path, const ChatTemplate& stated) {
  ModelFacts facts{.path = path};
  CalibrationStore store = CalibrationStore::open(path);
  const WorkInputs read;
  const fs::path& source = store.identity().model;
  expect_all_there(store.identity().source, source);
  describe(source, stated_template(store.identity()), facts);
  expect_unchanged(store.identity().source,
                   opened_files(source, read.files(), read.values(source / "config.json")), source);
  if (stated.is_stated()) describe(source, stated.over(stated_template(store.identity())), facts);
  settle(store.identity().recipe, store.identity().seed, facts);
  facts.sinks = store.identity().sinks;
  facts.calibration_digests = store.identity().sample_digests;
  return {std::move(facts), std::move(store)};
}

OpenedModel open_artifact(const fs::path& path, const ChatTemplate& stated) {
  ModelFacts facts{.path = path};
  const WorkInputs read;
  describe(path, stated.over(template_of_artifact(path)), facts);
  Artifact artifact = Artifact::open(path, *facts.spec);
  settle(artifact.manifest().raw("calibration.recipe"),
         static_cast<std::uint64_t>(artifact.manifest().integer("calibration.seed")), facts);
  facts.sinks = artifact.sinks();
  facts.calibration_digests = artifact.sample_digests();
  return {std::move(facts), std::move(artifact), read.files()};
}

OpenedModel open_checkpoint(const fs::path& path, const ChatTemplate& stated) {
  ModelFacts facts{.path = path};
  SourceModel source = open_source(path, stated);
  Obstacles obstacles;
  check_headers(source, obstacles);
  obstacles.raise();
  facts.spec = std::make_unique<const ModelSpec>(source.model);
  facts.processor = std::move(source.processor);
  return {std::move(facts), std::move(source)};
}

}  // namespace

OpenedModel OpenedModel::open(const fs::path& path, const ChatTemplate& stated) {
  if (CalibrationStore::is_calibration(path)) return open_calibration(path, stated);
  if (Artifact::is_artifact(path)) return open_artifact(path, stated);
  return open_checkpoint(path, stated);
}

Block OpenedModel::read(const BlockSpec& spec, FloatTensors floats) const {
  if (const auto* source = std::get_if<SourceModel>(&weights))
    return load_block(source->checkpoint, *facts.spec, spec, at::kFloat);
  if (const auto* artifact = std::get_if<Artifact>(&weights))
    return from_stored(artifact->read(spec.name), spec, floats);
  StoredBlock block = std::get<CalibrationStore>(weights).read(spec.name);
  check_block(block, spec);
  return from_stored(std::move(block), spec, floats);
}

bool OpenedModel::has_kv_scales() const {
  if (const auto* artifact = std::get_if<Artifact>(&weights)) return artifact->manifest().has("kv_cache");
  const auto* store = std::get_if<CalibrationStore>(&weights);
  return store != nullptr && std::ranges::any_of(facts.spec->blocks, [&](const BlockSpec& spec) {
           return spec.has_kv_cache() &&
                  read_calibrated(*store, spec.name, Detail::outline).kv_scales.has_value();
         });
}

std::string OpenedModel::digest() const {
  if (const auto* source = std::get_if<SourceModel>(&weights)) return checkpoint_digest(*source);
  std::map<std::string, std::string> digests;
  const auto add = [&](const fs::path& file) { digests[file.filename().string()] = sha256_file(file); };
  if (std::holds_alternative<CalibrationStore>(weights))
    for (const char* name : {"run.json", "journal.jsonl"}) add(facts.path / name);
  else
    for (const fs::path& file : files)
      if (!is_weights(file)) add(file);
  return sha256_of_named(digests);
}

void refuse_int8_cache(const fs::path& model) {
  fail(ErrorKind::usage, model.string(), " has no scales of an int8 key-value cache; quantize with the pass ",
       "calibrate-kv (recipe w4a8-kv8), or use a float cache");
}

}  // namespace mquant
