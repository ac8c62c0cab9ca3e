// Memory of a program's rows while they are worked on; reused from call to call.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/gemm_packed.h"
#include "runtime/row_program.h"

namespace mquant {

/// Codes of a chunk in one form, and what goes with them.
struct CodeRowsBuffer {
  std::vector<std::int8_t> codes;  // [rows, padded_inputs(width)]
  std::vector<std::int32_t> sums;  // [rows]
  std::vector<double> row_scale;   // [rows]
  std::vector<double> split_x;     // [rows, splits]
};

/// Of one chunk.
struct ChunkBuffers {
  std::vector<std::vector<float>> slots;  // [rows, width] of Place::chunk
  std::vector<CodeRowsBuffer> codes;

  void prepare(const RowProgram& program, std::int64_t rows);
};

/// Of one thread.
struct ThreadBuffers {
  std::vector<std::vector<float>> slots;  // [width] of Place::row
  std::vector<float> rotated;
  GemmScratch gemm;
  StageSeconds seconds{};

  void prepare(const RowProgram& program);
};

}  // namespace mquant
