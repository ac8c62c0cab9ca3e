// The mquant format: everything that a calibration knows, in tensors that no other engine takes for its own.
//
// config.json says "quant_method": "mquant", which transformers, vLLM and SGLang refuse to load, so online rotations,
// split columns, class scales and LayerNorms that became RMSNorms cannot be ignored by mistake.
#include <nlohmann/json.hpp>

#include "artifact/artifact_writer.h"
#include "artifact/formats.h"
#include "artifact/manifest.h"

namespace mquant {

std::vector<std::string> mquant_refuses(const FormatQuestion&) { return {}; }

void write_mquant(const ExportInput& input, const std::filesystem::path& directory) {
  const OrderedJson config = {{"quant_method", "mquant"}, {"version", 1}, {"manifest", kManifestFile}};
  write_files(input, *format_named("mquant"), Dialect{}, config, directory);
}

}  // namespace mquant
