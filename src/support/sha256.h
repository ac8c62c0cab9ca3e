// SHA-256, as lower-case hexadecimal text.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace mquant {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);
  /// The digest of all bytes so far, 64 digits; more may follow.
  std::string hex() const;

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string sha256_hex(std::span<const std::byte> bytes);
std::string sha256_hex(std::string_view text);
/// Over names and what is said of each, in the order of the names.
std::string sha256_of_named(const std::map<std::string, std::string>& named);
/// Reads the file once, in pieces.  @throws Error{input} naming the path.
std::string sha256_file(const std::filesystem::path& path);

}  // namespace mquant
