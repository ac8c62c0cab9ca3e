#include "random_model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "artifact/partial_directory.h"
#include "io/sharded_writer.h"
#include "kernels/bfloat16.h"
#include "model/stored_tensors.h"
#include "mquant/error.h"
#include "mquant/family.h"
#include "support/atomic_file.h"
#include "support/checked.h"
#include "support/rng.h"

namespace mquant {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json read_json(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(ErrorKind::input, path.string(), ": cannot be read; expected a JSON file");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  Config::parse(text, path.string());  // its message names line and column
  return Json::parse(text);
}

void override_key(Json& config, const std::string& setting) {
  const std::size_t equals = setting.find('=');
  if (equals == 0 || equals == std::string::npos)
    fail(ErrorKind::usage, "--set '", setting, "': expected KEY=JSON, such as num_hidden_layers=4");
  std::string key = "/" + setting.substr(0, equals);
  std::ranges::replace(key, '.', '/');
  const Json value = Json::parse(setting.substr(equals + 1), nullptr, false);
  if (value.is_discarded())
    fail(ErrorKind::usage, "--set '", setting, "': expected JSON behind '=', such as 4, true or \"silu\"");
  const Json::json_pointer pointer(key);
  if (!config.contains(pointer))
    fail(ErrorKind::usage, "--set '", setting, "': config.json has no key '", setting.substr(0, equals), "'");
  config[pointer] = value;
}

Json merged_config(const RandomModelOptions& options) {
  Json config = read_json(options.base / "config.json");
  for (const fs::path& shape : options.shapes) config.merge_patch(read_json(shape));
  for (const std::string& setting : options.overrides) override_key(config, setting);
  return config;
}

/// Tokenizer, processor, chat template: all that is no weights.
void copy_other_files(const fs::path& base, const fs::path& output) {
  for (const fs::directory_entry& entry : fs::directory_iterator(base)) {
    const std::string name = entry.path().filename().string();
    const bool weights = name.find(".safetensors") != std::string::npos || name.ends_with(".bin") ||
                         name.ends_with(".bin.index.json");
    if (entry.is_regular_file() && !weights && name != "config.json" && !name.starts_with('.'))
      fs::copy_file(entry.path(), output / name);
  }
}

/// Mean and deviation of the values of a tensor.
struct Spread {
  float mean = 0, deviation = 0;
};

Spread spread_of(const StoredTensor& tensor) {
  switch (tensor.use) {
    case TensorUse::weight: return {0, static_cast<float>(1 / std::sqrt(static_cast<double>(tensor.in)))};
    case TensorUse::scale: return {1, 0.05F};
    case TensorUse::scale_less: return {0, 0.05F};
    case TensorUse::bias:
    case TensorUse::table: break;
  }
  return {0, 0.02F};
}

/// What the blocks read, in their order, each once.  A tied head and optional tensors are left out.
std::vector<StoredTensor> tensors_of(const ModelSpec& model) {
  std::vector<StoredTensor> tensors;
  std::set<std::string> seen;
  for (const BlockSpec& block : model.blocks)
    for (StoredTensor& tensor : stored_tensors(block))
      if (!tensor.optional && tensor.otherwise.empty() && seen.insert(tensor.name).second)
        tensors.push_back(std::move(tensor));
  return tensors;
}

template <class Out, class Convert>
void fill(std::vector<std::byte>& bytes, const Spread& spread, std::uint64_t stream, Convert convert) {
  auto* out = reinterpret_cast<Out*>(bytes.data());
  const std::uint64_t count = bytes.size() / sizeof(Out),
                      threads = std::max(1U, std::thread::hardware_concurrency());
  std::vector<std::jthread> workers;
  for (std::uint64_t t = 0; t < threads; ++t)
    workers.emplace_back([=] {
      for (std::uint64_t i = count * t / threads; i < count * (t + 1) / threads; ++i)
        out[i] = convert(random_value(stream, i, spread.mean, spread.deviation));
    });
}

std::uint16_t bfloat16_bits(float x) {
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(round_to_bfloat16(x)) >> 16);
}

}  // namespace

float random_value(std::uint64_t stream, std::uint64_t i, float mean, float deviation) {
  std::uint64_t z = stream + (i + 1) * 0x9e3779b97f4a7c15U;  // splitmix64
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  z ^= z >> 31;
  const auto sum =
      static_cast<std::int32_t>((z & 0xffffU) + ((z >> 16) & 0xffffU) + ((z >> 32) & 0xffffU) + (z >> 48));
  // Four uniform numbers of [0, 2^16) have the mean 2 * 65535 and the deviation 65536 / sqrt(3).
  return mean + deviation * (static_cast<float>(sum - 131070) * (1.7320508F / 65536.0F));
}

RandomModelReport write_random_model(const RandomModelOptions& options) {
  if (fs::exists(options.output))
    fail(ErrorKind::usage, options.output.string(), " exists; give another name or remove it");
  const std::string text = merged_config(options).dump(2) + "\n";
  const Config config = Config::parse(text, "config.json");
  const Family& family = find_family(config);
  const ModelSpec model = family.describe(config);
  PartialDirectory partial(options.output);
  copy_other_files(options.base, partial.path());
  write_file_atomically(partial.path() / "config.json", text);
  ShardedWriter writer(partial.path());
  RandomModelReport report{.family = family.name};
  for (const StoredTensor& tensor : tensors_of(model)) {
    const std::int64_t count = checked_product(tensor.shape);
    std::vector<std::byte> bytes(static_cast<std::size_t>(count * byte_size(options.dtype)));
    const std::uint64_t stream = Rng(options.seed, tensor.name).next();
    if (options.dtype == DType::bf16)
      fill<std::uint16_t>(bytes, spread_of(tensor), stream, bfloat16_bits);
    else
      fill<float>(bytes, spread_of(tensor), stream, [](float x) { return x; });
    writer.add(tensor.name, {options.dtype, tensor.shape, bytes});
    ++report.tensors;
    report.parameters += count;
    report.bytes += std::ssize(bytes);
  }
  writer.finish();
  partial.publish();
  return report;
}

}  // namespace mquant
