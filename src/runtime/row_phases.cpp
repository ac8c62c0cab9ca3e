#include "runtime/row_phases.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "kernels/activations.h"
#include "kernels/norm_rows.h"
#include "kernels/quantize_rows.h"
#include "mquant/error.h"

namespace mquant {
namespace {

/// Adds up the time since the last mark, where time is measured.
class Marks {
 public:
  explicit Marks(StageSeconds* seconds) : seconds_(seconds) {
    if (seconds_ != nullptr) last_ = std::chrono::steady_clock::now();
  }
  void mark(Stage stage) {
    if (seconds_ == nullptr) return;
    const auto now = std::chrono::steady_clock::now();
    (*seconds_)[static_cast<std::size_t>(stage)] += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

 private:
  StageSeconds* seconds_;
  std::chrono::steady_clock::time_point last_;
};

TokenClass class_of(const std::vector<ClassRun>& runs, std::int64_t row) {
  return std::ranges::upper_bound(runs, row, {}, &ClassRun::end)->token_class;
}

/// One row through the operations of a phase.
class Row {
 public:
  Row(const ProgramRun& run, const Chunk& chunk, std::int64_t row, ThreadBuffers& thread, Marks& marks)
      : run_(run), chunk_(chunk), row_(row), thread_(thread), marks_(marks) {}

  void apply(const RowOp& op) {
    if (op.kind == RowOp::Kind::quantize) return quantize(op);
    const float* in = at(op.in);
    float* out = at(op.out);
    const std::int64_t width = run_.program.slots[op.out].width;
    switch (op.kind) {
      case RowOp::Kind::norm: normalize(op, in, width, out); break;
      case RowOp::Kind::activation: activate_row(op.activation, in, width, out); break;
      case RowOp::Kind::multiply: multiply_row(in, at(op.in2), width, out); break;
      case RowOp::Kind::add: add_row(in, at(op.in2), width, out); break;
      case RowOp::Kind::scale: scale_row(in, op.factor, width, out); break;
      case RowOp::Kind::quantize: break;
    }
    marks_.mark(Stage::rest);
  }

 private:
  float* at(std::size_t index) const {
    const Slot& slot = run_.program.slots[index];
    switch (slot.place) {
      case Slot::Place::outside: return run_.outside[index] + (chunk_.begin + row_) * slot.width;
      case Slot::Place::chunk: return chunk_.buffers->slots[index].data() + row_ * slot.width;
      case Slot::Place::row: break;
    }
    return thread_.slots[index].data();
  }

  static void normalize(const RowOp& op, const float* in, std::int64_t width, float* out) {
    const NormWeights& norm = *op.norm;
    const float* scale = norm.scale.defined() ? norm.scale.data_ptr<float>() : nullptr;
    const float* shift = norm.shift.defined() ? norm.shift.data_ptr<float>() : nullptr;
    auto* normalize_row = norm.kind == NormKind::layer ? layer_norm_row : rms_norm_row;
    for (std::int64_t i = 0; i < width; i += op.norm_width)
      normalize_row(in + i, op.norm_width, scale, shift, norm.eps, out + i);
  }

  const float* rotated(const CodeBuffer& buffer, const float* x) {
    if (!buffer.hadamard) return x;
    std::copy_n(x, buffer.width, thread_.rotated.data());
    hadamard_rows(thread_.rotated.data(), 1, *buffer.hadamard, buffer.form.rotation.signs, Direction::forward);
    marks_.mark(Stage::hadamard);
    return thread_.rotated.data();
  }

  float scale_for(const CodeBuffer& buffer, TokenClass token_class, const float* x) const {
    switch (run_.mode.scaling) {
      case Scaling::segments:
      case Scaling::gathered: return scale_of(buffer.form.scales, token_class);
      case Scaling::one_static: return largest_scale(buffer.form.scales);
      case Scaling::dynamic: break;
    }
    return dynamic_scale(x, buffer.width);
  }

  void quantize(const RowOp& op) {
    const CodeBuffer& buffer = run_.program.codes[op.out];
    CodeRowsBuffer& rows = chunk_.buffers->codes[op.out];
    const TokenClass token_class = class_of(run_.runs[op.out], chunk_.begin + row_);
    const float* x = rotated(buffer, at(op.in));
    const float scale = scale_for(buffer, token_class, x);
    const std::int64_t padded = padded_inputs(buffer.width);
    std::int8_t* codes = rows.codes.data() + row_ * padded;
    const RowCodes result = quantize_row(x, buffer.width, scale, codes);
    if (!result.finite) fail_at(x, buffer.width);
    std::fill(codes + buffer.width, codes + padded, std::int8_t{0});
    rows.sums[static_cast<std::size_t>(row_)] = result.sum;
    rows.row_scale[static_cast<std::size_t>(row_)] = static_cast<double>(scale);
    split(buffer, token_class, x, rows);
    marks_.mark(Stage::quantize);
  }

  /// x of the split channels: as it is, or to its own 8 bits and back.
  void split(const CodeBuffer& buffer, TokenClass token_class, const float* x, CodeRowsBuffer& rows) const {
    const InputForm& form = buffer.form;
    double* out = rows.split_x.data() + row_ * std::ssize(form.split_channels);
    for (std::size_t k = 0; k < form.split_channels.size(); ++k) {
      const float value = x[form.split_channels[k]];
      out[k] = static_cast<double>(value);
      if (!form.split_quantized) continue;
      const float scale = scale_of(form.split_scales[k], token_class);
      std::int8_t code = 0;
      quantize_row(&value, 1, scale, &code);
      out[k] = static_cast<double>(code) * static_cast<double>(scale);
    }
  }

  [[noreturn]] void fail_at(const float* x, std::int64_t width) const {
    const auto column = std::find_if(x, x + width, [](float v) { return !std::isfinite(v); }) - x;
    fail(ErrorKind::input, "activation in row ", chunk_.begin + row_, ", column ", column, " is ", x[column],
         "; expected a finite number");
  }

  const ProgramRun& run_;
  const Chunk& chunk_;
  std::int64_t row_;
  ThreadBuffers& thread_;
  Marks& marks_;
};

/// Scales of a chunk's product, run by run.
std::vector<ScaleRun> scale_runs(const ProgramRun& run, const LinearOp& op, const Chunk& chunk) {
  if (run.mode.scaling == Scaling::one_static) return {{chunk.rows, op.linear->largest_scale()}};
  if (run.mode.scaling != Scaling::segments) return {{chunk.rows, op.linear->channel_scale()}};
  std::vector<ScaleRun> scales;
  for (const ClassRun& r : run.runs[op.codes])
    if (r.end > chunk.begin && (scales.empty() || scales.back().end < chunk.rows))
      scales.push_back({std::min(r.end - chunk.begin, chunk.rows), op.linear->class_scale(r.token_class)});
  return scales;
}

void run_product(const ProgramRun& run, const LinearOp& op, const Chunk& chunk, std::int64_t panel_begin,
                 std::int64_t panel_end, ThreadBuffers& thread) {
  const CodeRowsBuffer& in = chunk.buffers->codes[op.codes];
  const std::vector<ScaleRun> scales = scale_runs(run, op, chunk);
  const Slot& slot = run.program.slots[op.out];
  float* out = slot.place == Slot::Place::outside ? run.outside[op.out] + chunk.begin * slot.width
                                                  : chunk.buffers->slots[op.out].data();
  const bool by_row = run.mode.scaling == Scaling::gathered || run.mode.scaling == Scaling::dynamic;
  gemm_packed({in.codes.data(), in.sums.data(), chunk.rows}, op.linear->weight(), panel_begin, panel_end,
              {.runs = scales,
               .row_scale = by_row ? in.row_scale.data() : nullptr,
               .split_x = in.split_x.data(),
               .split_w = op.linear->split_weight().data(),
               .splits = std::ssize(run.program.codes[op.codes].form.split_channels),
               .bias = op.linear->bias()},
              out, slot.width, thread.gemm);
}

}  // namespace

void ChunkBuffers::prepare(const RowProgram& program, std::int64_t rows) {
  const auto grow = [](auto& vector, std::int64_t size) {
    if (std::ssize(vector) < size) vector.resize(static_cast<std::size_t>(size));
  };
  grow(slots, std::ssize(program.slots));
  grow(codes, std::ssize(program.codes));
  for (std::size_t i = 0; i < program.slots.size(); ++i)
    if (program.slots[i].place == Slot::Place::chunk) grow(slots[i], rows * program.slots[i].width);
  for (std::size_t i = 0; i < program.codes.size(); ++i) {
    grow(codes[i].codes, rows * padded_inputs(program.codes[i].width));
    grow(codes[i].sums, rows);
    grow(codes[i].row_scale, rows);
    grow(codes[i].split_x, rows * std::ssize(program.codes[i].form.split_channels));
  }
}

void ThreadBuffers::prepare(const RowProgram& program) {
  if (slots.size() < program.slots.size()) slots.resize(program.slots.size());
  for (std::size_t i = 0; i < program.slots.size(); ++i)
    if (program.slots[i].place == Slot::Place::row && std::ssize(slots[i]) < program.slots[i].width)
      slots[i].resize(static_cast<std::size_t>(program.slots[i].width));
  for (const CodeBuffer& buffer : program.codes)
    if (buffer.hadamard && std::ssize(rotated) < buffer.width)
      rotated.resize(static_cast<std::size_t>(buffer.width));
  seconds = {};
}

void run_row_ops(const ProgramRun& run, const Phase& phase, const Chunk& chunk, std::int64_t first, std::int64_t last,
                 ThreadBuffers& thread) {
  Marks marks(run.mode.clock != nullptr ? &thread.seconds : nullptr);
  for (std::int64_t r = first; r < last; ++r) {
    Row row(run, chunk, r, thread, marks);
    for (const RowOp& op : phase.rows) row.apply(op);
  }
}

std::int64_t panels_of(const Phase& phase) {
  std::int64_t panels = 0;
  for (const LinearOp& op : phase.linears) panels += op.linear->weight().panels();
  return panels;
}

void run_products(const ProgramRun& run, const Phase& phase, const Chunk& chunk, std::int64_t begin, std::int64_t end,
                  ThreadBuffers& thread) {
  Marks marks(run.mode.clock != nullptr ? &thread.seconds : nullptr);
  std::int64_t first = 0;  // panel of this product among those of all
  for (const LinearOp& op : phase.linears) {
    const std::int64_t panels = op.linear->weight().panels();
    const std::int64_t from = std::clamp<std::int64_t>(begin - first, 0, panels),
                       to = std::clamp<std::int64_t>(end - first, 0, panels);
    if (from < to) run_product(run, op, chunk, from, to, thread);
    first += panels;
  }
  marks.mark(Stage::linears);
}

}  // namespace mquant
