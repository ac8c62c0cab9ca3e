// Where recipes lie: a path, or a name in one of the folders of recipes.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

#include "mquant/error.h"
#include "mquant/recipe.h"
#include "recipe/options.h"

namespace mquant {
namespace {

namespace fs = std::filesystem;

/// In order of precedence: of the user, of the installation, of the source tree that the program was built
/// from.
std::vector<fs::path> recipe_folders() {
  std::vector<fs::path> folders;
  const char* const own = std::getenv("MQUANT_CONFIG_DIR");
  if (own != nullptr && *own != '\0') {
    if (!fs::is_directory(own)) fail(ErrorKind::usage, "MQUANT_CONFIG_DIR: '", own, "' is not a directory");
    folders.emplace_back(own);
  }
  std::error_code unreadable;
  const fs::path program = fs::read_symlink("/proc/self/exe", unreadable);
  if (!unreadable) folders.push_back(program.parent_path().parent_path() / "share/mquant/configs");
  folders.emplace_back(MQUANT_SOURCE_CONFIGS);
  return folders;
}

/// Files by name; the first folder that has a name wins.
std::map<std::string, fs::path> recipe_files() {
  std::map<std::string, fs::path> files;
  for (const fs::path& folder : recipe_folders()) {
    std::error_code absent;
    for (const auto& entry : fs::directory_iterator(folder, absent)) {
      const fs::path& file = entry.path();
      if (file.extension() == ".json" && file.stem().extension() != ".schema")
        files.try_emplace(file.stem(), file);
    }
  }
  return files;
}

}  // namespace

bool is_recipe_path(const std::string& text) {
  return text.find('/') != std::string::npos || text.ends_with(".json");
}

fs::path recipe_file(const std::string& name_or_path) {
  if (is_recipe_path(name_or_path)) return name_or_path;
  const auto files = recipe_files();
  const auto found = files.find(name_or_path);
  if (found != files.end()) return found->second;
  fail(ErrorKind::usage, "no recipe '", name_or_path, "'", suggestion(name_or_path, recipe_names()),
       "; a recipe file of your own is given by its path, ending in .json");
}

std::vector<std::string> recipe_names() {
  std::vector<std::string> names;
  for (const auto& [name, file] : recipe_files()) names.push_back(name);
  return names;
}

Recipe load_recipe(const std::string& name_or_path, const std::vector<std::string>& overrides) {
  const fs::path file = recipe_file(name_or_path);
  return recipe_of_document(read_json(file), file.string(), overrides);
}

std::vector<RecipeInfo> all_recipes() {
  std::vector<RecipeInfo> recipes;
  for (const auto& [name, file] : recipe_files()) {
    recipes.push_back({name, recipe_of_document(read_json(file), file.string(), {}).summary, file});
  }
  return recipes;
}

}  // namespace mquant
