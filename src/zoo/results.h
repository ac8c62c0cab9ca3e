// What a zoo leaves for people and for CI systems.
#pragma once

#include <string>

#include "mquant/zoo.h"

namespace mquant::zoo {

/// Writes summary.json, junit.xml and summary.md into the output directory.
void write_results(const ZooReport& report);

/// Those of an earlier run, which would be taken for those of one that was killed.
void remove_results(const std::filesystem::path& output);

/// JUnit's XML as Jenkins, GitLab and GitHub's actions read it: a suite a model, a case a stage;
/// failure: a check that was not passed; error: a stage that could not do its work; skipped: one
/// that did not run.
std::string junit_text(const ZooReport& report);

/// A table of the jobs and what is wrong, in Markdown.
std::string summary_markdown(const ZooReport& report);

}  // namespace mquant::zoo
