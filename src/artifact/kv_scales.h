// Scales of an int8 key-value cache as JSON, in records of calibrations and in manifests.
#pragma once

#include <string>

#include "artifact/fields.h"
#include "mquant/error.h"
#include "mquant/model.h"
#include "mquant/scheme.h"

namespace mquant {

/// {"kv_heads": 2, "head_dim": 64, "keys": [...], "values": [...]}; numbers give the float32 back exactly.
OrderedJson kv_scales_json(const KvScales& scales);

/// @throws Error{input} naming the key for sizes that contradict each other, or a scale that is no positive float32
KvScales kv_scales_from(const Fields& fields);

/// Is there one for each head or channel, finite and positive?  @throws Error{kind} "WHERE: ..."
void check_kv_scales(const KvScales& scales, const std::string& where, ErrorKind kind);

/// Do they have the sizes of the block's attention?  @throws Error{input}
void expect_sizes(const KvScales& scales, const AttentionSpec& attention, const std::string& where);

}  // namespace mquant
