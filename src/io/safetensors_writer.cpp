#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "io/dtype.h"
#include "io/json_text.h"
#include "io/safetensors.h"
#include "io/safetensors_limits.h"
#include "mquant/error.h"
#include "support/atomic_file.h"
#include "support/sha256.h"
#include "support/strings.h"

namespace mquant {
namespace {

std::int64_t bytes_of(const TensorPlan& tensor) {
  const std::optional<std::int64_t> bits = checked_bits(tensor.shape, 8 * byte_size(tensor.dtype));
  require(bits.has_value(), "safetensors: tensor '", tensor.name, "': bad shape ", shape_text(tensor.shape));
  return *bits / 8;
}

void check_plan(const std::vector<TensorPlan>& plan, const std::string& path) {
  std::set<std::string_view> names;
  for (const TensorPlan& tensor : plan) {
    const bool fits =
        !tensor.name.empty() && tensor.name.size() <= kLongestTensorName && tensor.name != kMetadataKey;
    require(fits, path, ": no tensor can be called '", printable(tensor.name), "'");
    require(names.insert(tensor.name).second, path, ": tensor '", tensor.name, "' is planned twice");
    require(tensor.shape.size() <= kMostDimensions, path, ": tensor '", tensor.name, "' has ",
            tensor.shape.size(), " dimensions");
  }
}

/// The first bytes of a file: length and header, padded with spaces so that the data begin at a multiple of 8.
std::string prefix(const std::vector<TensorPlan>& plan, const TensorFileMetadata& metadata,
                   const std::string& path) {
  nlohmann::ordered_json::object_t header;  // in this order, not sorted
  if (!metadata.empty()) header.push_back({kMetadataKey, metadata});
  std::int64_t begin = 0;
  for (const TensorPlan& tensor : plan) {
    const std::int64_t end = begin + bytes_of(tensor);
    nlohmann::ordered_json description;
    description["dtype"] = dtype_name(tensor.dtype);
    description["shape"] = tensor.shape;
    description["data_offsets"] = {begin, end};
    header.push_back({tensor.name, std::move(description)});  // names are unique: no search
    begin = end;
  }
  std::string text;
  try {
    text = nlohmann::ordered_json(std::move(header)).dump();
  } catch (const Json::exception&) {
    fail(ErrorKind::input, path, ": a tensor's name or the metadata is not UTF-8");
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  require(text.size() <= kLongestHeader, path, ": a header of ", text.size(), " bytes for ", plan.size(),
          " tensors");
  std::string length(kSafetensorsPrefix, '\0');
  for (std::size_t i = 0; i < length.size(); ++i)
    length[i] = static_cast<char>(text.size() >> (8 * i) & 0xFF);
  return length + text;
}

}  // namespace

struct SafetensorsWriter::Impl {
  std::vector<TensorPlan> plan;
  AtomicFile file;
  Sha256 digest;
  std::size_t current = 0;   // index in plan of the tensor whose turn it is
  std::int64_t missing = 0;  // its bytes that are still to come

  Impl(const std::filesystem::path& path, std::vector<TensorPlan> tensors, const TensorFileMetadata& metadata)
      : plan(std::move(tensors)), file(path) {
    check_plan(plan, path.string());
    std::stable_sort(plan.begin(), plan.end(), [](const TensorPlan& a, const TensorPlan& b) {
      return byte_size(a.dtype) > byte_size(b.dtype);
    });
    const std::string head = prefix(plan, metadata, path.string());
    file.write(head);
    digest.update(head);
    if (!plan.empty()) missing = bytes_of(plan[0]);
  }

  std::string where() const { return file.path().string(); }

  /// On to the tensor `name`, past those that are complete.
  void turn_to(const std::string& name) {
    while (current < plan.size() && plan[current].name != name && missing == 0) {
      if (++current < plan.size()) missing = bytes_of(plan[current]);
    }
    require(current < plan.size(), where(), ": tensor '", name, "' after the last of the plan, or twice");
    require(plan[current].name == name, where(), ": expected ", missing, " more bytes of tensor '",
            plan[current].name, "', got tensor '", name, "'");
  }
};

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorPlan> plan,
                                     const TensorFileMetadata& metadata)
    : impl_(std::make_unique<Impl>(path, std::move(plan), metadata)) {}
SafetensorsWriter::~SafetensorsWriter() = default;
SafetensorsWriter::SafetensorsWriter(SafetensorsWriter&&) noexcept = default;
SafetensorsWriter& SafetensorsWriter::operator=(SafetensorsWriter&&) noexcept = default;

const std::vector<TensorPlan>& SafetensorsWriter::plan() const { return impl_->plan; }

void SafetensorsWriter::append(const std::string& name, std::span<const std::byte> bytes) {
  impl_->turn_to(name);
  require(bytes.size() <= static_cast<std::size_t>(impl_->missing), impl_->where(), ": tensor '", name,
          "': got ", bytes.size(), " bytes, expected at most ", impl_->missing, " more");
  impl_->file.write(bytes);
  impl_->digest.update(bytes);
  impl_->missing -= static_cast<std::int64_t>(bytes.size());
}

std::string SafetensorsWriter::finish() {
  if (!impl_->plan.empty()) impl_->turn_to(impl_->plan.back().name);
  require(impl_->missing == 0, impl_->where(), ": ", impl_->missing, " bytes of the last tensor are missing");
  impl_->file.commit();
  return impl_->digest.hex();
}

std::string write_safetensors(const std::filesystem::path& path,
                              const std::map<std::string, TensorView>& tensors,
                              const TensorFileMetadata& metadata) {
  std::vector<TensorPlan> plan;
  for (const auto& [name, view] : tensors) plan.push_back({name, view.dtype, view.shape});
  SafetensorsWriter writer(path, std::move(plan), metadata);
  for (const TensorPlan& tensor : writer.plan()) writer.append(tensor.name, tensors.at(tensor.name).bytes);
  return writer.finish();
}

}  // namespace mquant
