// How a run gets its activation scales, and where its time goes.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "mquant/model.h"

namespace mquant {

/// The scale of an activation row.  The first two give the same bits.
enum class Scaling {
  segments,  ///< MSQ + AIFS: of its class, folded into the scales of the product, one run of rows after another
  gathered,    ///< MSQ: of its class, looked up row by row
  one_static,  ///< one static scale for all rows: the largest of the classes'
  dynamic,     ///< computed from the row at run time
};
std::string_view scaling_name(Scaling scaling);

enum class Stage { quantize, linears, hadamard, attention, rest };
inline constexpr std::size_t kStages = 5;
std::string_view stage_name(Stage stage);
using StageSeconds = std::array<double, kStages>;

/// Wall time by tower and stage; where threads do different things at a time, in proportion to
/// what each did.
struct StageClock {
  std::array<StageSeconds, 3> towers{};  // by Tower
  StageSeconds& of(Tower tower) { return towers[static_cast<std::size_t>(tower)]; }
};

struct RunMode {
  Scaling scaling = Scaling::segments;
  StageClock* clock = nullptr;  // null: not measured
  /// Steps of libtorch run on one thread a sample, several samples at a time: its bits depend on
  /// how many threads share a product.
  bool samples_apart = false;
};

}  // namespace mquant
