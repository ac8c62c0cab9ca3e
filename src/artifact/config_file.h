// config.json of an artifact: the source's, keys in their order, with what quantization changes.
#pragma once

#include <filesystem>
#include <string>

#include "artifact/fields.h"

namespace mquant {

/// The text of `source` with "quantization_config", and with `untied_key` false where it stands ("" for none).
/// @throws Error{unsupported} if the source says that it is quantized already
std::string edited_config(const std::filesystem::path& source, const OrderedJson& quantization_config,
                          const std::string& untied_key);

}  // namespace mquant
