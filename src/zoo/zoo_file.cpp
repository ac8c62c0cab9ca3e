#include "zoo/zoo_file.h"

#include <fnmatch.h>
#include <glob.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "mquant/error.h"
#include "mquant/recipe.h"
#include "recipe/options.h"
#include "support/paths.h"
#include "support/strings.h"
#include "zoo/settings.h"

namespace mquant::zoo {
namespace fs = std::filesystem;
namespace {

struct NamedRecipe {
  std::string name, recipe;
  std::vector<std::string> overrides;
  Json settings = Json::object();
};

struct NamedModel {
  std::string name;
  fs::path path;
  Json settings = Json::object();
};

struct JobPattern {
  std::string pattern;
  Json settings = Json::object();
  bool used = false;
};

bool is_pattern(const std::string& path) { return path.find_first_of("*?[") != std::string::npos; }

/// `path` as a pattern that matches nothing else.
std::string literal(const fs::path& path) {
  std::string pattern;
  for (const char c : path.string()) {
    if (c == '*' || c == '?' || c == '[' || c == '\\') pattern += '\\';
    pattern += c;
  }
  return pattern;
}

/// Directories in `folder` that match, sorted, without the outputs of zoos.
std::vector<fs::path> directories_matching(const fs::path& folder, const std::string& pattern) {
  const std::string whole = fs::path(pattern).is_absolute() ? pattern : cat(literal(folder), "/", pattern);
  glob_t found{};
  std::vector<fs::path> directories;
  if (glob(whole.c_str(), GLOB_NOSORT, nullptr, &found) == 0)
    for (std::size_t i = 0; i < found.gl_pathc; ++i)
      if (std::error_code error; fs::is_directory(found.gl_pathv[i], error) &&
                                 !fs::exists(fs::path(found.gl_pathv[i]) / kOutputMarker, error))
        directories.emplace_back(found.gl_pathv[i]);
  globfree(&found);
  std::ranges::sort(directories);
  return directories;
}

class Reader {
 public:
  Reader(const fs::path& file, std::uint64_t seed, std::vector<ZooProblem>& problems)
      : file_(file), folder_(fs::absolute(file).parent_path()), seed_(seed), problems_(problems) {}

  std::vector<JobSpec> jobs_of(const Json& document) {
    expect_no_zeros(document);
    collect([&] { check_keys(document); });
    read_settings(document, "defaults", defaults_);
    each(document, "recipes", Json::value_t::object,
         [&](const Json& entry, const std::string& name) { read_recipe(entry, name); });
    each(document, "models", Json::value_t::array,
         [&](const Json& entry, const std::string& where) { read_model(entry, where); });
    each(document, "jobs", Json::value_t::object, [&](const Json& entry, const std::string& name) {
      const std::string where = cat(origin(), "'jobs': '", printable(name), "'");
      check_settings(entry, Place::other, {}, where);
      patterns_.push_back({name, entry});
    });
    std::vector<JobSpec> jobs;
    if (!problems_.empty()) return jobs;  // what is missing there would be missed again in every job
    for (const NamedModel& model : models_) collect([&] { add_jobs_of(model, jobs); });
    expect_used();
    expect_distinct(jobs);
    if (jobs.empty() && problems_.empty())
      fail(ErrorKind::usage, origin(), R"(no job: expected "models": ["DIRECTORY", ...])");
    return jobs;
  }

 private:
  std::string origin() const { return cat(printable(file_.string()), ": "); }

  void collect(const std::function<void()>& work) {
    try {
      work();
    } catch (const Error& error) {
      problems_.push_back({"", error.kind(), error.what()});
    }
  }

  /// The system would read a text up to such a character.
  void expect_no_zeros(const Json& value) const {
    if (value.is_string() && value.get_ref<const std::string&>().find('\0') != std::string::npos)
      fail(ErrorKind::usage, origin(), describe(value), ": expected a text without zero characters");
    if (value.is_structured())
      for (const Json& member : value) expect_no_zeros(member);
  }

  void check_keys(const Json& document) const {
    static const std::vector<std::string> kKeys = {"$schema", "defaults", "recipes", "models", "jobs"};
    for (const auto& [key, value] : document.items())
      if (std::ranges::find(kKeys, key) == kKeys.end())
        fail(ErrorKind::usage, origin(), "no key '", printable(key), "' in a zoo file",
             suggestion(key, kKeys));
  }

  void read_settings(const Json& document, const char* key, Json& settings) {
    if (!document.contains(key)) return;
    collect([&] {
      check_settings(document[key], Place::chooses_recipes, {}, cat(origin(), "'", key, "'"));
      settings = document[key];
    });
  }

  /// Calls `read` for the members of a list or an object that may be absent; what it throws is a
  /// problem.
  void each(const Json& document, const char* key, Json::value_t type,
            const std::function<void(const Json&, const std::string&)>& read) {
    if (!document.contains(key)) return;
    const Json& members = document[key];
    const bool listed = type == Json::value_t::array;
    if (members.type() != type)
      return collect([&] {
        fail(ErrorKind::usage, origin(), "'", key, "': expected ",
             listed ? "a list [...]" : "an object {...}", ", found ", describe(members));
      });
    std::size_t index = 0;
    for (auto at = members.begin(); at != members.end(); ++at) {
      const std::string called = listed ? cat(origin(), "'", key, "'[", index++, "]") : at.key();
      collect([&] { read(*at, called); });
    }
  }

  void read_recipe(const Json& entry, const std::string& name) {
    const std::string where = cat(origin(), "'recipes': '", printable(name), "'");
    check_settings(entry, Place::other, {"recipe", "set"}, where);
    if (!entry.contains("recipe") || !entry["recipe"].is_string())
      fail(ErrorKind::usage, where, R"(: expected "recipe": NAME or FILE, such as "w4a8")");
    NamedRecipe recipe{name, recipe_path(entry["recipe"]), {}, entry};
    if (entry.contains("set")) recipe.overrides = texts_of(entry["set"], where + ": 'set'");
    recipe.settings.erase("recipe");
    recipe.settings.erase("set");
    recipes_.push_back(std::move(recipe));
  }

  void read_model(const Json& entry, const std::string& where) {
    const Json model = entry.is_string() ? Json{{"path", entry}} : entry;
    check_settings(model, Place::chooses_recipes, {"path", "name"}, where);
    if (!model.contains("path") || !model["path"].is_string() || model["path"].get<std::string>().empty())
      fail(ErrorKind::usage, where, R"(: expected a directory, or {"path": DIRECTORY, ...})");
    const std::string given = model["path"], path = (folder_ / given).string();
    std::vector<fs::path> found = {path};
    if (std::error_code error; is_pattern(given) && !fs::exists(path, error)) {
      found = directories_matching(folder_, given);
      if (found.empty()) fail(ErrorKind::usage, where, ": no directory matches '", printable(given), "'");
    }
    Json settings = model;
    settings.erase("path");
    settings.erase("name");
    if (model.contains("name") && found.size() > 1)
      fail(ErrorKind::usage, where, ": one 'name' for the ", found.size(), " directories that match '",
           printable(given), "'");
    for (const fs::path& directory : found) {
      const std::string last = without_slash(directory).filename().string();
      if (model.contains("name") && !model["name"].is_string())
        fail(ErrorKind::usage, where, ": 'name': expected a text, found ", describe(model["name"]));
      const std::string name = file_name(model.value("name", last));
      if (name.empty())
        fail(ErrorKind::usage, where, ": '", printable(directory.string()),
             "' has no name that files can have; give it a 'name'");
      models_.push_back({name, directory, settings});
    }
  }

  std::string recipe_path(const std::string& text) const {
    return is_recipe_path(text) ? (folder_ / text).string() : text;
  }

  /// Of the file, built in, or a file of its own.
  NamedRecipe find_recipe(const std::string& name, const std::string& where) const {
    const auto own = std::ranges::find(recipes_, name, &NamedRecipe::name);
    if (own != recipes_.end()) return *own;
    if (is_recipe_path(name)) return {fs::path(name).stem().string(), recipe_path(name), {}};
    std::vector<std::string> known;
    for (const NamedRecipe& recipe : recipes_) known.push_back(recipe.name);
    for (const std::string& built_in : recipe_names()) known.push_back(built_in);
    if (std::ranges::find(known, name) == known.end())
      fail(ErrorKind::usage, where, ": no recipe '", printable(name), "'", suggestion(name, known));
    return {name, name, {}};
  }

  void add_jobs_of(const NamedModel& model, std::vector<JobSpec>& jobs) {
    const Json of_model = merged(defaults_, model.settings);
    const std::string where = cat(origin(), "model '", model.name, "'");
    if (!of_model.contains(kRecipes))
      fail(ErrorKind::usage, where,
           R"(: no recipe; expected "recipes": ["w4a8", ...] in it or in 'defaults')");
    for (const std::string& name : texts_of(of_model[kRecipes], where))
      collect([&] { add_job(model, find_recipe(name, where), jobs); });
  }

  void add_job(const NamedModel& model, const NamedRecipe& recipe, std::vector<JobSpec>& jobs) {
    JobSpec job{.name = cat(model.name, ".", file_name(recipe.name)),
                .model_name = model.name,
                .recipe_name = recipe.name,
                .model = model.path,
                .recipe = recipe.recipe,
                .overrides = recipe.overrides,
                .values = {.seed = static_cast<std::int64_t>(seed_)},
                .formats = {},
                .checks = {}};
    Json settings = merged(merged(defaults_, recipe.settings), model.settings);
    for (JobPattern& pattern : patterns_)
      if (fnmatch(pattern.pattern.c_str(), job.name.c_str(), 0) == 0) {
        settings = merged(settings, pattern.settings);
        pattern.used = true;
      }
    apply_settings(settings, folder_, cat(origin(), "job '", job.name, "'"), job);
    if (job.values.data.empty())
      fail(ErrorKind::usage, origin(), "job '", job.name,
           "': no samples to calibrate with; expected 'data' in it, in its model or in 'defaults'");
    jobs.push_back(std::move(job));
  }

  /// A pattern that names nothing is a slip of the pen.
  void expect_used() {
    for (const JobPattern& pattern : patterns_)
      if (!pattern.used && !models_.empty())
        problems_.push_back({"", ErrorKind::usage,
                             cat(origin(), "'jobs': no job matches '", printable(pattern.pattern), "'")});
    for (const NamedRecipe& recipe : recipes_)
      if (file_name(recipe.name).empty())
        problems_.push_back(
            {"", ErrorKind::usage,
             cat(origin(), "'recipes': '", printable(recipe.name), "' is not a name that files can have")});
  }

  void expect_distinct(const std::vector<JobSpec>& jobs) {
    std::map<std::string, std::vector<std::string>> users;  // of each output, as it is called
    for (const JobSpec& job : jobs) {
      users[job.name].push_back(cat("model '", printable(job.model.string()), "'"));
      for (const std::string& format : job.formats)
        if (format != "auto")
          users[cat(job.name, ".", format)].push_back(cat("format '", format, "' of '", job.name, "'"));
    }
    for (const auto& [name, who] : users)
      if (who.size() > 1)
        problems_.push_back({"", ErrorKind::usage,
                             cat(origin(), join(who, " and "), " would both be '", name,
                                 "'; give a model or a recipe another name")});
  }

  fs::path file_, folder_;
  std::uint64_t seed_;
  std::vector<ZooProblem>& problems_;
  Json defaults_ = Json::object();
  std::vector<NamedRecipe> recipes_;
  std::vector<NamedModel> models_;
  std::vector<JobPattern> patterns_;
};

}  // namespace

std::vector<JobSpec> read_zoo(const fs::path& file, std::uint64_t seed, std::vector<ZooProblem>& problems) {
  return Reader(file, seed, problems).jobs_of(read_json_object(file));
}

std::vector<JobSpec> parse_zoo(const std::string& text, const fs::path& file, std::uint64_t seed,
                               std::vector<ZooProblem>& problems) {
  const Json document = parse_json(text, file.string());
  if (!document.is_object())
    fail(ErrorKind::input, file.string(), ": expected an object, found ", describe(document));
  return Reader(file, seed, problems).jobs_of(document);
}

}  // namespace mquant::zoo
