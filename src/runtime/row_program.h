// A run of row-wise steps, compiled: what is done row by row, what by products, and where each register lies.
//
// Norms, activations, sums and quantization of one row follow each other while the row is in the cache; between them
// stand the products, which take a chunk of rows at a time.  Registers that only row-wise steps of one phase see exist as
// a single row, those that a product reads or writes as a chunk, and only what other steps need as a whole.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/prepared_linear.h"

namespace mquant {

/// A register within a program.
struct Slot {
  enum class Place {
    outside,  ///< a whole tensor, in the batch
    chunk,    ///< the rows of a chunk
    row,      ///< one row at a time
  };
  std::string name;
  std::int64_t width = 0;
  Place place = Place::chunk;
  bool input = false;   // written before the program
  bool output = false;  // read after it
};

struct RowOp {
  enum class Kind { norm, activation, multiply, add, scale, quantize };
  Kind kind = Kind::norm;
  std::size_t out = 0, in = 0, in2 = 0;  // slots; of quantize: out is a code buffer
  const NormWeights* norm = nullptr;
  std::int64_t norm_width = 0;
  Activation activation = Activation::silu;
  float factor = 1;
};

struct LinearOp {
  const PreparedLinear* linear = nullptr;
  std::size_t codes = 0, out = 0;
};

/// Rows first, then products of what they quantized.
struct Phase {
  std::vector<RowOp> rows;
  std::vector<LinearOp> linears;
};

/// Where quantized rows go.
struct CodeBuffer {
  InputForm form;
  RowSet rows = RowSet::all;  // whose classes the rows have
  std::int64_t width = 0;
  std::optional<HadamardPlan> hadamard;
};

struct RowProgram {
  std::vector<Slot> slots;
  std::vector<CodeBuffer> codes;
  std::vector<Phase> phases;
};

/// Linears of a block that run by their codes, by name.
using PreparedLinears = std::map<std::string, PreparedLinear, std::less<>>;

/// Steps [begin, end) of a block.
struct StepRange {
  std::size_t begin = 0, end = 0;
};
/// The runs of row-wise steps within `steps`, over rows of one set, that hold a product by codes.  All other steps are
/// left to nn.
/// @param by_codes  linears that may run by their codes
std::vector<StepRange> row_wise_ranges(const BlockSpec& spec, StepRange steps,
                                       const std::set<std::string, std::less<>>& by_codes);

/// Compiles the steps of such a range.  The program points to the norms of `block` and to `linears`.
RowProgram compile_rows(const Block& block, const PreparedLinears& linears, const StepRange& range);

}  // namespace mquant
