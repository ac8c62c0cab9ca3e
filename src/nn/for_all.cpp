#include "nn/for_all.h"

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <vector>

namespace mquant {

void for_all(std::size_t n, const std::function<void(std::size_t)>& work) {
  std::vector<std::exception_ptr> errors(n);
  std::atomic<std::size_t> next{0};
  const auto take = [&] {
    const c10::InferenceMode no_gradients;
    for (std::size_t i = next++; i < n; i = next++) {
      try {
        work(i);
      } catch (...) {
        errors[i] = std::current_exception();
      }
    }
  };
  const auto threads = static_cast<std::int64_t>(
      at::in_parallel_region() ? 1 : std::min(n, static_cast<std::size_t>(at::get_num_threads())));
  if (threads <= 1)
    take();
  else
    at::parallel_for(0, threads, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t thread = begin; thread < end; ++thread) take();
    });
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
}

}  // namespace mquant
