// What a calibration belongs to.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "mquant/artifact.h"
#include "mquant/compile.h"
#include "mquant/recipe.h"
#include "mquant/sample.h"
#include "pipeline/obstacles.h"
#include "pipeline/source.h"

namespace mquant {

/// Digests of the files that were opened; what they are called is their place in `directory`.
/// @throws Error{input} for one that a link takes from elsewhere, since export would copy it
SourceFiles opened_files(const std::filesystem::path& directory,
                         const std::vector<std::filesystem::path>& opened,
                         const std::map<std::string, std::string>& looked_up);
/// The same of all files that `source` depends on, weights too, and of those that export copies.
SourceFiles files_of(const SourceModel& source);
/// What files_of will meet, without reading the bytes: a file that a link takes from elsewhere, and one that this process
/// may not read.
void check_files(const SourceModel& source, Obstacles& obstacles);

/// For what comes before expect_unchanged: without its tokenizer a model would be told to be of a kind that it is not.
/// @throws Error{input} if `directory` is there and lacks a file, other than weights, that the calibration opened
void expect_all_there(const SourceFiles& before, const std::filesystem::path& directory);
/// Tells what has changed in `directory` since a calibration; `now` may be without weights, then they are not compared.
/// @throws Error{input} naming the file for a change that decides bytes
void expect_unchanged(SourceFiles before, const SourceFiles& now, const std::filesystem::path& directory);

/// SHA-256 over the digests of the samples, in order, and over the form in which each message was given.
std::string data_digest(std::span<const Sample> samples);
/// SHA-256 over names and digests of the files that files_of finds, wherever they lie.  Cost: each is read once.
std::string checkpoint_digest(const SourceModel& source);

/// Digests of the model's files and of the samples, the recipe as run, counts of tokens.
RunIdentity identity_of(const SourceModel& source, const CalibrateOptions& options, const Recipe& recipe,
                        const std::vector<Sample>& samples, const std::vector<Features>& features,
                        const SinkRule& sinks);

}  // namespace mquant
