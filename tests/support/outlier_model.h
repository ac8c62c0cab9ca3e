// Tiny checkpoints with the outliers of real ones, which random weights do not have.
#pragma once

#include <cstdint>
#include <filesystem>

namespace mquant::test {

struct Outliers {
  bool massive_first_token =
      false;  ///< its MLP activation is hundreds of times everybody else's, its stream follows
  std::int64_t massive_id = -1;  ///< every token with this id is massive, too, in a unit of its own
  bool wide_norms = false;       ///< scales of the norms before linears from 0.05 to 60
};

/// Copies a golden's model folder to `output` and gives it outliers.
///
/// The first token becomes massive by its position, not its id, as in real models: in the first decoder layer one head
/// attends evenly and tells by its values which share of what a token sees is the first id, and which is other text.
/// Only the first token sees nothing but itself; one hidden unit of the MLP opens for it alone.
void write_outlier_model(const std::filesystem::path& golden, const std::filesystem::path& output,
                         const Outliers& outliers);

}  // namespace mquant::test
