#include "runtime/row_runner.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace mquant::test {
namespace {

TEST(RowShares, CoverAllRowsOnceInChunksOfAboutEqualSize) {
  for (const std::int64_t threads : {1, 2, 3, 16})
    for (const std::int64_t rows : {1, 2, 63, 64, 127, 128, 129, 1074, 4096}) {
      const RowShares shares = share_rows(rows, threads);
      EXPECT_EQ(shares.begin(0, rows), 0);
      EXPECT_EQ(shares.begin(shares.chunks, rows), rows);
      for (std::int64_t c = 0; c < shares.chunks; ++c) {
        const std::int64_t size = shares.begin(c + 1, rows) - shares.begin(c, rows);
        EXPECT_LE(size, 128) << rows << " rows, " << threads << " threads";
        EXPECT_LE(std::abs(size * shares.chunks - rows), shares.chunks);
      }
      EXPECT_TRUE(shares.by_outputs || shares.chunks % threads == 0) << rows << " rows";
    }
}

TEST(RowShares, AreOfOutputsWhereRowsAreFew) {
  EXPECT_TRUE(share_rows(1, 2).by_outputs);
  EXPECT_FALSE(share_rows(1074, 2).by_outputs);
  EXPECT_FALSE(share_rows(1, 1).by_outputs) << "one thread has nobody to share with";
}

}  // namespace
}  // namespace mquant::test
