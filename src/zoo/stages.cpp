#include "zoo/stages.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "io/json_text.h"
#include "mquant/error.h"
#include "mquant/recipe.h"
#include "support/sha256.h"
#include "support/strings.h"

namespace mquant::zoo {
namespace fs = std::filesystem;
namespace {

using Words = std::vector<std::string>;

/// libtorch, its threads and the code itself, before any tensor: measured with `inspect` on the
/// smallest model.
constexpr std::int64_t kProgramBytes = std::int64_t{256} << 20;
/// What an estimate may be short by: allocators keep more than is asked for.
constexpr double kMargin = 1.25;

std::string with_format(const std::string& name, const std::string& format) {
  return format == "auto" ? name : name + "." + format;
}

void add(Words& words, const Words& more) { words.insert(words.end(), more.begin(), more.end()); }

Words template_options(const Values& values) {
  Words words;
  if (!values.chat_template.empty()) add(words, {"--chat-template", values.chat_template});
  if (!values.template_date.empty()) add(words, {"--template-date", values.template_date});
  return words;
}

Words recipe_options(const JobSpec& job) {
  Words words = {"--recipe", job.recipe, "--seed", std::to_string(job.values.seed)};
  for (const std::string& set : job.overrides) add(words, {"--set", set});
  add(words, template_options(job.values));
  return words;
}

/// A double as the command line takes it, without loss.
std::string text_of(double number) { return nlohmann::json(number).dump(); }

Words eval_options(const JobSpec& job, const Check& check) {
  Words words = {"--data",           check.data.string(),
                 "--limit",          std::to_string(check.limit),
                 "--max-new-tokens", std::to_string(check.max_new_tokens)};
  if (check.needs_reference()) add(words, {"--reference", job.model.string()});
  if (check.min_exact) add(words, {"--min-exact", text_of(*check.min_exact)});
  if (check.max_perplexity) add(words, {"--max-perplexity", text_of(*check.max_perplexity)});
  for (const auto& [token_class, bound] : check.max_kl)
    add(words, {"--max-kl", token_class.empty() ? text_of(bound) : cat(token_class, "=", text_of(bound))});
  add(words, template_options(job.values));
  return words;
}

/// What `inspect` tells for each format, and what `eval` would refuse, told on the source.
std::vector<Words> check_commands(const JobSpec& job) {
  std::vector<Words> commands;
  for (const std::string& format : job.formats) {
    Words words = {"inspect", job.model.string(), "--data", job.values.data, "--format", format, "--json"};
    if (commands.empty()) words.emplace_back("--digest");
    add(words, recipe_options(job));
    commands.push_back(std::move(words));
  }
  for (const Check& check : job.checks)
    if (check.kind == Check::Kind::eval) {
      Words words = {"eval", job.model.string(), "--dry-run", "--json"};
      add(words, eval_options(job, check));
      commands.push_back(std::move(words));
    }
  return commands;
}

std::string digest_of(const std::vector<std::string>& parts) {
  return sha256_hex(nlohmann::json(parts).dump());
}

std::string digest_of_file(const std::string& path) { return path.empty() ? "" : sha256_file(path); }

/// Of an evaluation, whatever its bounds.
std::string key_of_answers(const JobSpec& job, const Stage& stage, const Facts& facts,
                           const std::string& artifact) {
  const auto data = facts.eval_data.find(stage.check->name);
  return digest_of({artifact, data == facts.eval_data.end() ? "" : data->second,
                    std::to_string(stage.check->limit), std::to_string(stage.check->max_new_tokens),
                    stage.check->needs_reference() ? "reference" : "", facts.chat_template,
                    job.values.template_date});
}

std::string key_of_calibration(const JobSpec& job, const Facts& facts, const std::string& program) {
  return digest_of({"calibrate", program, facts.model, facts.data, facts.recipe,
                    std::to_string(job.values.seed), job.values.verify_each ? "verify each" : "",
                    facts.chat_template, job.values.template_date});
}

/// Of what a check is told; what it reads is in its facts.  Bounds change nothing that it finds.
std::string key_of_check(JobSpec job, const std::string& program) {
  for (Check& check : job.checks) {
    check.min_exact = check.max_perplexity = {};
    for (auto& [token_class, bound] : check.max_kl) bound = 0;
  }
  std::vector<std::string> parts = {"check", program, digest_of_file(recipe_file(job.recipe).string())};
  for (const Words& command : check_commands(job)) add(parts, command);
  return digest_of(parts);
}

}  // namespace

std::vector<Stage> stages_of(const JobSpec& job) {
  using enum Stage::Kind;
  std::vector<Stage> stages = {{check, kCheckStage, "", nullptr, {}},
                               {calibrate, kCalibrateStage, "", nullptr, {kCheckStage}}};
  for (const std::string& format : job.formats) {
    const std::string artifact = with_format("export", format);
    stages.push_back({convert, artifact, format, nullptr, {kCheckStage, kCalibrateStage}});
    for (const Check& of_job : job.checks)
      if (of_job.kind == Check::Kind::verify)
        stages.push_back({verify, with_format("verify", format), format, nullptr, {kCheckStage, artifact}});
      else
        stages.push_back(
            {eval, with_format("eval-" + of_job.name, format), format, &of_job, {kCheckStage, artifact}});
  }
  return stages;
}

bool same_inputs(const Facts& a, const Facts& b) {
  return a.model == b.model && a.data == b.data && a.recipe == b.recipe &&
         a.chat_template == b.chat_template && a.eval_data == b.eval_data;
}

void add_facts(const std::string& json, const Check* check, Facts& facts) {
  const Json found = parse_json(json, "what mquant prints");
  if (check != nullptr) {
    facts.eval_data[check->name] = found.at("digest");
    facts.eval_memory[check->name] =
        found.at("peak_bytes").get<std::int64_t>() -
        (check->needs_reference() ? std::int64_t{0} : found.at("weight_bytes").get<std::int64_t>());
    return;
  }
  const Json& digests = found.at("digests");
  if (digests.contains("model")) facts.model = digests["model"];
  facts.data = digests.at("data");
  facts.recipe = digests.at("recipe");
  facts.chat_template = digests.contains("chat_template") ? digests["chat_template"].get<std::string>() : "";
  facts.artifact_bytes = found.at("artifact_bytes");
  facts.calibration_bytes = found.at("calibration_bytes");
  facts.calibrate_memory = found.at("peak_bytes");
  facts.calibrate_seconds = found.at("seconds");
}

std::string to_json(const Facts& facts) {
  const OrderedJson json = {{"model", facts.model},
                            {"data", facts.data},
                            {"recipe", facts.recipe},
                            {"chat_template", facts.chat_template},
                            {"eval_data", facts.eval_data},
                            {"artifact_bytes", facts.artifact_bytes},
                            {"calibration_bytes", facts.calibration_bytes},
                            {"calibrate_memory", facts.calibrate_memory},
                            {"calibrate_seconds", facts.calibrate_seconds},
                            {"eval_memory", facts.eval_memory}};
  return json.dump();
}

Facts facts_of(const std::string& json) {
  const Json found = parse_json(json, "facts");
  Facts facts;
  found.at("model").get_to(facts.model);
  found.at("data").get_to(facts.data);
  found.at("recipe").get_to(facts.recipe);
  found.at("chat_template").get_to(facts.chat_template);
  found.at("eval_data").get_to(facts.eval_data);
  found.at("artifact_bytes").get_to(facts.artifact_bytes);
  found.at("calibration_bytes").get_to(facts.calibration_bytes);
  found.at("calibrate_memory").get_to(facts.calibrate_memory);
  found.at("calibrate_seconds").get_to(facts.calibrate_seconds);
  found.at("eval_memory").get_to(facts.eval_memory);
  return facts;
}

std::string key_of(const JobSpec& job, const Stage& stage, const Facts& facts, const std::string& program) {
  if (stage.kind == Stage::Kind::check) return key_of_check(job, program);
  const std::string calibration = key_of_calibration(job, facts, program);
  const std::string artifact = digest_of({"export", calibration, stage.format});
  switch (stage.kind) {
    case Stage::Kind::check: break;
    case Stage::Kind::calibrate: return calibration;
    case Stage::Kind::convert: return artifact;
    case Stage::Kind::verify: return digest_of({"verify", artifact});
    case Stage::Kind::eval: {
      Words bounds =
          eval_options(job, *stage.check);  // paths in it are no matter: what they hold is in the other key
      std::erase(bounds, stage.check->data.string());
      std::erase(bounds, job.model.string());
      std::erase(bounds, job.values.chat_template);
      return digest_of({"eval", key_of_answers(job, stage, facts, artifact), join(bounds, " ")});
    }
  }
  return "";
}

fs::path journal_of(const JobSpec& job, const Stage& stage, const Facts& facts, const std::string& program,
                    const Layout& layout) {
  const std::string artifact = digest_of({"export", key_of_calibration(job, facts, program), stage.format});
  constexpr std::size_t kDigits = 16;
  return layout.folder(job.name) /
         cat(stage.name, ".", key_of_answers(job, stage, facts, artifact).substr(0, kDigits), ".journal");
}

std::int64_t memory_of(const JobSpec& job, const Stage& stage, const Facts& facts) {
  if (job.memory > 0) return job.memory;
  switch (stage.kind) {
    case Stage::Kind::calibrate:
      return kProgramBytes + static_cast<std::int64_t>(kMargin * static_cast<double>(facts.calibrate_memory));
    case Stage::Kind::eval: {
      const auto found = facts.eval_memory.find(stage.check->name);
      return kProgramBytes + facts.artifact_bytes + (found == facts.eval_memory.end() ? 0 : found->second);
    }
    default: return kProgramBytes;  // files go through in pieces; of samples a check holds the pixels
  }
}

std::vector<Words> commands_of(const JobSpec& job, const Stage& stage, const Layout& layout) {
  const std::string artifact = layout.artifact(job.name, stage.format).string();
  const std::string result = "--json=" + layout.result(job.name, stage.name).string();
  Words words;
  switch (stage.kind) {
    case Stage::Kind::check: return check_commands(job);
    case Stage::Kind::calibrate:
      words = {"calibrate", job.model.string(),
               "--data",    job.values.data,
               "--output",  layout.calibration(job.name).string(),
               "--resume",  result};
      add(words, recipe_options(job));
      if (job.values.verify_each) words.emplace_back("--verify-each");
      break;
    case Stage::Kind::convert:
      words = {"export",      layout.calibration(job.name).string(),
               "--output",    artifact,
               "--model",     job.model.string(),
               "--format",    stage.format,
               "--overwrite", result};
      break;
    case Stage::Kind::verify: words = {"verify", artifact, result}; break;
    case Stage::Kind::eval:
      words = {"eval", artifact, result};
      add(words, eval_options(job, *stage.check));
      break;
  }
  return {words};
}

std::string program_digest() {
  std::set<std::string> libraries;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::istringstream fields(line);
    std::string range, rights, offset, device, inode, path;
    fields >> range >> rights >> offset >> device >> inode;
    std::getline(fields >> std::ws, path);
    if (rights.find('x') != std::string::npos && fs::exists(path)) libraries.insert(path);
  }
  libraries.erase(fs::read_symlink("/proc/self/exe").string());
  std::vector<std::string> digests = {
      sha256_file("/proc/self/exe")};  // also where a build has replaced the file
  for (const std::string& library : libraries) digests.push_back(sha256_file(library));
  std::ranges::sort(digests);  // where they are installed is no matter
  return digest_of(digests);
}

}  // namespace mquant::zoo
