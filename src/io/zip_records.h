// The records of a zip archive that compresses none of them, as torch.save writes it.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

namespace mquant {

/// Name to bytes, where they lie in `archive`.  Sizes and methods are those of the archive's directory, so that no
/// record is read, let alone unpacked, before all of them are known to be harmless.
/// @throws Error{input} beginning with `origin` for a broken archive, a compressed or encrypted record, a name twice
std::map<std::string, std::span<const std::byte>> zip_records(std::span<const std::byte> archive,
                                                              const std::string& origin);

}  // namespace mquant
