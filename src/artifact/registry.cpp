// The table of formats.
#include "artifact/calibration_files.h"
#include "artifact/formats.h"
#include "mquant/error.h"
#include "support/strings.h"

namespace mquant {

const std::vector<FormatInfo>& all_formats() {
  static const std::vector<FormatInfo> formats = {
      {"compressed-tensors",
       "pack-quantized with static activations; runs in transformers on CPU, one input scale a linear",
       compressed_tensors_refuses, write_compressed_tensors},
      {"mquant",
       "rotations, split columns and a scale for each token class; runs in mquant, no other engine loads it",
       mquant_refuses, write_mquant},
  };
  return formats;
}

FormatQuestion question_of(const ExportInput& input) {
  return {.model = input.model,
          .source = input.source,
          .block = [&calibration = *input.calibration](const BlockSpec& spec) {
            return read_calibrated(calibration, spec.name, Detail::outline);
          }};
}

const FormatInfo* format_named(const std::string& name) {
  for (const FormatInfo& format : all_formats())
    if (format.name == name) return &format;
  return nullptr;
}

const FormatInfo& find_format(const std::string& name, const FormatQuestion& question) {
  if (name == "auto") {
    for (const FormatInfo& format : all_formats())
      if (format.refuses(question).empty()) return format;
    fail(ErrorKind::internal, "no format takes this calibration");
  }
  if (const FormatInfo* format = format_named(name)) return *format;
  std::vector<std::string> names = {"auto"};
  for (const FormatInfo& format : all_formats()) names.push_back(format.name);
  fail(ErrorKind::usage, "no format '", name, "'", did_you_mean(name, names), " (known: ", join(names, ", "),
       ")");
}

const FormatInfo& find_format(const std::string& name, const ExportInput& input) {
  return find_format(name, question_of(input));
}

}  // namespace mquant
