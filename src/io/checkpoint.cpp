#include "mquant/checkpoint.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <utility>

#include "io/json_text.h"
#include "io/safetensors.h"
#include "mquant/error.h"
#include "support/strings.h"

namespace mquant {
namespace {

namespace fs = std::filesystem;

using Opener = std::function<std::unique_ptr<TensorFile>(const fs::path&)>;

/// A weight file, opened when the first of its tensors is wanted.
struct Shard {
  fs::path path;
  std::vector<std::string> listed;  // tensors that the index looks for here
  std::mutex opening;
  std::unique_ptr<TensorFile> file;

  explicit Shard(fs::path at) : path(std::move(at)) {}
};

/// Whether a file of an index stays in its directory.  Symbolic links may lead out: HuggingFace's cache is made of them.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == name.npos;
}

const Json& weight_map(const Json& index, const std::string& origin) {
  if (!index.is_object()) fail(ErrorKind::input, origin, ": expected an object, found ", describe(index));
  const auto found = index.find("weight_map");
  if (found == index.end()) fail(ErrorKind::input, origin, ": no key 'weight_map'");
  if (!found->is_object()) {
    fail(ErrorKind::input, origin, ": 'weight_map': expected an object, found ", describe(*found));
  }
  if (found->empty()) fail(ErrorKind::input, origin, ": 'weight_map' is empty");
  return *found;
}

/// The file that the index gives for a tensor.
std::string shard_of(const std::string& tensor, const Json& value, const std::string& origin) {
  if (!value.is_string()) {
    fail(ErrorKind::input, origin, ": tensor '", printable(tensor), "': expected a file name, found ",
         describe(value));
  }
  std::string name = value.get<std::string>();
  if (!is_plain_name(name)) {
    fail(ErrorKind::input, origin, ": tensor '", printable(tensor), "': '", printable(name),
         "' is not the name of a file beside the index");
  }
  return name;
}

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

[[noreturn]] void no_weights(const fs::path& directory) {
  std::error_code ignored;
  if (!fs::is_directory(directory, ignored)) {
    fail(ErrorKind::input, "'", directory.string(),
         "' is not a directory; expected a downloaded HuggingFace model");
  }
  const bool cache = fs::is_directory(directory / "snapshots", ignored);
  fail(ErrorKind::input, "no weights in '", directory.string(),
       "': expected model.safetensors, pytorch_model.bin, or ", "the .index.json of one of them",
       cache ? "; give one of the folders in its snapshots/" : "");
}

}  // namespace

struct Checkpoint::Impl {
  fs::path directory;
  Opener open;
  std::vector<std::unique_ptr<Shard>> shards;
  std::map<std::string, Shard*> tensors;

  void read_single(const fs::path& path) {
    shards.push_back(std::make_unique<Shard>(path));
    for (const std::string& name : opened(*shards[0]).names()) tensors.emplace(name, shards[0].get());
  }

  void read_index(const fs::path& path) {
    const std::string origin = path.string();
    const Json index = read_json(path);
    std::map<std::string, Shard*> by_file;
    for (const auto& item : weight_map(index, origin).items()) {
      const std::string file = shard_of(item.key(), item.value(), origin);
      Shard*& shard = by_file[file];
      if (shard == nullptr) {
        if (!is_file(directory / file)) {
          fail(ErrorKind::input, origin, ": shard '", printable(file),
               "' is not there; the download may be incomplete");
        }
        shards.push_back(std::make_unique<Shard>(directory / file));
        shard = shards.back().get();
      }
      shard->listed.push_back(item.key());
      tensors.emplace(item.key(), shard);
    }
  }

  const TensorFile& opened(Shard& shard) const {
    const std::lock_guard lock(shard.opening);
    if (shard.file) return *shard.file;
    std::unique_ptr<TensorFile> file = open(shard.path);
    std::vector<std::string> there = file->names();
    std::sort(there.begin(), there.end());
    for (const std::string& name : shard.listed) {
      if (!std::binary_search(there.begin(), there.end(), name)) {
        fail(
            ErrorKind::input, shard.path.string(), ": tensor '", printable(name),
            "' is not in this shard, where the index puts it; shard and index may be of different downloads");
      }
    }
    shard.file = std::move(file);
    return *shard.file;
  }

  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& item : tensors) all.push_back(item.first);
    return all;
  }

  const TensorFile& file_of(const std::string& name) const {
    const auto found = tensors.find(name);
    if (found == tensors.end()) {
      fail(ErrorKind::input, "'", directory.string(), "': no tensor '", name, "'",
           did_you_mean(name, names()));
    }
    return opened(*found->second);
  }
};

Checkpoint::Checkpoint(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Checkpoint::~Checkpoint() = default;
Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;
Checkpoint& Checkpoint::operator=(Checkpoint&&) noexcept = default;

Checkpoint Checkpoint::open(const fs::path& directory, ShardOpener open_bin) {
  auto impl = std::make_unique<Impl>();
  impl->directory = directory;
  for (const char* name : {"model.safetensors", "pytorch_model.bin"}) {
    const fs::path single = directory / name, index = directory / cat(name, ".index.json");
    const bool whole = is_file(single);
    if (!whole && !is_file(index)) continue;
    if (single.extension() == ".safetensors") {
      impl->open = [](const fs::path& path) { return std::make_unique<SafetensorsFile>(path); };
    } else if (open_bin) {
      impl->open = std::move(open_bin);
    } else {
      fail(ErrorKind::unsupported, "'", (whole ? single : index).string(),
           "': PyTorch's .bin weights cannot be read here; give the model's .safetensors files");
    }
    whole ? impl->read_single(single) : impl->read_index(index);
    return Checkpoint(std::move(impl));
  }
  no_weights(directory);
}

const fs::path& Checkpoint::directory() const { return impl_->directory; }

bool Checkpoint::has(const std::string& name) const { return impl_->tensors.contains(name); }

TensorView Checkpoint::get(const std::string& name) const { return impl_->file_of(name).get(name); }

TensorHeader Checkpoint::header(const std::string& name) const { return impl_->file_of(name).header(name); }

std::vector<std::string> Checkpoint::names() const { return impl_->names(); }

std::vector<fs::path> Checkpoint::files() const {
  std::vector<fs::path> files;
  for (const auto& shard : impl_->shards) files.push_back(shard->path);
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace mquant
