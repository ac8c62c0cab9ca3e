// Statistics of the inputs of a group, collected batch by batch on all threads.
#pragma once

#include <memory>
#include <vector>

#include "passes/collected.h"
#include "runtime/batch.h"

namespace mquant {

/// Inputs of a group's linears: rows of one batch, and how the linears rotate them.
struct InputRows {
  at::Tensor x;                     // [rows, width] float32, before the rotation
  std::vector<TokenClass> classes;  // [rows]
  const OnlineRotation* rotation = nullptr;
};

/// Collects what one request asks for.
class Collector {
 public:
  virtual ~Collector() = default;
  /// Batches come in the order of their samples.  @throws Error{input} for a value that is not
  /// finite
  virtual void add(const InputRows& input) = 0;
  virtual void finish(Collected& collected) = 0;
};

/// Request::class_histogram, channel_max and second_moment, each where it is asked for.
/// @param rows  of each class that are to come, at most
std::vector<std::unique_ptr<Collector>> make_collectors(const Request& request, std::int64_t width,
                                                        const ByClass& rows);

/// Histograms of keys and values as a cache would hold them.
class CacheCollector {
 public:
  CacheCollector(const CacheRequest& request, std::int64_t channels);
  /// Both [rows, channels].  Thread-safe.
  void add(const at::Tensor& keys, const at::Tensor& values);
  CollectedCache take();

 private:
  struct Units;
  std::shared_ptr<Units> keys_, values_;
};

}  // namespace mquant
