#include "eval/load_each.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "mquant/compile.h"
#include "mquant/error.h"
#include "pipeline/source.h"

namespace mquant {
namespace {

/// Blocks of so many parameters.
std::vector<BlockSpec> blocks(const std::vector<std::int64_t>& parameters) {
  std::vector<BlockSpec> specs;
  for (const std::int64_t n : parameters) {
    BlockSpec spec;
    spec.params.push_back({.name = "p", .source = {}, .shape = {n}});
    specs.push_back(std::move(spec));
  }
  return specs;
}

/// What is in flight, and the most there was.
struct Flight {
  std::mutex mutex;
  std::int64_t parameters = 0, blocks = 0, most_parameters = 0, most_blocks = 0;
  std::vector<std::size_t> begun;

  void change(std::int64_t by, std::int64_t count) {
    const std::lock_guard lock(mutex);
    parameters += by;
    blocks += count;
    most_parameters = std::max(most_parameters, parameters);
    most_blocks = std::max(most_blocks, blocks);
  }
};

void fly(const std::vector<std::int64_t>& parameters, Flight& flight) {
  load_each(blocks(parameters), [&](std::size_t i) {
    {
      const std::lock_guard lock(flight.mutex);
      flight.begun.push_back(i);
    }
    flight.change(parameters[i], 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    flight.change(-parameters[i], -1);
  });
}

TEST(LoadEach, HoldsNoMoreThanTheLargestBlockInFlight) {
  apply({.threads = 4});
  const std::vector<std::int64_t> parameters = {3, 10, 3, 3, 40, 40, 9, 9, 9, 9, 9, 9};
  Flight flight;
  fly(parameters, flight);
  EXPECT_EQ(flight.begun.size(), parameters.size());
  EXPECT_EQ(flight.most_parameters, 40);
  EXPECT_GE(flight.most_blocks, 2) << "small blocks come together";
}

TEST(LoadEach, NoSmallBlockOvertakesALargeOne) {
  apply({.threads = 4});
  Flight flight;
  fly({1, 20, 1, 19, 1, 18, 1}, flight);
  const std::vector<std::size_t> first(flight.begun.begin(), flight.begun.begin() + 3);
  EXPECT_EQ(first, (std::vector<std::size_t>{1, 3, 5}));
}

TEST(LoadEach, BeginsWithTheLargest) {
  apply({.threads = 1});
  Flight flight;
  fly({3, 10, 7, 10, 50}, flight);
  EXPECT_EQ(flight.begun, (std::vector<std::size_t>{4, 1, 3, 2, 0}));
}

TEST(LoadEach, TellsTheErrorOfTheFirstBlock) {
  for (const int threads : {1, 3}) {
    apply({.threads = threads});
    std::atomic<int> tried = 0;
    try {
      load_each(blocks({3, 10, 7}), [&](std::size_t i) {
        ++tried;
        if (i != 1) fail(ErrorKind::input, "block ", i);
      });
      ADD_FAILURE() << "expected an error";
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "block 0");
    }
    EXPECT_EQ(tried, 3);
  }
}

}  // namespace
}  // namespace mquant
