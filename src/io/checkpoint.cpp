#include "mquant/checkpoint.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "io/json_text.h"
#include "io/safetensors.h"
#include "io/saved_buffers.h"
#include "mquant/error.h"
#include "support/strings.h"

namespace mquant {
namespace {

namespace fs = std::filesystem;

using Opener = std::function<std::unique_ptr<TensorFile>(const fs::path&)>;

struct Shard {
  fs::path path;
  std::unique_ptr<TensorFile> file;

  std::string name() const { return printable(path.filename().string()); }
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
  std::map<std::string, const Shard*> tensors;

  Shard* add_shard(const fs::path& path) {
    return shards.emplace_back(std::make_unique<Shard>(Shard{path, nullptr})).get();
  }

  /// An index says which files the checkpoint is made of, and their headers which tensors there are.  Where the two
  /// contradict each other, one of them is of another model.
  void read_index(const fs::path& path) {
    const std::string origin = path.string();
    const Json index = read_json(path);
    const Json& listed = weight_map(index, origin);
    std::map<std::string, Shard*> by_file;
    std::vector<std::pair<const std::string*, const Shard*>> expected;  // in the order of `listed`
    for (const auto& item : listed.get_ref<const Json::object_t&>()) {
      const std::string file = shard_of(item.first, item.second, origin);
      Shard*& shard = by_file[file];
      if (shard == nullptr) {
        if (!is_file(directory / file)) {
          fail(ErrorKind::input, origin, ": shard '", printable(file),
               "' is not there; the download may be incomplete");
        }
        shard = add_shard(directory / file);
      }
      expected.emplace_back(&item.first, shard);
    }
    const auto twice = read_headers();
    for (const auto& [name, shard] : expected)
      if (!twice.contains(*name)) expect_in(*shard, *name, origin);
    if (twice.empty()) return expect_listed(listed, origin);
    const auto& [name, second] = *twice.begin();
    fail(ErrorKind::input, origin, ": tensor '", printable(name), "' is in two shards, '",
         tensors.at(name)->name(), "' and '", second->name(),
         "': expected one; the shards may be of different downloads");
  }

  /// Opens all shards.  Returns the tensors that an earlier shard has too, with the later one.
  std::map<std::string, const Shard*> read_headers() {
    std::map<std::string, const Shard*> twice;
    for (const auto& shard : shards) {
      shard->file = open(shard->path);
      for (std::string& name : shard->file->names()) {
        const auto [holder, is_new] = tensors.try_emplace(std::move(name), shard.get());
        if (!is_new) twice.emplace(holder->first, shard.get());
      }
    }
    return twice;
  }

  /// Versions of transformers differ in whether a tensor that the index leaves out is loaded.
  void expect_listed(const Json& listed, const std::string& origin) const {
    for (const auto& [name, shard] : tensors)
      if (!listed.contains(name) && !is_saved_buffer(name))
        fail(ErrorKind::input, origin, ": no tensor '", printable(name), "', which is in '", shard->name(),
             "'; shards and index may be of different downloads");
  }

  void expect_in(const Shard& shard, const std::string& name, const std::string& origin) const {
    const auto holder = tensors.find(name);
    if (holder == tensors.end())
      fail(ErrorKind::input, shard.path.string(), ": tensor '", printable(name),
           "' is not in this shard, where the index puts it; shard and index may be of different downloads");
    if (holder->second != &shard)
      fail(ErrorKind::input, origin, ": tensor '", printable(name), "' is in '", holder->second->name(),
           "': expected in '", shard.name(), "', where the index puts it; shards and index may be of ",
           "different downloads");
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
    return *found->second->file;
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
    if (whole) {
      impl->add_shard(single);
      impl->read_headers();
    } else {
      impl->read_index(index);
    }
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
