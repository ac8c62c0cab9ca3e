#include "tests/pipeline/edited_source.h"

#include <gtest/gtest.h>

#include "io/safetensors.h"
#include "tests/pipeline/runs.h"
#include "tests/support/files.h"

namespace mquant::test {

namespace fs = std::filesystem;

Edited::Edited() {
  for (const auto& entry : fs::directory_iterator(qwen2_vl().model))
    if (entry.path().extension() != ".safetensors" && !entry.path().string().ends_with(".index.json"))
      fs::copy_file(entry.path(), model() / entry.path().filename());
  const Checkpoint checkpoint = Checkpoint::open(qwen2_vl().model);
  for (const std::string& name : checkpoint.names()) {
    const TensorView view = checkpoint.get(name);
    tensors_[name] = {view.dtype, view.shape, {view.bytes.begin(), view.bytes.end()}};
  }
  write();
}

Edited& Edited::tensors(const std::function<void(Tensors&)>& change) {
  change(tensors_);
  write();
  return *this;
}

Edited& Edited::json(const std::string& file, const std::function<void(nlohmann::json&)>& change) {
  nlohmann::json json = nlohmann::json::parse(read_text(model() / file));
  change(json);
  write_text(model() / file, json.dump());
  return *this;
}

PlanOptions Edited::options() const {
  PlanOptions options;
  options.model = model();
  options.data = qwen2_vl().samples;
  options.deep = true;
  return options;
}

void Edited::write() const {
  std::map<std::string, TensorView> views;
  for (const auto& [name, data] : tensors_) views[name] = {data.dtype, data.shape, data.bytes};
  write_safetensors(model() / "model.safetensors", views);
}

Error refusal(const PlanOptions& options) {
  Error planned(ErrorKind::internal, "done"), calibrated = planned;
  try {
    plan_model(options);
  } catch (const Error& error) {
    planned = error;
  }
  if (planned.kind() == ErrorKind::internal) return planned;
  const TempDir directory;
  CalibrateOptions same = options;
  same.output = directory / "calibration";
  try {
    calibrate(same);
  } catch (const Error& error) {
    calibrated = error;
  }
  EXPECT_EQ(planned.kind(), calibrated.kind());
  EXPECT_STREQ(planned.what(), calibrated.what());
  EXPECT_FALSE(fs::exists(same.output)) << planned.what();
  return planned;
}

void expect_refusal(const PlanOptions& options, ErrorKind kind, const testing::Matcher<std::string>& text) {
  const Error error = refusal(options);
  EXPECT_EQ(error.kind(), kind) << error.what();
  EXPECT_THAT(std::string(error.what()), text);
}

}  // namespace mquant::test
