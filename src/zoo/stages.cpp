#include "zoo/stages.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "mquant/error.h"
#include "mquant/recipe.h"
#include "support/sha256.h"
#include "support/strings.h"

namespace mquant::zoo {
namespace fs = std::filesystem;
namespace {

using Words = std::vector<std::string>;

/// Resident in the stages of the smallest models are 125 to 160 MB, libraries above all.
constexpr std::int64_t kProgramBytes = std::int64_t{256} << 20;
/// The estimate of a calibration may be short: it holds the libraries, but not what allocators keep.
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
std::vector<Words> check_commands(const JobSpec& job, bool digest_model) {
  std::vector<Words> commands;
  for (const std::string& format : job.formats) {
    Words words = {"inspect", job.model.string(), "--data", job.values.data, "--format", format, "--json"};
    if (digest_model && commands.empty()) words.emplace_back("--digest");
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

std::string key_of_artifact(const JobSpec& job, const std::string& format, const Facts& facts,
                            const std::string& program) {
  return digest_of({"export", key_of_calibration(job, facts, program), format});
}

/// Of what a check is told; what it reads is in its facts.  Bounds change nothing that it finds.
std::string key_of_check(JobSpec job, const std::string& program) {
  for (Check& check : job.checks) {
    check.min_exact = check.max_perplexity = {};
    for (auto& [token_class, bound] : check.max_kl) bound = 0;
  }
  std::vector<std::string> parts = {"check", program, digest_of_file(recipe_file(job.recipe).string())};
  for (const Words& command : check_commands(job, true)) add(parts, command);
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

std::string key_of(const JobSpec& job, const Stage& stage, const Facts& facts, const std::string& program) {
  const std::string artifact = key_of_artifact(job, stage.format, facts, program);
  switch (stage.kind) {
    case Stage::Kind::check: return key_of_check(job, program);
    case Stage::Kind::calibrate: return key_of_calibration(job, facts, program);
    case Stage::Kind::convert: return artifact;
    case Stage::Kind::verify: return digest_of({"verify", artifact});
    case Stage::Kind::eval: break;
  }
  Words options = eval_options(job, *stage.check);
  // What the files hold is in the key of the answers; where they lie decides nothing.
  for (const std::string& path : {stage.check->data.string(), job.model.string(), job.values.chat_template})
    std::erase(options, path);
  return digest_of({"eval", key_of_answers(job, stage, facts, artifact), join(options, " ")});
}

fs::path journal_of(const JobSpec& job, const Stage& stage, const Facts& facts, const std::string& program,
                    const Layout& layout) {
  const std::string artifact = key_of_artifact(job, stage.format, facts, program);
  constexpr std::size_t kDigits = 16;
  return layout.folder(job.name) /
         cat(stage.name, ".", key_of_answers(job, stage, facts, artifact).substr(0, kDigits), ".journal");
}

std::int64_t memory_of(const JobSpec& job, const Stage& stage, const Facts& facts) {
  if (job.memory > 0) return job.memory;
  switch (stage.kind) {
    case Stage::Kind::calibrate:
      return std::max(kProgramBytes,
                      static_cast<std::int64_t>(kMargin * static_cast<double>(facts.calibrate_memory)));
    case Stage::Kind::eval: {
      const auto found = facts.eval_memory.find(stage.check->name);
      return kProgramBytes + facts.artifact_bytes + (found == facts.eval_memory.end() ? 0 : found->second);
    }
    default: return kProgramBytes;  // files go through in pieces; of samples a check holds the pixels
  }
}

std::vector<Words> commands_of(const JobSpec& job, const Stage& stage, const Layout& layout,
                               const CommandDetails& details) {
  const std::string artifact = layout.artifact(job.name, stage.format).string();
  const std::string result = "--json=" + layout.result(job.name, stage.name).string();
  Words words;
  switch (stage.kind) {
    case Stage::Kind::check: return check_commands(job, details.digest_model);
    case Stage::Kind::calibrate:
      words = {"calibrate", job.model.string(),
               "--data",    job.values.data,
               "--output",  layout.calibration(job.name).string(),
               "--resume",  result};
      add(words, recipe_options(job));
      if (job.values.verify_each) words.emplace_back("--verify-each");
      if (job.memory > 0) add(words, {"--memory", std::to_string(job.memory)});
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
      if (!details.journal.empty()) add(words, {"--journal", details.journal.string()});
      break;
  }
  return {words};
}

std::vector<fs::path> program_files() {
  std::set<fs::path> files;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::istringstream fields(line);
    std::string range, rights, offset, device, inode, path;
    fields >> range >> rights >> offset >> device >> inode;
    std::getline(fields >> std::ws, path);
    if (rights.find('x') != std::string::npos && fs::exists(path)) files.insert(path);
  }
  const fs::path running = "/proc/self/exe";  // also where a build has replaced the file
  files.erase(fs::read_symlink(running));
  files.insert(running);
  return {files.begin(), files.end()};
}

std::string digest_of_program(const std::vector<fs::path>& files) {
  std::vector<std::string> digests;
  for (const fs::path& file : files) digests.push_back(sha256_file(file));
  std::ranges::sort(digests);  // where they are installed decides nothing
  return digest_of(digests);
}

}  // namespace mquant::zoo
