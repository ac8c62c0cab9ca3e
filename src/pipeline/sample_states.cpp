// Sample states between two blocks, in memory and on disk.
#include "pipeline/sample_states.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "io/json_text.h"
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

namespace {

/// "12/x": register x of sample 12.
std::pair<std::size_t, std::string> taken_apart(const std::string& held, std::size_t samples,
                                                const std::string& where) {
  const std::size_t slash = held.find('/');
  std::size_t sample = 0;
  const char* const end = held.data() + std::min(slash, held.size());
  const auto [stop, error] = std::from_chars(held.data(), end, sample);
  if (slash == std::string::npos || error != std::errc{} || stop != end || sample >= samples)
    fail(ErrorKind::input, where, ": tensor '", printable(held), "' is not of one of the ", samples,
         " samples");
  return {sample, held.substr(slash + 1)};
}

std::vector<std::int64_t> read_order(const TensorView& view, std::size_t rows, const std::string& where) {
  if (view.dtype != DType::i64 || view.shape != std::vector{static_cast<std::int64_t>(rows)})
    fail(ErrorKind::input, where, ": expected ", rows, " positions");
  const at::Tensor tensor = to_tensor(view, at::kLong);
  std::vector<std::int64_t> order(tensor.data_ptr<std::int64_t>(),
                                  tensor.data_ptr<std::int64_t>() + tensor.numel());
  std::vector<std::int64_t> sorted = order;
  std::ranges::sort(sorted);
  for (std::size_t i = 0; i < sorted.size(); ++i)
    if (sorted[i] != static_cast<std::int64_t>(i))
      fail(ErrorKind::input, where, ": expected each position once");
  return order;
}

at::Tensor read_register(const TensorView& view, const std::string& where) {
  if (view.dtype != DType::f32 || view.shape.size() != 2)
    fail(ErrorKind::input, where, ": expected float32 rows, found ", dtype_name(view.dtype), " of ",
         view.shape.size(), " axes");
  return to_tensor(view, at::kFloat);
}

}  // namespace

void load_states(const CalibrationStore& store, const std::string& name, const BlockSpec& done,
                 std::vector<SampleState>& states) {
  const std::filesystem::path path = store.state_directory() / file_of(name);
  const SafetensorsFile file(path);
  for (SampleState& state : states) state.registers.clear();
  for (const std::string& held : file.names()) {
    const auto [sample, part] = taken_apart(held, states.size(), path.string());
    const std::string where = cat(path.string(), ": tensor '", printable(held), "'");
    SampleState& state = states[sample];
    if (part == kOrder)
      state.order = read_order(file.get(held), state.features->input_ids.size(), where);
    else if (part == kPatchOrder)
      state.patch_order = read_order(file.get(held), state.features->patches.size(), where);
    else
      state.registers[part] = read_register(file.get(held), where);
  }
  for (std::size_t i = 0; i < states.size(); ++i)
    for (const std::string& kept : done.keeps)
      if (done.writes(kept) && takes_part(done, *states[i].features) && !states[i].registers.contains(kept))
        fail(ErrorKind::input, path.string(), ": no tensor '", i, "/", kept, "'");
}

}  // namespace mquant
