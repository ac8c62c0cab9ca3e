#include "pipeline/export_report.h"

#include "artifact/manifest.h"
#include "mquant/config.h"
#include "mquant/error.h"
#include "support/strings.h"

namespace mquant {

ExportReport report_of_artifact(const std::filesystem::path& output) {
  const Config manifest = Config::open(output / kManifestFile);
  ExportReport report{.format = manifest.string("format.name"), .summary = manifest.string("format.summary")};
  report.self_check = manifest.raw("self_check");
  report.source_bytes = manifest.integer("totals.source_bytes");
  report.artifact_bytes = manifest.integer("totals.artifact_bytes");
  report.quantized_weights = manifest.integer("totals.quantized_weights");
  report.weight_bytes = manifest.integer("totals.weight_bytes");
  report.tensors = manifest.integer("totals.tensors");
  report.files = manifest.integer("totals.files");
  return report;
}

ExportReport report_of_export(const ExportInput& input, const std::string& format,
                              const std::filesystem::path& output) {
  ExportReport report = report_of_artifact(output);
  for (const FormatInfo& other : all_formats()) {
    if (format != "auto" || other.name == report.format) break;
    report.refused.push_back(cat(other.name, ": ", join(other.refuses(question_of(input)), "; ")));
  }
  return report;
}

}  // namespace mquant
