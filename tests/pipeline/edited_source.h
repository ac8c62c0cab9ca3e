// A copy of the qwen2_vl golden that tests change, and what inspect and calibrate say of it.
#pragma once

#include <gmock/gmock.h>

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "mquant/artifact.h"
#include "mquant/compile.h"
#include "mquant/error.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {

using Tensors = std::map<std::string, TensorData>;

/// A copy of the qwen2_vl golden whose tensors and files can be changed.
class Edited {
 public:
  Edited();

  Edited& tensors(const std::function<void(Tensors&)>& change);
  Edited& json(const std::string& file, const std::function<void(nlohmann::json&)>& change);

  const std::filesystem::path& model() const { return directory_.path(); }
  PlanOptions options() const;

 private:
  void write() const;

  TempDir directory_;
  Tensors tensors_;
};

/// The error of `inspect`, which must be that of `calibrate`; kind internal and "done" if there is none.
Error refusal(const PlanOptions& options);
void expect_refusal(const PlanOptions& options, ErrorKind kind, const testing::Matcher<std::string>& text);

}  // namespace mquant::test
