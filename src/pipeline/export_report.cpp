#include "pipeline/export_report.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "mquant/error.h"

namespace mquant {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kShape = ".weight_shape";  // int64 [2]: every quantized linear has one

/// The product of the int64 values of a tensor.
std::int64_t product_of_values(const TensorView& view) {
  static_assert(std::endian::native == std::endian::little);
  std::int64_t product = 1;
  for (std::size_t at = 0; at + sizeof(std::int64_t) <= view.bytes.size(); at += sizeof(std::int64_t)) {
    std::int64_t value = 0;
    std::memcpy(&value, view.bytes.data() + at, sizeof value);
    product *= value;
  }
  return product;
}

/// Weights of the quantized linears, and the bytes of all that stands for them: codes, scales, split columns.
void count_weights(const Checkpoint& artifact, ExportReport& report) {
  const std::vector<std::string> names = artifact.names();
  report.tensors = static_cast<std::int64_t>(names.size());
  for (const std::string& shape : names) {
    if (!shape.ends_with(kShape)) continue;
    report.quantized_weights += product_of_values(artifact.get(shape));
    const std::string prefix = shape.substr(0, shape.size() - kShape.size() + 1);
    for (auto name = std::ranges::lower_bound(names, prefix);
         name != names.end() && name->starts_with(prefix); ++name) {
      if (*name == prefix + "bias") continue;
      report.weight_bytes += static_cast<std::int64_t>(artifact.get(*name).bytes.size());
    }
  }
}

}  // namespace

ExportReport report_of_export(const ExportInput& input, const std::string& format, const fs::path& output) {
  const FormatInfo& written = find_format(format, input);
  ExportReport report{.format = written.name, .summary = written.summary};
  for (const FormatInfo& other : all_formats()) {
    if (format != "auto" || other.name == written.name) break;
    report.refused.push_back(cat(other.name, ": ", other.refuses(input)));
  }
  const RunIdentity& identity = input.calibration->identity();
  for (const auto& [name, digest] : identity.files) {
    report.source_bytes += static_cast<std::int64_t>(fs::file_size(identity.model / name));
  }
  for (const auto& entry : fs::recursive_directory_iterator(output)) {
    if (!entry.is_regular_file()) continue;
    report.artifact_bytes += static_cast<std::int64_t>(entry.file_size());
    ++report.files;
  }
  count_weights(Checkpoint::open(output), report);
  return report;
}

}  // namespace mquant
