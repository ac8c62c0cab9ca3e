#include "quant/parallel.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>

namespace mquant {

void for_each_task(std::int64_t count, const std::function<void(std::int64_t)>& task) {
  std::atomic<std::int64_t> next{0};
  const std::int64_t threads = std::min(count, task_threads());
  at::parallel_for(0, threads, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t thread = begin; thread < end; ++thread)
      for (std::int64_t i = next++; i < count; i = next++) task(i);
  });
}

std::int64_t task_threads() { return at::in_parallel_region() ? 1 : at::get_num_threads(); }

}  // namespace mquant
