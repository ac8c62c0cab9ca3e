#include "bench/machine.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <fstream>
#include <functional>
#include <thread>

#include "kernels/peaks.h"
#include "mquant/error.h"

namespace mquant {
namespace {

constexpr double kShortLoopSeconds = 0.01;
constexpr int kShortLoops = 30;
constexpr int kReads = 5;
constexpr std::int64_t kLeastReadBytes = std::int64_t{512} << 20;

/// Seconds of `work(thread)` on `threads` threads that begin together, from the first one's begin to the last one's end.
double seconds_together(int threads, const std::function<void(int)>& work) {
  using Clock = std::chrono::steady_clock;
  const auto count = static_cast<std::size_t>(threads);
  std::vector<Clock::time_point> begin(count), end(count);
  std::barrier start(threads);
  std::vector<std::jthread> pool;
  for (std::size_t thread = 0; thread < count; ++thread)
    pool.emplace_back([&, thread] {
      start.arrive_and_wait();
      begin[thread] = Clock::now();
      work(static_cast<int>(thread));
      end[thread] = Clock::now();
    });
  pool.clear();  // waits for them
  return std::chrono::duration<double>(std::ranges::max(end) - std::ranges::min(begin)).count();
}

double best_rate(const PeakLoop& loop, int threads) {
  std::int64_t rounds = 1000;  // grows until a loop takes long enough to be timed
  for (double seconds = 0; seconds < kShortLoopSeconds / 2; rounds *= 2)
    seconds = seconds_together(1, [&](int) { loop.run(rounds); });
  double best = 0;
  for (int i = 0; i < kShortLoops; ++i) {
    const double seconds = seconds_together(threads, [&](int) { loop.run(rounds); });
    best = std::max(best, static_cast<double>(loop.operations_a_round * rounds) * threads / seconds);
  }
  return best;
}

Rate rate_of(const PeakLoop& loop, int threads) {
  return {loop.instructions, best_rate(loop, 1), best_rate(loop, threads)};
}

double best_read(std::span<const std::uint32_t> words, int threads) {
  const std::size_t part = words.size() / static_cast<std::size_t>(threads);
  std::vector<std::uint32_t> sums(static_cast<std::size_t>(threads));
  double best = 0;
  for (int i = 0; i < kReads; ++i) {
    const double seconds = seconds_together(threads, [&](int thread) {
      const auto at = static_cast<std::size_t>(thread);
      sums[at] += read_words(words.subspan(at * part, part));
    });
    best = std::max(best, 4.0 * static_cast<double>(part) * threads / seconds);
  }
  return best;
}

Rate read_rate(int threads) {
  const std::int64_t bytes = std::max(kLeastReadBytes, 8 * cache_bytes());
  const std::vector<std::uint32_t> words(static_cast<std::size_t>(bytes / 4), 1);
  return {"read", best_read(words, 1), best_read(words, threads)};
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(std::min(line.size(), line.find(": ") + 2));
  return "unknown";
}

}  // namespace

MachineReport measure_machine(int threads) {
  MachineReport machine;
  const CpuLevel level = cpu_level();
  machine.processor = processor_name();
  machine.cpu_level = cpu_level_name(level);
  machine.threads = threads;
  machine.integer = rate_of(integer_peak_loop(level), threads);
  for (const PeakLoop& loop : float32_peak_loops(level)) machine.float32.push_back(rate_of(loop, threads));
  machine.read = read_rate(threads);
  return machine;
}

// Not sysconf: that counts the caches of all cores of a socket, most of which a core does not reach.
std::int64_t cache_bytes() {
  std::int64_t largest = 0;
  for (int index = 0;; ++index) {
    std::ifstream file(cat("/sys/devices/system/cpu/cpu0/cache/index", index, "/size"));
    std::int64_t size = 0;
    char unit = 0;
    if (!(file >> size)) return largest;
    file >> unit;
    largest = std::max(largest, size << (unit == 'M' ? 20 : unit == 'K' ? 10 : 0));
  }
}

CacheFlush::CacheFlush()
    : words_(static_cast<std::size_t>(std::max<std::int64_t>(cache_bytes(), 1 << 20) / 2), 1) {}

void CacheFlush::run() const {
  volatile std::uint32_t sum = read_words(words_);
  static_cast<void>(sum);
}

std::int64_t resident_bytes() {
  std::int64_t pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

std::int64_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace mquant
