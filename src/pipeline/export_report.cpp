#include "pipeline/export_report.h"

#include "mquant/config.h"
#include "mquant/error.h"

namespace mquant {

ExportReport report_of_export(const ExportInput& input, const std::string& format,
                              const std::filesystem::path& output) {
  const FormatInfo& written = find_format(format, input);
  const Config manifest = Config::open(output / "mquant_manifest.json");
  ExportReport report{.format = written.name, .summary = written.summary};
  for (const FormatInfo& other : all_formats()) {
    if (format != "auto" || other.name == written.name) break;
    report.refused.push_back(cat(other.name, ": ", other.refuses(input)));
  }
  report.source_bytes = manifest.integer("totals.source_bytes");
  report.artifact_bytes = manifest.integer("totals.artifact_bytes");
  report.quantized_weights = manifest.integer("totals.quantized_weights");
  report.weight_bytes = manifest.integer("totals.weight_bytes");
  report.tensors = manifest.integer("totals.tensors");
  report.files = manifest.integer("totals.files");
  return report;
}

}  // namespace mquant
