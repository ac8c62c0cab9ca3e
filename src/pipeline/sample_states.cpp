// Sample states between two blocks, on disk.
#include "pipeline/sample_states.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <span>
#include <utility>

#include "io/json_text.h"
#include "io/safetensors.h"
#include "mquant/error.h"
#include "nn/tensors.h"

namespace mquant {
namespace {

constexpr const char *kOrder = "order", *kPatchOrder = "patch_order";  // beside the registers

std::string file_of(const std::string& name) { return name + ".safetensors"; }

std::span<const std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()};
}

void plan_orders(std::size_t sample, const SampleState& state, std::vector<TensorPlan>& plan) {
  const auto add = [&](const char* what, const std::vector<std::int64_t>& order) {
    if (!order.empty()) plan.push_back({cat(sample, "/", what), DType::i64, {std::ssize(order)}});
  };
  add(kOrder, state.order);
  add(kPatchOrder, state.patch_order);
}

void append_orders(std::size_t sample, const SampleState& state, SafetensorsWriter& writer) {
  const auto add = [&](const char* what, const std::vector<std::int64_t>& order) {
    if (!order.empty()) writer.append(cat(sample, "/", what), std::as_bytes(std::span(order)));
  };
  add(kOrder, state.order);
  add(kPatchOrder, state.patch_order);
}

void append_registers(std::size_t sample, const SampleState& state, SafetensorsWriter& writer) {
  for (const auto& [name, x] : state.registers)
    writer.append(cat(sample, "/", name), bytes_of(x.contiguous()));
}

}  // namespace

namespace {

/// @param outlines  of all samples: their orders, and the shapes of their registers
/// @param append    writes the registers of all samples, in order
WrittenState write_states(const CalibrationStore& store, const std::string& name,
                          const std::vector<SampleState>& outlines,
                          const std::function<void(SafetensorsWriter&)>& append) {
  std::vector<TensorPlan> plan;
  for (std::size_t i = 0; i < outlines.size(); ++i) plan_orders(i, outlines[i], plan);
  for (std::size_t i = 0; i < outlines.size(); ++i)
    for (const auto& [held, x] : outlines[i].registers)
      plan.push_back({cat(i, "/", held), DType::f32, x.sizes().vec()});
  SafetensorsWriter writer(store.state_directory() / file_of(name), std::move(plan));
  for (std::size_t i = 0; i < outlines.size(); ++i) append_orders(i, outlines[i], writer);
  append(writer);
  return {file_of(name), writer.finish()};
}

}  // namespace

WrittenState save_states(const CalibrationStore& store, const std::string& name, const StateStore& states) {
  std::vector<SampleState> outlines;
  for (std::size_t i = 0; i < states.samples(); ++i) outlines.push_back(states.outline(i));
  return write_states(store, name, outlines, [&](SafetensorsWriter& writer) {
    for (std::size_t b = 0; b < states.batches(); ++b) {
      const Batch batch = states.load(b, states.names(b));
      for (std::size_t i = states.begin(b); i < states.end(b); ++i)
        append_registers(i, batch.state(i - states.begin(b)), writer);
    }
  });
}

WrittenState save_states(const CalibrationStore& store, const std::string& name,
                         const std::vector<SampleState>& states) {
  return write_states(store, name, states, [&](SafetensorsWriter& writer) {
    for (std::size_t i = 0; i < states.size(); ++i) append_registers(i, states[i], writer);
  });
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

namespace {

/// One tensor of the file to where it belongs.
void take_tensor(const SafetensorsFile& file, const std::string& held, const std::string& part,
                 const std::string& path, SampleState& state) {
  const std::string where = cat(path, ": tensor '", printable(held), "'");
  if (part == kOrder)
    state.order = read_order(file.get(held), state.features->input_ids.size(), where);
  else if (part == kPatchOrder)
    state.patch_order = read_order(file.get(held), state.features->patches.size(), where);
  else
    state.registers[part] = read_register(file.get(held), where);
}

/// Tensors of the file by sample: {name in the file, part}.
std::vector<std::vector<std::pair<std::string, std::string>>> tensors_of(const SafetensorsFile& file,
                                                                         std::size_t samples,
                                                                         const std::string& path) {
  std::vector<std::vector<std::pair<std::string, std::string>>> of_sample(samples);
  for (const std::string& held : file.names()) {
    const auto [sample, part] = taken_apart(held, samples, path);
    of_sample[sample].emplace_back(held, part);
  }
  return of_sample;
}

void expect_kept(const SampleState& state, std::size_t sample, const BlockSpec& done,
                 const std::string& path) {
  for (const std::string& kept : done.keeps)
    if (done.writes(kept) && takes_part(done, *state.features) && !state.registers.contains(kept))
      fail(ErrorKind::input, path, ": no tensor '", sample, "/", kept, "'");
}

}  // namespace

void load_states(const CalibrationStore& store, const std::string& name, const BlockSpec& done,
                 std::vector<SampleState>& states) {
  const std::string path = (store.state_directory() / file_of(name)).string();
  const SafetensorsFile file(path);
  const auto tensors = tensors_of(file, states.size(), path);
  for (std::size_t i = 0; i < states.size(); ++i) {
    states[i].registers.clear();
    for (const auto& [held, part] : tensors[i]) take_tensor(file, held, part, path, states[i]);
    expect_kept(states[i], i, done, path);
  }
}

void load_states(const CalibrationStore& store, const std::string& name, const BlockSpec& done,
                 StateStore& states) {
  const std::string path = (store.state_directory() / file_of(name)).string();
  const SafetensorsFile file(path);
  const auto tensors = tensors_of(file, states.samples(), path);
  std::size_t next = 0;
  states.each_sample([&](SampleState& state) {
    const std::size_t i = next++;
    state.registers.clear();
    for (const auto& [held, part] : tensors[i]) take_tensor(file, held, part, path, state);
    expect_kept(state, i, done, path);
  });
}

}  // namespace mquant
