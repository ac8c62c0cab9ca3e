#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "io/dtype.h"
#include "io/file_kind.h"
#include "io/json_text.h"
#include "io/safetensors.h"
#include "io/safetensors_limits.h"
#include "mquant/error.h"
#include "support/mapped_file.h"
#include "support/strings.h"

namespace mquant {
namespace {

constexpr const char* kKeys = "expected the keys dtype, shape and data_offsets";

struct Entry {
  const FileType* type = nullptr;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;  // in the data, which follows the header
};

std::uint64_t header_length(std::span<const std::byte> file, const std::string& origin) {
  if (file.size() < kSafetensorsPrefix) {
    fail(ErrorKind::input, origin, ": expected at least ", kSafetensorsPrefix, " bytes, found ", file.size(),
         "; the download may be incomplete");
  }
  std::uint64_t length = 0;
  for (std::size_t i = kSafetensorsPrefix; i-- > 0;)
    length = length << 8 | std::to_integer<std::uint64_t>(file[i]);
  if (length > kLongestHeader) {
    fail(ErrorKind::input, origin, ": the header should be ", length, " bytes long; expected at most ",
         kLongestHeader, ": not a safetensors file");
  }
  if (length > file.size() - kSafetensorsPrefix) {
    fail(ErrorKind::input, origin, ": the header should be ", length, " bytes long, but only ",
         file.size() - kSafetensorsPrefix, " follow; the download may be incomplete");
  }
  return length;
}

/// Checks one tensor of the header by itself.
class EntryReader {
 public:
  EntryReader(const std::string& origin, const std::string& name) : origin_(origin), name_(name) {}

  Entry read(const Json& description, std::uint64_t data_size) const {
    if (name_.empty()) broken("the name is empty");
    if (name_.size() > kLongestTensorName) {
      broken("the name has ", name_.size(), " bytes; expected at most ", kLongestTensorName);
    }
    if (!description.is_object()) broken(kKeys, ", found ", describe(description));
    for (const auto& item : description.items()) {
      if (item.key() != "dtype" && item.key() != "shape" && item.key() != "data_offsets") {
        broken(kKeys, ", found '", printable(item.key()), "'");
      }
    }
    Entry entry;
    entry.type = type(member(description, "dtype"));
    entry.shape = shape(member(description, "shape"));
    std::tie(entry.begin, entry.end) = offsets(member(description, "data_offsets"), data_size);
    check_size(entry);
    return entry;
  }

 private:
  template <class... Parts>
  [[noreturn]] void broken(const Parts&... parts) const {
    fail(ErrorKind::input, origin_, ": tensor '", printable(name_), "': ", parts...);
  }

  const Json& member(const Json& description, const char* key) const {
    const auto found = description.find(key);
    if (found == description.end()) broken(kKeys, "; ", key, " is missing");
    return *found;
  }

  const FileType* type(const Json& value) const {
    if (!value.is_string()) broken("dtype: expected a string, found ", describe(value));
    const FileType* found = find_file_type(value.get_ref<const std::string&>());
    if (found == nullptr) {
      broken("no such dtype as '", printable(value.get_ref<const std::string&>()), "'");
    }
    return found;
  }

  std::vector<std::int64_t> shape(const Json& value) const {
    if (!value.is_array()) broken("shape: expected a list, found ", describe(value));
    if (value.size() > kMostDimensions) {
      broken("shape: expected at most ", kMostDimensions, " dimensions, found ", value.size());
    }
    std::vector<std::int64_t> sizes;
    for (const Json& size : value) {
      if (!size.is_number_unsigned() || size.get<std::uint64_t>() > INT64_MAX) {
        broken("shape: expected sizes of 0 or more, found ", describe(size));
      }
      sizes.push_back(size.get<std::int64_t>());
    }
    return sizes;
  }

  std::pair<std::uint64_t, std::uint64_t> offsets(const Json& value, std::uint64_t data_size) const {
    if (!value.is_array() || value.size() != 2 || !value[0].is_number_unsigned() ||
        !value[1].is_number_unsigned()) {
      broken("data_offsets: expected two sizes, [begin, end], found ", describe(value));
    }
    const auto begin = value[0].get<std::uint64_t>(), end = value[1].get<std::uint64_t>();
    if (begin > end) broken("data_offsets: begin ", begin, " is after end ", end);
    if (end > data_size) {
      broken("data_offsets: the tensor ends at ", end, ", but there are only ", data_size,
             " bytes of data; the download may be incomplete");
    }
    return {begin, end};
  }

  void check_size(const Entry& entry) const {
    const std::optional<std::int64_t> bits = checked_bits(entry.shape, entry.type->bits);
    if (!bits) broken("shape ", shape_text(entry.shape), " is too large for any memory");
    const std::uint64_t held = entry.end - entry.begin;
    if (*bits % 8 != 0) {
      broken("shape ", shape_text(entry.shape), " of ", entry.type->name, " is ", *bits,
             " bits, but its data_offsets hold ", held, " bytes");
    }
    if (static_cast<std::uint64_t>(*bits / 8) != held) {
      broken("shape ", shape_text(entry.shape), " of ", entry.type->name, " is ", *bits / 8,
             " bytes, but its data_offsets hold ", held);
    }
  }

  const std::string& origin_;
  const std::string& name_;
};

TensorFileMetadata read_metadata(const Json& value, const std::string& origin) {
  if (!value.is_object()) {
    fail(ErrorKind::input, origin, ": __metadata__: expected an object of strings, found ", describe(value));
  }
  TensorFileMetadata metadata;
  for (const auto& item : value.items()) {
    if (!item.value().is_string()) {
      fail(ErrorKind::input, origin, ": __metadata__: '", printable(item.key()),
           "': expected a string, found ", describe(item.value()));
    }
    metadata.emplace(item.key(), item.value().get<std::string>());
  }
  return metadata;
}

/// The tensors together are the data: from its first byte to its last, each begins where the one before it ends.
void check_layout(const std::map<std::string, Entry>& entries, std::uint64_t data_size,
                  const std::string& origin) {
  std::vector<const std::pair<const std::string, Entry>*> order;
  for (const auto& item : entries) order.push_back(&item);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  std::uint64_t end = 0;
  const std::string* before = nullptr;
  for (const auto* item : order) {
    const std::uint64_t begin = item->second.begin;
    if (begin < end) {
      fail(ErrorKind::input, origin, ": tensors '", printable(*before), "' and '", printable(item->first),
           "' overlap at byte ", begin, " of the data");
    }
    if (begin > end) {
      fail(ErrorKind::input, origin, ": bytes ", end, " to ", begin, " of the data, before tensor '",
           printable(item->first), "', belong to no tensor");
    }
    end = item->second.end;
    before = &item->first;
  }
  if (end != data_size) {
    const std::uint64_t left = data_size - end;
    fail(ErrorKind::input, origin, ": ", left, left == 1 ? " byte" : " bytes", " after the last tensor ",
         left == 1 ? "belongs" : "belong", " to no tensor");
  }
}

}  // namespace

struct SafetensorsFile::Impl {
  MappedFile file;
  std::string origin;
  std::span<const std::byte> data;
  TensorFileMetadata metadata;
  std::map<std::string, Entry> entries;

  explicit Impl(const std::filesystem::path& path) : file(path), origin(path.string()) {
    refuse_lfs_pointer(file.bytes(), origin);
    const std::uint64_t length = header_length(file.bytes(), origin);
    data = file.bytes().subspan(kSafetensorsPrefix + length);
    const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()) + kSafetensorsPrefix,
                                length);
    if (!text.starts_with('{')) {
      fail(ErrorKind::input, origin, ": the header does not begin with '{': not a safetensors file");
    }
    const Json header = parse_json(text, cat(origin, ": header"));
    for (const auto& item : header.items()) {
      if (item.key() == kMetadataKey) {
        metadata = read_metadata(item.value(), origin);
      } else {
        entries.emplace(item.key(), EntryReader(origin, item.key()).read(item.value(), data.size()));
      }
    }
    check_layout(entries, data.size(), origin);
  }

  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& item : entries) all.push_back(item.first);
    return all;
  }

  const Entry& entry(const std::string& name) const {
    const auto found = entries.find(name);
    if (found == entries.end())
      fail(ErrorKind::input, origin, ": no tensor '", name, "'", did_you_mean(name, names()));
    return found->second;
  }
};

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : impl_(std::make_unique<const Impl>(path)) {}
SafetensorsFile::~SafetensorsFile() = default;
SafetensorsFile::SafetensorsFile(SafetensorsFile&&) noexcept = default;
SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&&) noexcept = default;

std::vector<std::string> SafetensorsFile::names() const { return impl_->names(); }

TensorView SafetensorsFile::get(const std::string& name) const {
  const Entry& entry = impl_->entry(name);
  if (!entry.type->dtype) {
    fail(ErrorKind::unsupported, impl_->origin, ": tensor '", printable(name), "' is ", entry.type->name,
         ", which is not computed with here; give a checkpoint in BF16, F16 or F32");
  }
  return {*entry.type->dtype, entry.shape, impl_->data.subspan(entry.begin, entry.end - entry.begin)};
}

TensorHeader SafetensorsFile::header(const std::string& name) const {
  const Entry& entry = impl_->entry(name);
  return {std::string(entry.type->name), entry.shape};
}

bool SafetensorsFile::has(const std::string& name) const { return impl_->entries.contains(name); }

const TensorFileMetadata& SafetensorsFile::metadata() const { return impl_->metadata; }

}  // namespace mquant
