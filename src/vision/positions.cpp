#include "vision/positions.h"

#include <algorithm>
#include <cstddef>

#include "mquant/error.h"

namespace mquant {

MropePositions mrope_positions(std::int64_t tokens, std::span<const PictureSpan> pictures,
                               std::int64_t merge) {
  require(tokens >= 0 && merge > 0, "mrope_positions: ", tokens, " tokens, merge ", merge);
  MropePositions result;
  result.positions.reserve(static_cast<std::size_t>(tokens));
  const auto length = [&result] { return static_cast<std::int64_t>(result.positions.size()); };
  const auto add_text = [&](std::int64_t end) {
    for (; length() < end; ++result.next) result.positions.push_back({result.next, result.next, result.next});
  };
  for (const PictureSpan& picture : pictures) {
    const Grid merged = {picture.grid.t, picture.grid.h / merge, picture.grid.w / merge};
    require(merged.t > 0 && merged.h > 0 && merged.w > 0 && picture.begin >= length() &&
                merged.rows() <= tokens - picture.begin,
            "mrope_positions: a picture of ", merged.t, " x ", merged.h, " x ", merged.w,
            " tokens does not fit at ", picture.begin, " of ", tokens);
    add_text(picture.begin);
    for (std::int64_t t = 0; t < merged.t; ++t)
      for (std::int64_t h = 0; h < merged.h; ++h)
        for (std::int64_t w = 0; w < merged.w; ++w)
          result.positions.push_back({result.next + t, result.next + h, result.next + w});
    result.next += std::max({merged.t, merged.h, merged.w});
  }
  add_text(tokens);
  return result;
}

}  // namespace mquant
