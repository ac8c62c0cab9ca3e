// Runs a compiled run of row-wise steps over the rows of a batch, on all threads.
#pragma once

#include "runtime/batch.h"
#include "runtime/row_program.h"

namespace mquant {

/// How `threads` share `rows` out.
struct RowShares {
  bool by_outputs = false;  ///< all threads work on one chunk at a time and split the outputs of its products
  std::int64_t chunks = 1;  ///< of about equal size; with rows shared out, a whole multiple of the threads
  std::int64_t begin(std::int64_t chunk, std::int64_t rows) const { return rows * chunk / chunks; }
};
RowShares share_rows(std::int64_t rows, std::int64_t threads);

/// Reads the program's inputs from the batch and puts its outputs there.
///
/// Many rows: each thread takes chunks of rows through all phases, and nothing waits.  Few rows: a chunk at a time, its
/// rows and the outputs of its products split over the threads, so that a weight is read once.  Both give the same bits.
///
/// @throws Error{input} for a row that is not finite, or of a class without a static scale
void run_rows(const RowProgram& program, const BlockSpec& spec, Batch& batch, const RunMode& mode);

}  // namespace mquant
