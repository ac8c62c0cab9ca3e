#include "pipeline/collectors.h"

#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>

#include "kernels/hadamard.h"
#include "kernels/quantize_rows.h"
#include "mquant/error.h"
#include "quant/parallel.h"

namespace mquant {
namespace {

constexpr std::int64_t kChunkRows = 64;  // rotated and looked at together: they stay in the cache

/// The rotation of inputs, planned once.
class InputRotation {
 public:
  explicit InputRotation(const OnlineRotation* rotation) {
    if (rotation == nullptr || !*rotation) return;
    plan_ = plan_hadamard(rotation->size, rotation->block);
    signs_ = rotation->signs;
  }

  /// Rows of the rotated input: those of x, or in `scratch`.
  const float* rows(const float* x, std::int64_t count, std::int64_t width,
                    std::vector<float>& scratch) const {
    if (!plan_) return x;
    scratch.assign(x, x + count * width);
    hadamard_rows(scratch.data(), count, *plan_, signs_, Direction::forward);
    return scratch.data();
  }

 private:
  std::optional<HadamardPlan> plan_;
  std::vector<std::int8_t> signs_;
};

/// Rows [begin, begin + count), rotated.
struct RowsInHand {
  const float* x = nullptr;
  std::int64_t begin = 0, count = 0;
  std::span<const TokenClass> classes;
};

/// Calls make() once a thread, and what that returns for runs of rows, in any order.
template <class MakeWork>
void for_row_chunks(const InputRows& input, const MakeWork& make) {
  const std::int64_t rows = input.x.size(0), width = input.x.size(1),
                     chunks = (rows + kChunkRows - 1) / kChunkRows;
  const InputRotation rotation(input.rotation);
  const float* x = input.x.const_data_ptr<float>();
  std::atomic<std::int64_t> next{0};
  for_each_task(std::min(chunks, task_threads()), [&](std::int64_t) {
    auto work = make();
    std::vector<float> scratch;
    for (std::int64_t i = next++; i < chunks; i = next++) {
      const std::int64_t begin = i * kChunkRows, count = std::min(kChunkRows, rows - begin);
      work(RowsInHand{rotation.rows(x + begin * width, count, width, scratch), begin, count,
                      std::span(input.classes)
                          .subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count))});
    }
  });
}

class HistogramCollector final : public Collector {
 public:
  HistogramCollector(std::int64_t width, std::vector<std::int64_t> split)
      : width_(width), split_(std::move(split)), seen_(observers()) {}

  void add(const InputRows& input) override {
    for_row_chunks(input, [&] { return OfThread(*this); });
  }

  void finish(Collected& collected) override {
    ClassHistogram histogram{.inputs = std::move(seen_.front()), .of_split = {}};
    histogram.of_split.assign(std::make_move_iterator(seen_.begin() + 1),
                              std::make_move_iterator(seen_.end()));
    collected.histogram = std::move(histogram);
  }

 private:
  class OfThread {
   public:
    explicit OfThread(HistogramCollector& all) : all_(all), seen_(all.observers()) {}
    ~OfThread() {
      const std::lock_guard lock(all_.mutex_);
      for (std::size_t i = 0; i < seen_.size(); ++i) all_.seen_[i].merge(seen_[i]);
    }
    void operator()(const RowsInHand& rows) {
      seen_[0].add(rows.x, rows.count, all_.width_, rows.classes, all_.split_);
      for (std::size_t i = 0; i < all_.split_.size(); ++i)
        seen_[1 + i].add(rows.x + all_.split_[i], rows.count, all_.width_, rows.classes);
    }

   private:
    HistogramCollector& all_;
    std::vector<Observer> seen_;
  };

  /// Of all channels but the split ones, then of each of those.
  std::vector<Observer> observers() const {
    std::vector<Observer> empty = {Observer(width_)};
    empty.resize(1 + split_.size(), Observer(1));
    return empty;
  }

  std::int64_t width_;
  std::vector<std::int64_t> split_;
  std::mutex mutex_;
  std::vector<Observer> seen_;
};

class ChannelMaxCollector final : public Collector {
 public:
  explicit ChannelMaxCollector(std::int64_t width) : largest_(static_cast<std::size_t>(width)) {}

  void add(const InputRows& input) override {
    for_row_chunks(input, [&] { return OfThread(*this); });
  }

  void finish(Collected& collected) override { collected.channel_max = std::move(largest_); }

 private:
  class OfThread {
   public:
    explicit OfThread(ChannelMaxCollector& all) : all_(all), largest_(all.largest_.size()) {}
    ~OfThread() {
      const std::lock_guard lock(all_.mutex_);
      for (std::size_t i = 0; i < largest_.size(); ++i)
        all_.largest_[i] = std::max(all_.largest_[i], largest_[i]);
    }
    void operator()(const RowsInHand& rows) {
      const auto width = std::ssize(largest_);
      for (std::int64_t r = 0; r < rows.count; ++r)
        for (std::int64_t i = 0; i < width; ++i)
          largest_[static_cast<std::size_t>(i)] =
              std::max(largest_[static_cast<std::size_t>(i)], std::abs(rows.x[r * width + i]));
    }

   private:
    ChannelMaxCollector& all_;
    std::vector<float> largest_;
  };

  std::mutex mutex_;
  std::vector<float> largest_;
};

/// A run of rows becomes codes, those of each class next to each other.
class CodeMomentCollector final : public Collector {
 public:
  CodeMomentCollector(std::int64_t width, const SecondMomentRequest& request, const ByClass& rows)
      : width_(width),
        scales_(*request.scales),
        moments_(std::make_unique<CodeMoments>(width)),
        codes_(static_cast<std::size_t>(kSegmentRows * width)) {
    std::vector<std::size_t> present;
    std::vector<double> weights;
    std::vector<std::int64_t> counts;
    for (std::size_t c = 0; c < rows.size(); ++c) {
      if (!(rows[c] > 0)) continue;
      const auto scale = static_cast<double>(scales_.scale[c].value());
      present.push_back(c);
      weights.push_back(request.weights[c] * scale * scale);
      counts.push_back(static_cast<std::int64_t>(rows[c]));
    }
    if (present.empty()) return;
    const MomentWeights integers = moment_weights(weights, counts);
    unit_ = integers.unit;
    for (std::size_t i = 0; i < present.size(); ++i) multipliers_[present[i]] = integers.multipliers[i];
  }

  void add(const InputRows& input) override {
    for (std::int64_t begin = 0; begin < input.x.size(0); begin += kSegmentRows) {
      const std::int64_t count = std::min(kSegmentRows, input.x.size(0) - begin);
      const auto first = input.classes.begin() + begin;
      add_segment({input.x.narrow(0, begin, count), {first, first + count}, input.rotation});
    }
  }

  void finish(Collected& collected) override {
    collected.second_moment = SecondMoment{.codes = std::move(moments_), .unit = unit_, .floats = {}};
  }

 private:
  static constexpr std::int64_t kSegmentRows = 4096;

  void add_segment(const InputRows& input) {
    std::array<std::int64_t, kTokenClasses> counts{}, begin{}, next{};
    for (const TokenClass c : input.classes) ++counts[static_cast<std::size_t>(c)];
    for (std::size_t c = 1; c < begin.size(); ++c) begin[c] = begin[c - 1] + counts[c - 1];
    next = begin;
    std::vector<std::int8_t*> to;
    for (const TokenClass c : input.classes)
      to.push_back(codes_.data() + next[static_cast<std::size_t>(c)]++ * width_);
    for_row_chunks(input, [&] {
      return [&](const RowsInHand& rows) {
        for (std::int64_t r = 0; r < rows.count; ++r) {
          const float scale = scales_.of(rows.classes[static_cast<std::size_t>(r)]).value();
          quantize_row(rows.x + r * width_, width_, scale, to[static_cast<std::size_t>(rows.begin + r)]);
        }
      };
    });
    for (std::size_t c = 0; c < counts.size(); ++c)
      if (counts[c] > 0) moments_->add(codes_.data() + begin[c] * width_, counts[c], width_, multipliers_[c]);
  }

  std::int64_t width_;
  ClassScales scales_;
  std::unique_ptr<CodeMoments> moments_;
  double unit_ = 1;
  std::array<std::int64_t, kTokenClasses> multipliers_{};
  std::vector<std::int8_t> codes_;  // [kSegmentRows, width]
};

class FloatMomentCollector final : public Collector {
 public:
  FloatMomentCollector(std::int64_t width, const SecondMomentRequest& request)
      : weights_(request.weights), moments_(std::make_unique<HessianAccumulator>(width)) {}

  void add(const InputRows& input) override {
    at::Tensor x = input.x;
    if (input.rotation != nullptr && *input.rotation) {
      x = at::empty_like(input.x);
      float* const to = x.data_ptr<float>();
      const std::int64_t width = x.size(1);
      for_row_chunks(input, [&] {
        return
            [&](const RowsInHand& rows) { std::copy_n(rows.x, rows.count * width, to + rows.begin * width); };
      });
    }
    std::vector<float> row_weights;
    for (const TokenClass c : input.classes)
      row_weights.push_back(static_cast<float>(weights_[static_cast<std::size_t>(c)]));
    moments_->add(x, row_weights);
  }

  void finish(Collected& collected) override {
    collected.second_moment = SecondMoment{.codes = {}, .floats = std::move(moments_)};
  }

 private:
  ByClass weights_;
  std::unique_ptr<HessianAccumulator> moments_;
};

}  // namespace

std::vector<std::unique_ptr<Collector>> make_collectors(const Request& request, std::int64_t width,
                                                        const ByClass& rows) {
  std::vector<std::unique_ptr<Collector>> collectors;
  if (request.class_histogram)
    collectors.push_back(std::make_unique<HistogramCollector>(width, request.split));
  if (request.channel_max) collectors.push_back(std::make_unique<ChannelMaxCollector>(width));
  if (const auto& moment = request.second_moment; moment && moment->scales)
    collectors.push_back(std::make_unique<CodeMomentCollector>(width, *moment, rows));
  else if (moment)
    collectors.push_back(std::make_unique<FloatMomentCollector>(width, *moment));
  return collectors;
}

/// Observers of units of channels, each with its lock.
struct CacheCollector::Units {
  Units(std::int64_t channels, std::int64_t channels_each)
      : width(channels_each),
        seen(static_cast<std::size_t>(channels / width), Observer(width)),
        locks(seen.size()) {}

  void add(const at::Tensor& rows) {
    const at::Tensor x = rows.contiguous();
    const std::vector<TokenClass> one_class(static_cast<std::size_t>(x.size(0)), TokenClass::text);
    for (std::size_t i = 0; i < seen.size(); ++i) {
      const std::lock_guard lock(locks[i]);
      seen[i].add(x.const_data_ptr<float>() + static_cast<std::int64_t>(i) * width, x.size(0), x.size(1),
                  one_class);
    }
  }

  std::vector<ClassStatistics> take() {
    std::vector<ClassStatistics> statistics;
    for (const Observer& unit : seen) statistics.push_back(unit.of(TokenClass::text));
    return statistics;
  }

  std::int64_t width;
  std::vector<Observer> seen;
  std::vector<std::mutex> locks;
};

CacheCollector::CacheCollector(const CacheRequest& request, std::int64_t channels)
    : keys_(std::make_shared<Units>(channels, request.key_width)),
      values_(std::make_shared<Units>(channels, request.value_width)) {}

void CacheCollector::add(const at::Tensor& keys, const at::Tensor& values) {
  keys_->add(keys);
  values_->add(values);
}

CollectedCache CacheCollector::take() { return {keys_->take(), values_->take()}; }

}  // namespace mquant
