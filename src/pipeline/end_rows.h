// The ends of a decoder, worked on in runs of rows: a vocabulary may hold more numbers than all
// that a block does.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "mquant/artifact.h"
#include "mquant/block.h"
#include "mquant/pass.h"

namespace mquant {

/// A block in float32, to run a few samples through the model as it is; a table of embeddings
/// stays in its own type, since run_step widens the rows that it takes.
Block load_to_run(const Checkpoint& checkpoint, const ModelSpec& model, const BlockSpec& spec);

struct RowRun {
  std::int64_t begin = 0, count = 0;
};
/// Runs that cover an end of so many rows, each of about 64 MiB in float64.
std::vector<RowRun> runs_of_end(const BlockSpec& end, std::int64_t rows);

/// Puts the runs of an end together again, in order.
class EndRows {
 public:
  EndRows(const BlockSpec& end, std::int64_t rows) : spec_(end), rows_(rows) {}

  /// @param block    one run, final; its weights still there beside the codes
  /// @param stored   the same, as it is stored
  /// @param figures  of the run's linears and tables
  void add(const Block& block, StoredBlock stored, const std::map<std::string, Figures>& figures);
  /// The whole end, with its figures.
  StoredBlock take();

 private:
  struct Squares {
    double signal = 0, noise = 0;
  };

  const BlockSpec& spec_;
  std::int64_t rows_;
  StoredBlock whole_;
  std::map<std::string, Squares> squares_;  // behind "weight_sqnr_db"
};

}  // namespace mquant
