// What passes decide about a group has one writer each, by the table.
#include "passes/group_facts.h"

#include <gtest/gtest.h>

#include <functional>

namespace mquant {
namespace {

PassContext running(const char* pass) {
  PassContext ctx;
  ctx.running = &find_pass(pass);
  return ctx;
}

bool is_our_bug(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.kind() == ErrorKind::internal;
  }
  return false;
}

TEST(GroupFacts, AreReadAsTheirOwnerWroteThem) {
  GroupFacts facts;
  EXPECT_EQ(facts.find<SplitChannels>(), nullptr);
  facts.provide(running("suppress"), SplitChannels{.channels = {3, 5}, .columns = {}});
  facts.provide(running("calibrate-scales"),
                InputScales{.scales = {}, .of_split = std::vector<ClassScales>(2)});
  EXPECT_EQ(facts.get<SplitChannels>().channels, (std::vector<std::int64_t>{3, 5}));
  EXPECT_EQ(facts.find<InputScales>()->of_split.size(), 2U);
}

TEST(GroupFacts, AreNotWrittenByOtherPassesNorTwiceNorReadBefore) {
  GroupFacts facts;
  for (const PassInfo& pass : all_passes()) {
    if (pass.name == "calibrate-scales") continue;
    EXPECT_TRUE(is_our_bug([&] { facts.provide(running(pass.name.c_str()), InputScales()); })) << pass.name;
  }
  EXPECT_TRUE(is_our_bug([&] { facts.provide(PassContext(), InputScales()); }));
  EXPECT_TRUE(is_our_bug([&] { facts.get<InputScales>(); }));
  facts.provide(running("calibrate-scales"), InputScales());
  EXPECT_TRUE(is_our_bug([&] { facts.provide(running("calibrate-scales"), InputScales()); }));
}

}  // namespace
}  // namespace mquant
