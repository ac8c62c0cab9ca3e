// config.json of an artifact: the source's, keys in their order, with what quantization changes.
#pragma once

#include <filesystem>
#include <string>

#include "artifact/fields.h"

namespace mquant {

/// The text of `source` with "quantization_config", whatever objects of the source say under that key left out, and with
/// `untied_key` false where it stands ("" for none).  @throws Error{input} for a file that is no object
std::string edited_config(const std::filesystem::path& source, const OrderedJson& quantization_config,
                          const std::string& untied_key);

}  // namespace mquant
