// Sample states between two blocks, in memory and on disk.
#include "pipeline/sample_states.h"

#include "io/safetensors.h"
#include "mquant/error.h"
#include "nn/tensors.h"

namespace mquant {
namespace {

constexpr const char *kOrder = "order", *kPatchOrder = "patch_order";  // beside the registers

TensorView view_of(const at::Tensor& tensor) {
  return {dtype_of(tensor.scalar_type()),
          tensor.sizes().vec(),
          {static_cast<const std::byte*>(tensor.data_ptr()), tensor.nbytes()}};
}

std::string file_of(const std::string& name) { return name + ".safetensors"; }

}  // namespace

std::vector<SampleState> initial_states(const std::vector<Features>& features) {
  std::vector<SampleState> states;
  for (const Features& f : features) states.push_back(start(f, at::kFloat));
  return states;
}

std::string save_states(const CalibrationStore& store, const std::string& name,
                        const std::vector<SampleState>& states) {
  std::map<std::string, at::Tensor> tensors;  // owns what the views show
  for (std::size_t i = 0; i < states.size(); ++i) {
    for (const auto& [held, x] : states[i].registers) tensors[cat(i, "/", held)] = x.contiguous();
    if (!states[i].order.empty()) tensors[cat(i, "/", kOrder)] = index_tensor(states[i].order);
    if (!states[i].patch_order.empty())
      tensors[cat(i, "/", kPatchOrder)] = index_tensor(states[i].patch_order);
  }
  std::map<std::string, TensorView> views;
  for (const auto& [held, tensor] : tensors) views[held] = view_of(tensor);
  write_safetensors(store.state_directory() / file_of(name), views);
  return file_of(name);
}

void load_states(const CalibrationStore& store, const std::string& name, std::vector<SampleState>& states) {
  const SafetensorsFile file(store.state_directory() / file_of(name));
  for (SampleState& state : states) state.registers.clear();
  for (const std::string& held : file.names()) {
    const std::size_t slash = held.find('/');
    const std::size_t sample = std::stoul(held.substr(0, slash));
    const std::string part = held.substr(slash + 1);
    SampleState& state = states.at(sample);
    if (part == kOrder || part == kPatchOrder) {
      const at::Tensor order = to_tensor(file.get(held), at::kLong);
      (part == kOrder ? state.order : state.patch_order)
          .assign(order.data_ptr<std::int64_t>(), order.data_ptr<std::int64_t>() + order.numel());
    } else {
      state.registers[part] = to_tensor(file.get(held), at::kFloat);
    }
  }
}

}  // namespace mquant
