#include "nn/pytorch_bin.h"

#include <caffe2/serialize/inline_container.h>
#include <caffe2/serialize/read_adapter_interface.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "io/file_kind.h"
#include "io/json_text.h"
#include "io/state_dict_pickle.h"
#include "mquant/error.h"
#include "support/mapped_file.h"
#include "support/strings.h"

namespace mquant {
namespace {

constexpr std::size_t kLargestPickle = std::size_t{16} << 20;  // 1000 tensors take about 150 KiB
constexpr std::size_t kLocalHeader = 30;  // bytes of a zip's local header before the name

/// Hands the mapped bytes to libtorch's zip reader.
class MappedAdapter final : public caffe2::serialize::ReadAdapterInterface {
 public:
  explicit MappedAdapter(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::size_t size() const override { return bytes_.size(); }
  std::size_t read(std::uint64_t begin, void* to, std::size_t count, const char*) const override {
    if (begin > bytes_.size()) return 0;
    count = std::min<std::size_t>(count, bytes_.size() - begin);
    if (count != 0) std::memcpy(to, bytes_.data() + begin, count);
    return count;
  }

 private:
  std::span<const std::byte> bytes_;
};

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

class PytorchBin final : public TensorFile {
 public:
  explicit PytorchBin(const std::filesystem::path& path) : file_(path), origin_(path.string()) {
    check_kind();
    try {
      read_archive();
    } catch (const Error&) {
      throw;
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {  // of the zip reader: the first line, the others are a trace
      const std::string_view text = error.what();
      fail(ErrorKind::input, origin_,
           ": a broken PyTorch checkpoint: ", printable(text.substr(0, text.find('\n'))),
           "; the download may be incomplete");
    }
  }

  std::vector<std::string> names() const override {
    std::vector<std::string> all;
    for (const auto& item : tensors_) all.push_back(item.first);
    return all;
  }

  TensorView get(const std::string& name) const override {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) {
      fail(ErrorKind::input, origin_, ": no tensor '", name, "'", did_you_mean(name, names()));
    }
    const PickledTensor& tensor = found->second;
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
    caffe2::serialize::PyTorchStreamReader reader(std::make_shared<MappedAdapter>(file_.bytes()));
    if (!reader.hasRecord("data.pkl"))
      fail(ErrorKind::input, origin_, ": not a PyTorch checkpoint: no data.pkl in it");
    if (reader.hasRecord("byteorder")) {
      const auto order = record(reader, "byteorder");
      if (!begins_with(order, "little")) {
        fail(ErrorKind::unsupported, origin_, ": its numbers are big-endian; convert it to safetensors");
      }
    }
    const auto pickle = record(reader, "data.pkl");
    if (pickle.size() > kLargestPickle) {
      fail(ErrorKind::input, origin_, ": data.pkl: expected at most ", human_bytes(kLargestPickle),
           ", found ", human_bytes(pickle.size()));
    }
    tensors_ = read_state_dict_pickle(pickle, origin_);
    for (const auto& [name, tensor] : tensors_) map_storage(reader, name, tensor);
  }

  void map_storage(caffe2::serialize::PyTorchStreamReader& reader, const std::string& name,
                   const PickledTensor& tensor) {
    auto found = storages_.find(tensor.storage);
    if (found == storages_.end()) {
      const std::string key = "data/" + tensor.storage;
      if (!reader.hasRecord(key)) {
        fail(ErrorKind::input, origin_, ": tensor '", printable(name), "': no record ", printable(key),
             " in the archive");
      }
      found = storages_.emplace(tensor.storage, record(reader, key)).first;
    }
    const auto expected = static_cast<std::uint64_t>(tensor.storage_elements * byte_size(tensor.dtype));
    if (found->second.size() < expected) {
      fail(ErrorKind::input, origin_, ": tensor '", printable(name), "': its storage should have ", expected,
           " bytes, but the archive has ", found->second.size());
    }
  }

  /// The bytes of a record where they lie in the file: PyTorch stores them uncompressed.
  std::span<const std::byte> record(caffe2::serialize::PyTorchStreamReader& reader,
                                    const std::string& key) const {
    const std::span<const std::byte> all = file_.bytes();
    const std::uint64_t size = reader.getRecordSize(key), header = reader.getRecordHeaderOffset(key);
    if (header > all.size() || all.size() - header < kLocalHeader) leaves(key);
    if (all[header + 8] != std::byte{0} || all[header + 9] != std::byte{0}) {
      fail(ErrorKind::input, origin_, ": record ", printable(key), " is compressed, as PyTorch never does");
    }
    const std::uint64_t begin = reader.getRecordOffset(key);
    if (begin > all.size() || all.size() - begin < size) leaves(key);
    return all.subspan(begin, size);
  }

  [[noreturn]] void leaves(const std::string& key) const {
    fail(ErrorKind::input, origin_, ": record ", printable(key),
         " leaves the file; the download may be incomplete");
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
  std::map<std::string, std::span<const std::byte>> storages_;
  mutable std::mutex copying_;
  mutable std::map<std::string, std::vector<std::byte>> copies_;
};

}  // namespace

std::unique_ptr<TensorFile> open_pytorch_bin(const std::filesystem::path& path) {
  return std::make_unique<PytorchBin>(path);
}

}  // namespace mquant
