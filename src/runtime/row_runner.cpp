#include "runtime/row_runner.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <numeric>

#include "mquant/error.h"
#include "runtime/row_phases.h"
#include "support/timer.h"

namespace mquant {
namespace {

/// Rows of a chunk: their widest registers stay in a core's share of the last cache, and unpacking a weight costs little
/// against the products of so many rows.
constexpr std::int64_t kChunkRows = 128;
/// With fewer rows for each thread, threads share the rows and split the outputs.
constexpr std::int64_t kRowsAThread = 32;

/// Kept from call to call: at real sizes it is megabytes, and fresh pages cost more than the copy.
thread_local ChunkBuffers chunk_buffers;
thread_local ThreadBuffers thread_buffers;

class Runner {
 public:
  Runner(const RowProgram& program, const BlockSpec& spec, Batch& batch, const RunMode& mode)
      : batch_(batch), run_{program, spec, mode, 0, {}, {}} {
    bind_inputs();
    for (const CodeBuffer& buffer : program.codes) run_.runs.push_back(class_runs(buffer));
  }

  void run() {
    const Stopwatch watch;
    const std::vector<at::Tensor> outputs = bind_outputs();
    const std::int64_t threads = at::in_parallel_region() ? 1 : at::get_num_threads();
    const RowShares shares = share_rows(run_.rows, threads);
    if (shares.by_outputs)
      by_outputs(shares);
    else
      by_rows(shares, threads);
    for (std::size_t i = 0; i < outputs.size(); ++i)
      if (outputs[i].defined())
        batch_.put(run_.program.slots[i].name, {outputs[i], layout_->begin, layout_->present});
    if (run_.mode.clock != nullptr) add_time(watch.seconds());
  }

 private:
  void bind_inputs() {
    const RowProgram& program = run_.program;
    run_.outside.resize(program.slots.size());
    for (std::size_t i = 0; i < program.slots.size(); ++i) {
      const Slot& slot = program.slots[i];
      if (!slot.input) continue;
      const BatchRegister& in = batch_.get(slot.name);
      if (!layout_) layout_ = in;
      require(in.begin == layout_->begin && in.rows.size(1) == slot.width && in.rows.is_contiguous(),
              "register '", slot.name, "' has ", in.rows.size(0), " rows of ", in.rows.size(1),
              " values; expected ", layout_->begin.back(), " of ", slot.width);
      run_.outside[i] = in.rows.data_ptr<float>();
      inputs_.push_back(in.rows);
    }
    require(layout_.has_value(), "block '", run_.spec.name, "': row-wise steps without an input");
    run_.rows = layout_->begin.back();
  }

  std::vector<at::Tensor> bind_outputs() {
    std::vector<at::Tensor> outputs(run_.program.slots.size());
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const Slot& slot = run_.program.slots[i];
      if (!slot.output) continue;
      outputs[i] = at::empty({run_.rows, slot.width}, at::kFloat);
      run_.outside[i] = outputs[i].data_ptr<float>();
    }
    return outputs;
  }

  /// Classes of all rows, run by run; a class that comes by must have its scales.
  std::vector<ClassRun> class_runs(const CodeBuffer& buffer) const {
    std::vector<ClassRun> runs;
    for (std::size_t i = 0; i < batch_.samples().size(); ++i) {
      const std::int64_t rows = layout_->begin[i + 1] - layout_->begin[i];
      if (rows == 0) continue;
      const std::vector<TokenClass> classes = row_classes(run_.spec, buffer.rows, batch_.samples()[i], rows);
      for (std::size_t r = 0; r < classes.size(); ++r) {
        const std::int64_t end = layout_->begin[i] + static_cast<std::int64_t>(r) + 1;
        if (runs.empty() || runs.back().token_class != classes[r])
          runs.push_back({end, classes[r]});
        else
          runs.back().end = end;
      }
    }
    for (const ClassRun& run : runs) {
      scale_of(buffer.form.scales, run.token_class);
      for (const ClassScales& scales : buffer.form.split_scales) scale_of(scales, run.token_class);
    }
    return runs;
  }

  /// Each thread takes chunk after chunk through the whole program.
  void by_rows(const RowShares& shares, std::int64_t threads) {
    std::atomic<std::int64_t> next{0};
    std::vector<std::exception_ptr> errors(static_cast<std::size_t>(shares.chunks));
    const auto work = [&](std::int64_t, std::int64_t) {
      thread_buffers.prepare(run_.program);
      for (std::int64_t c = next++; c < shares.chunks; c = next++) {
        try {
          one_chunk(shares.begin(c, run_.rows), shares.begin(c + 1, run_.rows));
        } catch (...) {
          errors[static_cast<std::size_t>(c)] = std::current_exception();
        }
      }
      collect_time();
    };
    if (threads == 1)
      work(0, 1);
    else
      at::parallel_for(0, threads, 1, work);
    for (const std::exception_ptr& error : errors)
      if (error) std::rethrow_exception(error);
  }

  void one_chunk(std::int64_t begin, std::int64_t end) const {
    if (begin == end) return;
    chunk_buffers.prepare(run_.program, end - begin);
    const Chunk chunk{begin, end - begin, &chunk_buffers};
    for (const Phase& phase : run_.program.phases) {
      run_row_ops(run_, phase, chunk, 0, chunk.rows, thread_buffers);
      run_products(run_, phase, chunk, 0, panels_of(phase), thread_buffers);
    }
  }

  /// All threads work on one chunk: on its rows, then on the outputs of its products.
  void by_outputs(const RowShares& shares) {
    for (std::int64_t c = 0; c < shares.chunks; ++c) {
      const std::int64_t begin = shares.begin(c, run_.rows), rows = shares.begin(c + 1, run_.rows) - begin;
      chunk_buffers.prepare(run_.program, rows);
      const Chunk chunk{begin, rows, &chunk_buffers};
      for (const Phase& phase : run_.program.phases) {
        share(chunk.rows, [&](std::int64_t first, std::int64_t last) {
          run_row_ops(run_, phase, chunk, first, last, thread_buffers);
        });
        share(panels_of(phase), [&](std::int64_t first, std::int64_t last) {
          run_products(run_, phase, chunk, first, last, thread_buffers);
        });
      }
    }
  }

  template <class Work>
  void share(std::int64_t n, Work&& work) {
    const auto part = [&](std::int64_t first, std::int64_t last) {
      thread_buffers.prepare(run_.program);
      work(first, last);
      collect_time();
    };
    if (n == 1)
      part(0, 1);
    else
      at::parallel_for(0, n, 1, part);
  }

  void collect_time() {
    if (run_.mode.clock == nullptr) return;
    const std::lock_guard lock(mutex_);
    for (std::size_t s = 0; s < kStages; ++s) spent_[s] += thread_buffers.seconds[s];
  }

  /// Wall time, shared out as the threads spent theirs.
  void add_time(double wall) {
    const double total = std::accumulate(spent_.begin(), spent_.end(), 0.0);
    StageSeconds& stages = run_.mode.clock->of(run_.spec.tower);
    if (total == 0) {
      stages[static_cast<std::size_t>(Stage::rest)] += wall;
      return;
    }
    for (std::size_t s = 0; s < kStages; ++s) stages[s] += wall * spent_[s] / total;
  }

  Batch& batch_;
  ProgramRun run_;
  std::optional<BatchRegister> layout_;  // of the rows
  std::vector<at::Tensor> inputs_;       // kept while they are read
  std::mutex mutex_;
  StageSeconds spent_{};
};

}  // namespace

RowShares share_rows(std::int64_t rows, std::int64_t threads) {
  const std::int64_t chunks = std::max<std::int64_t>(1, (rows + kChunkRows - 1) / kChunkRows);
  if (threads > 1 && rows < kRowsAThread * threads) return {true, chunks};
  return {false, (chunks + threads - 1) / threads * threads};  // nobody waits for the last one's chunk
}

void run_rows(const RowProgram& program, const BlockSpec& spec, Batch& batch, const RunMode& mode) {
  Runner(program, spec, batch, mode).run();
}

}  // namespace mquant
