// Whole files as strings, and where the test data lies.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace mquant::test {

/// Both throw std::runtime_error naming the path.
std::string read_text(const std::filesystem::path& path);
/// Makes the parent directories too.
void write_text(const std::filesystem::path& path, std::string_view text);

/// tests/data/<name>.
std::filesystem::path data_path(std::string_view name);

}  // namespace mquant::test
