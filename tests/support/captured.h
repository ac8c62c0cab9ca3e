// What a piece of work writes.
#pragma once

#include <gtest/gtest.h>

#include <string>

namespace mquant::test {

/// To stderr, which is a file meanwhile and not a terminal.
template <class Work>
std::string stderr_of(Work&& work) {
  testing::internal::CaptureStderr();
  work();
  return testing::internal::GetCapturedStderr();
}

}  // namespace mquant::test
