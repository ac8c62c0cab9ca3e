// A block of a calibration as two files: tensors in a safetensors shard, everything else in a JSON record.
//
//   linear.NAME.codes I8 [out, in]   .weight_scale F32 [out]   .weight, .bias   .rotation_signs I8 [size]
//   linear.NAME.split_codes I8 [k, out]   .split_weight_scale F32 [k]   or .split_values F32 [k, out]
//   norm.NAME.scale, .shift          param.NAME          embedding.NAME.codes, .weight_scale: as of a linear
#pragma once

#include <filesystem>
#include <string>

#include "artifact/fields.h"
#include "mquant/artifact.h"

namespace mquant {

/// SHA-256 of the two files.
struct BlockDigests {
  std::string shard, record;
};

/// Writes both files durably, the record last.  @throws Error{internal} for a block that contradicts itself.
BlockDigests write_stored_block(const StoredBlock& block, const std::filesystem::path& shard,
                                const std::filesystem::path& record);

/// How much of a block to read.
enum class Detail {
  whole,
  outline,  ///< codes, float weights and parameters stay empty, the latter two with dtype and shape; nothing is checked
};

/// The block as it was written, bit for bit.
/// @throws Error{input} naming the file for anything that a block cannot be
StoredBlock read_stored_block(const std::filesystem::path& shard, const std::filesystem::path& record,
                              Detail detail = Detail::whole);

/// {"text": 0.01, "visual": 0.2, "sink": null}
OrderedJson class_scales_json(const ClassScales& scales);
ClassScales class_scales_from(const Fields& fields);

std::string_view norm_kind_name(NormKind kind);

}  // namespace mquant
