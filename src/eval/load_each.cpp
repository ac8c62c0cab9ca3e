#include "eval/load_each.h"

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <numeric>

#include "pipeline/estimate.h"
#include "support/mapped_file.h"

namespace mquant {
namespace {

/// Parameters of the blocks that are being loaded.
class InFlight {
 public:
  explicit InFlight(std::int64_t most) : most_(most) {}

  /// Waits for its turn, counted from 0: a small block does not overtake a large one.
  void enter(std::size_t turn, std::int64_t parameters) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return turn == entered_ && (now_ == 0 || now_ + parameters <= most_); });
    now_ += parameters;
    ++entered_;
    changed_.notify_all();
  }
  void leave(std::int64_t parameters) {
    const std::lock_guard lock(mutex_);
    now_ -= parameters;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t most_, now_ = 0;
  std::size_t entered_ = 0;
};

}  // namespace

std::vector<std::size_t> largest_first(const std::vector<std::int64_t>& parameters) {
  std::vector<std::size_t> order(parameters.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater(), [&](std::size_t i) { return parameters[i]; });
  return order;
}

void load_each(const std::vector<BlockSpec>& specs, const std::function<void(std::size_t)>& load) {
  if (specs.empty()) return;
  std::vector<std::int64_t> parameters;
  for (const BlockSpec& spec : specs) parameters.push_back(parameters_of(spec));
  const std::vector<std::size_t> order = largest_first(parameters);
  InFlight in_flight(parameters[order.front()]);
  std::vector<std::exception_ptr> errors(specs.size());
  std::atomic<std::size_t> next{0};  // blocks differ too much in size for equal shares
  const auto work = [&](std::int64_t, std::int64_t) {
    const c10::InferenceMode no_gradients;
    for (std::size_t turn = next++; turn < order.size(); turn = next++) {
      const std::size_t i = order[turn];
      in_flight.enter(turn, parameters[i]);
      try {
        load(i);
      } catch (...) {
        errors[i] = std::current_exception();
      }
      forget_mapped_pages();
      in_flight.leave(parameters[i]);
    }
  };
  at::parallel_for(0, std::min<std::int64_t>(std::ssize(specs), at::get_num_threads()), 1, work);
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
}

}  // namespace mquant
