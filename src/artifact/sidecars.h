// The files of a checkpoint beside its weights: tokenizer, processor, chat template, generation config, code.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "io/sharded_writer.h"
#include "mquant/checkpoint.h"

namespace mquant {

/// Does `file` of a model's directory hold what belongs to it: no link, a link to a file below the directory, or one into
/// a cache of HuggingFace, which names files by their digests?  Export gives its text to others, so no link may choose
/// another file of this machine.
bool belongs_to(const std::filesystem::path& file, const std::filesystem::path& directory);

/// Weights, or an index of them, by the name of the file.
bool is_weights(const std::filesystem::path& file);

/// The regular files of the source's directory that are no weights, no index, not config.json and not hidden, by name.
struct Sidecars {
  std::set<std::string> copied;
  std::map<std::string, std::string> left_out;  // why: "is a link out of the model's directory"
};
Sidecars sidecars_of(const Checkpoint& source);

/// Copies them.
/// @param chat_template  a text that becomes chat_template.jinja; templates that would precede it are not copied.  "": none
/// @returns their names and digests
/// @throws Error{resources} when the disk is full
std::vector<WrittenFile> copy_sidecars(const Checkpoint& source, const std::filesystem::path& directory,
                                       const std::string& chat_template = {});

}  // namespace mquant
