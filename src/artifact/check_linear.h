// What every stored linear must satisfy, whether we are about to write it or have just read it.
#pragma once

#include <string>

#include "mquant/artifact.h"
#include "mquant/error.h"

namespace mquant {

/// Sizes agree, codes lie in their range, scales are finite and positive, split channels ascend.
/// @param kind  input for what was read, internal for what is to be written
/// @throws Error{kind} "WHERE: ..."
void check_linear(const StoredLinear& linear, const std::string& where, ErrorKind kind);
/// Also that the float tensors are floats of [out, in] and [out]; sizes as described.
void check_linear(const StoredLinear& linear, std::int64_t out, std::int64_t in, const std::string& where,
                  ErrorKind kind);
/// Also that it is a table of embeddings: 8-bit codes, float activations, and nothing beside them.
void check_embedding(const StoredLinear& table, const std::string& where, ErrorKind kind);
void check_norm(const StoredNorm& norm, const std::string& where, ErrorKind kind);

/// Does a block that was read have the parts and sizes of its description?  @throws Error{input} naming the part
void check_block(const StoredBlock& block, const BlockSpec& spec);

/// Largest class scale; nullopt if there is none.
std::optional<float> largest(const ClassScales& scales);

}  // namespace mquant
