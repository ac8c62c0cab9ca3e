// What this machine can do at most, measured.
#pragma once

#include <cstdint>

#include "mquant/bench.h"

namespace mquant {

/// Runs the loops of kernels/peaks.h on one thread and on `threads` at once: many short ones, the fastest counts,
/// because whatever else the machine does can only slow it down.
MachineReport measure_machine(int threads);

/// Bytes of the largest cache that a core reaches; 0 if the system does not tell.
std::int64_t cache_bytes();

/// Reads a buffer twice as large as the caches, so that what comes next is read from memory.
class CacheFlush {
 public:
  CacheFlush();
  void run() const;

 private:
  std::vector<std::uint32_t> words_;
};

/// Of the process, from the system.
std::int64_t resident_bytes();
std::int64_t peak_resident_bytes();

}  // namespace mquant
