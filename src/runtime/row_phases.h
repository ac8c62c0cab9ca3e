// The two halves of a phase: operations on one row, and products of a chunk.
#pragma once

#include <optional>
#include <vector>

#include "runtime/row_buffers.h"

namespace mquant {

/// Rows of one class, up to `end`.
struct ClassRun {
  std::int64_t end = 0;
  TokenClass token_class = TokenClass::text;
};

/// All that a program runs on.
struct ProgramRun {
  const RowProgram& program;
  const BlockSpec& spec;
  RunMode mode;
  std::int64_t rows = 0;
  std::vector<float*> outside;               // by slot: [rows, width]; null for other places
  std::vector<std::vector<ClassRun>> runs;   // by code buffer
};

/// Rows [begin, begin + rows) of the run, and their buffers.
struct Chunk {
  std::int64_t begin = 0, rows = 0;
  ChunkBuffers* buffers = nullptr;
};

/// Operations of a phase on rows [first, last) of a chunk.
void run_row_ops(const ProgramRun& run, const Phase& phase, const Chunk& chunk, std::int64_t first, std::int64_t last,
                 ThreadBuffers& thread);

/// Panels of all products of a phase, one after another.
std::int64_t panels_of(const Phase& phase);
/// Products of a phase, restricted to panels [begin, end) of them all.
void run_products(const ProgramRun& run, const Phase& phase, const Chunk& chunk, std::int64_t begin, std::int64_t end,
                  ThreadBuffers& thread);

}  // namespace mquant
