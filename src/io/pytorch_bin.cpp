#include "io/pytorch_bin.h"

#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "io/file_kind.h"
#include "io/state_dict_pickle.h"
#include "io/zip_records.h"
#include "mquant/error.h"
#include "support/mapped_file.h"
#include "support/strings.h"

namespace mquant {
namespace {

constexpr std::size_t kLargestPickle = std::size_t{16} << 20;  // 1000 tensors take about 150 KiB

/// Row by row without gaps, so that the bytes can be used as they lie.
bool is_contiguous(const PickledTensor& tensor) {
  std::int64_t expected = 1;
  for (std::size_t i = tensor.shape.size(); i-- > 0;) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != expected) return false;
    expected *= tensor.shape[i];
  }
  return true;
}

/// The elements in row-major order.  `from` is the first one.
std::vector<std::byte> gathered(const PickledTensor& tensor, const std::byte* from) {
  const auto size = static_cast<std::size_t>(byte_size(tensor.dtype));
  const std::size_t rank = tensor.shape.size();
  std::size_t elements = 1;
  for (const std::int64_t extent : tensor.shape) elements *= static_cast<std::size_t>(extent);
  std::vector<std::byte> bytes(elements * size);
  std::vector<std::int64_t> index(rank, 0);
  std::size_t at = 0;  // unsigned: the stride of an axis of one element may be anything
  for (std::size_t i = 0; i < elements; ++i) {
    std::memcpy(bytes.data() + i * size, from + at * size, size);
    for (std::size_t axis = rank; axis-- > 0;) {  // the next index, last axis first
      at += static_cast<std::size_t>(tensor.strides[axis]);
      if (++index[axis] < tensor.shape[axis]) break;
      at -= static_cast<std::size_t>(tensor.strides[axis]) * static_cast<std::size_t>(tensor.shape[axis]);
      index[axis] = 0;
    }
  }
  return bytes;
}

using Records = std::map<std::string, std::span<const std::byte>>;

class PytorchBin final : public TensorFile {
 public:
  explicit PytorchBin(const std::filesystem::path& path) : file_(path), origin_(path.string()) {
    check_kind();
    read_archive();
  }

  std::vector<std::string> names() const override {
    std::vector<std::string> all;
    for (const auto& item : tensors_) all.push_back(item.first);
    return all;
  }

  TensorHeader header(const std::string& name) const override {
    const PickledTensor& tensor = described(name);
    return {std::string(dtype_name(tensor.dtype)), tensor.shape};
  }

  TensorView get(const std::string& name) const override {
    const PickledTensor& tensor = described(name);
    const std::span<const std::byte> storage = storages_.at(tensor.storage);
    const auto size = static_cast<std::size_t>(byte_size(tensor.dtype));
    const auto first = static_cast<std::size_t>(tensor.offset) * size;
    TensorView view{tensor.dtype, tensor.shape, {}};
    const auto length = static_cast<std::size_t>(view.numel()) * size;
    if (length == 0) return view;
    view.bytes = is_contiguous(tensor) ? storage.subspan(first, length)
                                       : copy_of(name, tensor, storage.data() + first);
    return view;
  }

 private:
  const PickledTensor& described(const std::string& name) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end())
      fail(ErrorKind::input, origin_, ": no tensor '", name, "'", did_you_mean(name, names()));
    return found->second;
  }

  void check_kind() const {
    refuse_lfs_pointer(file_.bytes(), origin_);
    if (begins_with(file_.bytes(),
                    std::string_view("\x80\x02\x8a\x0a\x6c\xfc", 6))) {  // a pickled magic number
      fail(ErrorKind::unsupported, origin_,
           ": written in PyTorch's format before 1.6; load it there and torch.save it ",
           "again, or convert it to safetensors");
    }
    if (!begins_with(file_.bytes(), "PK\x03\x04")) {
      fail(ErrorKind::input, origin_, ": not a PyTorch checkpoint: expected a zip archive");
    }
  }

  void read_archive() {
    const Records records = zip_records(file_.bytes(), origin_);
    // Every name begins with that of the archive: "archive/data.pkl".
    const std::string first = records.empty() ? "" : records.begin()->first;
    const std::string prefix = first.substr(0, first.find('/') + 1);
    const auto record = [&](const std::string& key) {
      const auto found = records.find(prefix + key);
      return found == records.end() ? std::nullopt : std::optional(found->second);
    };
    const auto pickle = record("data.pkl"), order = record("byteorder");
    if (!pickle) fail(ErrorKind::input, origin_, ": not a PyTorch checkpoint: no data.pkl in it");
    if (order && !begins_with(*order, "little"))
      fail(ErrorKind::unsupported, origin_, ": its numbers are big-endian; convert it to safetensors");
    if (pickle->size() > kLargestPickle) {
      fail(ErrorKind::input, origin_, ": data.pkl: expected at most ", human_bytes(kLargestPickle),
           ", found ", human_bytes(pickle->size()));
    }
    tensors_ = read_state_dict_pickle(*pickle, origin_);
    for (const auto& [name, tensor] : tensors_)
      storages_.try_emplace(tensor.storage, storage(record("data/" + tensor.storage), name, tensor));
  }

  std::span<const std::byte> storage(std::optional<std::span<const std::byte>> record,
                                     const std::string& name, const PickledTensor& tensor) const {
    if (!record) {
      fail(ErrorKind::input, origin_, ": tensor '", printable(name), "': no record data/",
           printable(tensor.storage), " in the archive");
    }
    const auto expected = static_cast<std::uint64_t>(tensor.storage_elements * byte_size(tensor.dtype));
    if (record->size() < expected) {
      fail(ErrorKind::input, origin_, ": tensor '", printable(name), "': its storage should have ", expected,
           " bytes, but the archive has ", record->size());
    }
    return *record;
  }

  std::span<const std::byte> copy_of(const std::string& name, const PickledTensor& tensor,
                                     const std::byte* from) const {
    const std::lock_guard lock(copying_);
    const auto [copy, is_new] = copies_.try_emplace(name);
    if (is_new) copy->second = gathered(tensor, from);
    return copy->second;
  }

  MappedFile file_;
  std::string origin_;
  std::map<std::string, PickledTensor> tensors_;
  Records storages_;  // by key
  mutable std::mutex copying_;
  mutable std::map<std::string, std::vector<std::byte>> copies_;
};

}  // namespace

std::unique_ptr<TensorFile> open_pytorch_bin(const std::filesystem::path& path) {
  return std::make_unique<PytorchBin>(path);
}

}  // namespace mquant
