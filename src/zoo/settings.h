// The settings of a zoo file: what may stand in its defaults, in a recipe, in a model and for jobs
// by pattern.
#pragma once

#include <string>
#include <vector>

#include "io/json_text.h"
#include "zoo/zoo_file.h"

namespace mquant::zoo {

inline constexpr const char* kChecks = "checks";
inline constexpr const char* kFormats = "formats";
inline constexpr const char* kRecipes = "recipes";

/// `name` as files and stages are called: characters other than letters, digits and ._+- become -,
/// and none begins with . or -.  "" if nothing is left of it.  Names that become one are told
/// where they meet.
std::string file_name(std::string name);

/// Keys of settings; "recipes" chooses among those of the file, so it has no place in a recipe or
/// a job.
enum class Place { chooses_recipes, other };
std::vector<std::string> setting_keys(Place place);

/// The JSON schema of an object of settings; `more` holds schemas of other keys that may stand in
/// it.
OrderedJson settings_schema(Place place, const OrderedJson& more);

/// Looks at every key of `settings` but `others`.
/// @throws Error{usage} beginning with `where`
void check_settings(const Json& settings, Place place, const std::vector<std::string>& others,
                    const std::string& where);

/// `later` over `earlier`: a key replaces the whole of its value.
Json merged(Json earlier, const Json& later);

/// @throws Error{usage} if `value` is not a list of texts, an empty one, or has one of them twice
std::vector<std::string> texts_of(const Json& value, const std::string& where);

/// The settings of a job, all of them checked; paths are resolved in `folder`.
void apply_settings(const Json& settings, const std::filesystem::path& folder, const std::string& where,
                    JobSpec& job);

}  // namespace mquant::zoo
