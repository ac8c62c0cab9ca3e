// How much memory there is to share out.
#pragma once

#include <cstdint>
#include <filesystem>

namespace mquant {

/// Bytes that new processes can have without swapping: what the system says, and what the control
/// groups (v2, or v1 where it is still used) of this process leave.
/// @param root  of /proc and /sys, for tests
std::int64_t available_memory(const std::filesystem::path& root = "/");

}  // namespace mquant
