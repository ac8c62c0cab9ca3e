// What the headers and values of a checkpoint tell against its description, before anything is computed.
#pragma once

#include "mquant/sample.h"
#include "pipeline/obstacles.h"
#include "pipeline/source.h"

namespace mquant {

/// A directory that holds an adapter, whose weights are nothing without those of another model.
/// Throws Error{unsupported} saying how to merge it.
void refuse_adapter(const std::filesystem::path& directory);

/// From headers: a checkpoint that is quantized already, adapters among its tensors, missing tensors, shapes and types
/// that contradict config.json, a classification or reward model.
void check_headers(const SourceModel& source, Obstacles& obstacles);

/// Added tokens of the tokenizer that the embeddings have no rows for.
void check_tokenizer(const SourceModel& source, Obstacles& obstacles);

/// A NaN or an infinity in any tensor, read or not.  Cost: all bytes of the checkpoint are read once.
void check_values(const Checkpoint& checkpoint, Obstacles& obstacles);

/// What is no obstacle, and may still not be meant: tensors that nothing reads, weight files beside those that are read, a
/// quantization_config that float weights contradict; with `values`, which are read then, a stored head that differs from
/// the embeddings it is tied to.
void warn_of_source(const SourceModel& source, bool values);

}  // namespace mquant
