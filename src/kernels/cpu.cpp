#include "kernels/cpu.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <string>

#include "mquant/error.h"

namespace mquant {
namespace {

constexpr std::array kLevels = {CpuLevel::portable, CpuLevel::avx2, CpuLevel::avx512};

CpuLevel supported(CpuLevel level, std::string_view asked_by) {
  if (level > best_cpu_level())
    fail(ErrorKind::usage, asked_by, ": this processor has no ", cpu_level_name(level), ", at best ",
         cpu_level_name(best_cpu_level()));
  return level;
}

CpuLevel from_environment() {
  const char* text = std::getenv("MQUANT_CPU");
  if (!text || !*text) return best_cpu_level();
  for (const CpuLevel level : kLevels)
    if (text == cpu_level_name(level)) return supported(level, "MQUANT_CPU");
  fail(ErrorKind::usage, "MQUANT_CPU: expected portable, avx2 or avx512, got '", text, "'");
}

constexpr int kUndecided = -1;
std::atomic<int> level_in_use{kUndecided};

}  // namespace

std::string_view cpu_level_name(CpuLevel level) {
  switch (level) {
    case CpuLevel::portable: return "portable";
    case CpuLevel::avx2: return "avx2";
    case CpuLevel::avx512: return "avx512";
  }
  return "?";
}

CpuLevel best_cpu_level() {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return CpuLevel::portable;
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("avx512vnni");
  return wide ? CpuLevel::avx512 : CpuLevel::avx2;
#else
  return CpuLevel::portable;
#endif
}

CpuLevel cpu_level() {
  int level = level_in_use.load(std::memory_order_relaxed);
  if (level == kUndecided) {
    level = static_cast<int>(from_environment());
    level_in_use.store(level, std::memory_order_relaxed);
  }
  return static_cast<CpuLevel>(level);
}

void set_cpu_level(CpuLevel level) {
  level_in_use.store(static_cast<int>(supported(level, "set_cpu_level")));
}

}  // namespace mquant
