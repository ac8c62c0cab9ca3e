// Float tensors keep the type that each has in the checkpoint.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "io/safetensors.h"
#include "mquant/error.h"
#include "nn/tensors.h"
#include "tests/pipeline/runs.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace fs = std::filesystem;
namespace {

using Change = std::function<void(const std::string& name, at::Tensor& tensor)>;

/// The small model, each tensor changed and in the type that `type_of` gives its name.
TestData retyped(const fs::path& output, const std::function<DType(const std::string&)>& type_of,
                 const Change& change) {
  const TestData original = qwen2_vl();
  fs::create_directories(output);
  for (const fs::directory_entry& entry : fs::directory_iterator(original.model))
    if (entry.path().filename().string().find("safetensors") == std::string::npos)
      fs::copy(entry.path(), output / entry.path().filename());
  const Checkpoint checkpoint = Checkpoint::open(original.model);
  std::map<std::string, TensorData> tensors;
  for (const std::string& name : checkpoint.names()) {
    at::Tensor tensor = to_tensor(checkpoint.get(name), at::kFloat);
    change(name, tensor);
    tensors[name] = to_data(tensor, type_of(name));
  }
  std::map<std::string, TensorView> views;
  for (const auto& [name, data] : tensors) views[name] = {data.dtype, data.shape, data.bytes};
  write_safetensors(output / "model.safetensors", views);
  return {output, original.samples};
}

bool is_norm(const std::string& name) { return name.find("norm") != std::string::npos; }
bool is_bias(const std::string& name) { return name.ends_with("bias"); }

TEST(Types, OfNormsAndBiasesStayThoseOfTheCheckpoint) {
  const TempDir directory;
  const auto type_of = [](const std::string& name) {
    return is_norm(name) || is_bias(name) ? DType::f32 : DType::bf16;
  };
  const TestData data =
      retyped(directory / "model", type_of, [](const std::string& name, at::Tensor& tensor) {
        if (is_norm(name)) tensor.add_(1.0F / 1024 / 64);  // no bfloat16 near 1 has that digit
      });
  const Checkpoint source = Checkpoint::open(data.model);
  for (const char* recipe : {"rtn-w4a8-static", "w4a8"}) {
    const fs::path calibration = directory / cat(recipe, ".cal"), artifact = directory / recipe;
    calibrate_into(calibration, data, {.recipe = recipe});
    export_into(artifact, calibration, "mquant");
    const Checkpoint written = Checkpoint::open(artifact);
    int same = 0, norms = 0;
    for (const std::string& name : source.names()) {
      if (!written.has(name)) continue;  // codes
      const TensorView was = source.get(name), is = written.get(name);
      EXPECT_EQ(is.dtype, was.dtype) << recipe << ": " << name;
      ++same;
      if (!is_norm(name) || recipe != std::string("rtn-w4a8-static")) continue;  // others fold them
      EXPECT_TRUE(std::ranges::equal(is.bytes, was.bytes)) << name;
      ++norms;
    }
    EXPECT_GT(same, 20);
    EXPECT_EQ(norms > 10, recipe == std::string("rtn-w4a8-static"));
  }
}

TEST(Types, ThatCannotHoldAValueEndTheRunAtItsBlock) {
  const TempDir directory;
  const TestData data = retyped(
      directory / "model", [](const std::string&) { return DType::f16; },
      [](const std::string& name, at::Tensor& tensor) {
        if (name == "visual.blocks.1.norm1.weight" || name == "visual.blocks.1.attn.qkv.weight")
          tensor.fill_(300);
      });
  try {
    calibrate_into(directory / "cal", data, {.recipe = "w8a8", .overrides = {"schemes.vision=float"}});
    ADD_FAILURE() << "90000 was stored in 16 bits";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("visual.blocks.1.attn.qkv.weight"),
                                             testing::HasSubstr("F16"), testing::HasSubstr("bfloat16")));
  }
  EXPECT_TRUE(fs::exists(directory / "cal" / "blocks" / "0001-vision.0.safetensors"));
}

}  // namespace
}  // namespace mquant::test
