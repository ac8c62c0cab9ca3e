#include "io/zip_records.h"

#include <minizip/unzip.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "mquant/error.h"
#include "support/strings.h"

namespace mquant {
namespace {

using Bytes = std::span<const std::byte>;

/// The archive as minizip's file functions see it.
struct Memory {
  Bytes bytes;
  std::size_t at = 0;
};

Memory& memory_of(voidpf stream) { return *static_cast<Memory*>(stream); }

zlib_filefunc64_def functions_on(Memory& memory) {
  zlib_filefunc64_def functions{};
  functions.opaque = &memory;
  functions.zopen64_file = [](voidpf opaque, const void*, int) { return opaque; };
  functions.zread_file = [](voidpf, voidpf stream, void* to, uLong count) -> uLong {
    Memory& from = memory_of(stream);
    count = std::min<uLong>(count, from.bytes.size() - from.at);
    if (count != 0) std::memcpy(to, from.bytes.data() + from.at, count);
    from.at += count;
    return count;
  };
  functions.ztell64_file = [](voidpf, voidpf stream) -> ZPOS64_T { return memory_of(stream).at; };
  functions.zseek64_file = [](voidpf, voidpf stream, ZPOS64_T offset, int origin) -> long {
    Memory& in = memory_of(stream);
    const std::size_t base = origin == ZLIB_FILEFUNC_SEEK_SET   ? 0
                             : origin == ZLIB_FILEFUNC_SEEK_CUR ? in.at
                                                                : in.bytes.size();
    if (offset > in.bytes.size() - base) return -1;
    in.at = base + offset;
    return 0;
  };
  functions.zclose_file = [](voidpf, voidpf) { return 0; };
  functions.zerror_file = [](voidpf, voidpf) { return 0; };
  return functions;
}

class Archive {
 public:
  Archive(Bytes bytes, const std::string& origin) : memory_{bytes}, origin_(origin) {
    zlib_filefunc64_def functions = functions_on(memory_);
    file_.reset(unzOpen2_64("", &functions));
    if (!file_) broken("no directory at its end");
  }

  std::map<std::string, Bytes> records() {
    std::map<std::string, Bytes> records;
    for (int state = unzGoToFirstFile(file_.get()); state != UNZ_END_OF_LIST_OF_FILE;
         state = unzGoToNextFile(file_.get())) {
      if (state != UNZ_OK) broken("its directory cannot be read");
      const std::string name = read_name();
      const Bytes bytes = read_bytes(name);
      if (!records.emplace(name, bytes).second) broken("record ", printable(name), " is there twice");
    }
    return records;
  }

 private:
  template <class... Parts>
  [[noreturn]] void broken(const Parts&... parts) const {
    fail(ErrorKind::input, origin_, ": a broken zip archive: ", parts..., "; the download may be incomplete");
  }

  std::string read_name() {
    if (unzGetCurrentFileInfo64(file_.get(), &info_, nullptr, 0, nullptr, 0, nullptr, 0) != UNZ_OK)
      broken("its directory cannot be read");
    std::string name(info_.size_filename, '\0');
    if (unzGetCurrentFileInfo64(file_.get(), nullptr, name.data(), name.size(), nullptr, 0, nullptr, 0) !=
        UNZ_OK)
      broken("its directory cannot be read");
    return name;
  }

  Bytes read_bytes(const std::string& name) {
    if (info_.compression_method != 0 || (info_.flag & 1) != 0 ||
        info_.compressed_size != info_.uncompressed_size) {
      fail(ErrorKind::input, origin_, ": record ", printable(name), " is ",
           (info_.flag & 1) != 0 ? "encrypted" : "compressed", ", as PyTorch never does");
    }
    if (unzOpenCurrentFile(file_.get()) != UNZ_OK)  // reads and compares the header before the record
      broken("record ", printable(name), " is not where the directory puts it");
    const ZPOS64_T begin = unzGetCurrentFileZStreamPos64(file_.get());
    unzCloseCurrentFile(file_.get());
    if (begin > memory_.bytes.size() || memory_.bytes.size() - begin < info_.uncompressed_size)
      broken("record ", printable(name), " leaves the file");
    return memory_.bytes.subspan(begin, info_.uncompressed_size);
  }

  struct Close {
    void operator()(void* file) const { unzClose(file); }
  };

  Memory memory_;
  const std::string& origin_;
  std::unique_ptr<void, Close> file_;
  unz_file_info64 info_{};
};

}  // namespace

std::map<std::string, Bytes> zip_records(Bytes archive, const std::string& origin) {
  return Archive(archive, origin).records();
}

}  // namespace mquant
