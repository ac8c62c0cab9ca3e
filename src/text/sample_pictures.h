// The pictures of a sample file: paths, file:// and data: URIs.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "mquant/sample.h"
#include "text/json_part.h"

namespace mquant {

class SamplePictures {
 public:
  /// Paths are relative to `folder`.
  explicit SamplePictures(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// @throws Error{input} for a picture that is absent, on the network or larger than 256 MiB; for bytes that
  ///         are not base64
  ContentPart read(const JsonPart& part) const;
  /// SHA-256 of the picture's file, wherever it stands.
  std::string digest(const ContentPart& picture);

 private:
  ContentPart from_path(const JsonPart& part, const std::string& path) const;

  std::filesystem::path folder_;
  std::map<std::string, std::string> digests_;  // by path
};

}  // namespace mquant
