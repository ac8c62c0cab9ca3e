// Independent tasks over libtorch's threads.
#pragma once

#include <cstdint>
#include <functional>

namespace mquant {

/// Runs task(0), ..., task(count - 1), each whole on one thread, at::get_num_threads() at a time; all of them here if
/// already inside a parallel region.  Rethrows an exception of a task.
///
/// What is computed must not depend on how the work is cut: a task writes what no other task reads or writes.
void for_each_task(std::int64_t count, const std::function<void(std::int64_t)>& task);

/// Threads that for_each_task would use: only for the size of tasks whose cut changes no result.
std::int64_t task_threads();

}  // namespace mquant
