#include "mquant/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mquant {
namespace {

TEST(Fail, ThrowsOneLineWithTheExitCodeOfItsKind) {
  try {
    fail(ErrorKind::unsupported, "model_type '", "x", "' of ", 3);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "model_type 'x' of 3");
    EXPECT_EQ(error.exit_code(), 4);
  }
}

TEST(InContext, PutsTheContextInFrontAndKeepsTheKind) {
  try {
    in_context("model.safetensors", [] { fail(ErrorKind::input, "no tensor 'a'"); });
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "model.safetensors: no tensor 'a'");
    EXPECT_EQ(error.kind(), ErrorKind::input);
  }
}

TEST(InContext, ReturnsWhatTheWorkReturns) {
  EXPECT_EQ(in_context("x", [] { return 7; }), 7);
}

TEST(Require, IsAnInternalErrorOnlyWhenBroken) {
  EXPECT_NO_THROW(require(true, "never"));
  try {
    require(false, "a promise");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::internal);
  }
}

}  // namespace
}  // namespace mquant
