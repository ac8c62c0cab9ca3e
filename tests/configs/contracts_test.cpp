// What passes need of each other is in their table, and recipes that break it are refused when they are read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "mquant/error.h"
#include "mquant/pass_table.h"
#include "mquant/recipe.h"

namespace mquant {
namespace {

using Json = nlohmann::json;
using Names = std::vector<std::string>;

Recipe read(const Json& schemes, const Json& passes) {
  return parse_recipe(Json{{"schemes", schemes}, {"passes", passes}}.dump(), "r.json");
}

Json with_defaults(const Names& names) {
  Json passes = Json::array();
  for (const std::string& name : names) passes.push_back({{"pass", name}});
  return passes;
}

std::string refusal(const Json& schemes, const Json& passes) {
  try {
    read(schemes, passes);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage) << error.what();
    return error.what();
  }
  return "accepted";
}

const Json kW4A8 = {{"decoder", "w4a8"}};

TEST(Contracts, HoldInTheOrderOfTheTable) {
  Names names;
  for (const PassInfo& pass : all_passes()) names.push_back(pass.name);
  EXPECT_EQ(read(kW4A8, with_defaults(names)).passes.size(), names.size());
}

TEST(Contracts, EachFactHasOneOwnerAndAName) {
  for (std::size_t i = 0; i < kFacts.size(); ++i) {
    const Fact fact = kFacts[i].fact;
    EXPECT_EQ(static_cast<std::size_t>(fact), i);
    EXPECT_FALSE(kFacts[i].summary.empty());
    EXPECT_EQ(std::ranges::count_if(all_passes(), [&](const PassInfo& pass) { return pass.owns(fact); }), 1)
        << fact_name(fact);
  }
}

TEST(Contracts, ConditionsOfNeedsAreBooleanOptions) {
  for (const PassInfo& pass : all_passes())
    for (const Need& need : pass.needs)
      for (const std::string& name : need.with) {
        const auto option = std::ranges::find(pass.options, name, &PassOption::name);
        ASSERT_NE(option, pass.options.end()) << pass.name << "." << name;
        EXPECT_TRUE(Json::parse(option->fallback).is_boolean()) << pass.name << "." << name;
      }
}

struct Refused {
  Names passes;
  std::string message;
};

TEST(Contracts, OrdersThatBreakOneAreRefusedWithTheOrderThatWorks) {
  const std::vector<Refused> cases = {
      {{"calibrate-scales", "round", "smooth"},
       "r.json: 'smooth' stands after 'calibrate-scales', whose input scales would not hold: put 'smooth' "
       "before 'calibrate-scales'; an order that works: smooth, calibrate-scales, round"},
      {{"calibrate-scales", "smooth", "round"},
       "r.json: 'smooth' stands after 'calibrate-scales', whose input scales would not hold: put 'smooth' "
       "before 'calibrate-scales'; an order that works: smooth, calibrate-scales, round"},
      {{"rotate-online", "calibrate-scales", "suppress", "round"},
       "r.json: 'suppress' stands after 'calibrate-scales', whose input scales would not hold: put "
       "'suppress' "
       "before 'calibrate-scales'; an order that works: rotate-online, suppress, calibrate-scales, round"},
      {{"calibrate-scales", "round", "rotate-online"},
       "r.json: 'rotate-online' stands after 'calibrate-scales', whose input scales would not hold: put "
       "'rotate-online' before 'calibrate-scales'; an order that works: rotate-online, calibrate-scales, "
       "round"},
      {{"round", "calibrate-scales"},
       "r.json: 'calibrate-scales' stands after 'round', whose codes would not hold: put 'calibrate-scales' "
       "before 'round'; an order that works: calibrate-scales, round"},
      {{"bake-means", "fold-norms", "calibrate-scales", "round"},
       "r.json: 'bake-means' needs folded norms before it: move 'fold-norms' there; an order "
       "that works: fold-norms, bake-means, calibrate-scales, round"},
      {{"rotate", "calibrate-scales", "round"},
       "r.json: 'rotate' needs folded norms before it: add 'fold-norms' there; an order that "
       "works: fold-norms, bake-means, rotate, calibrate-scales, round"},
      {{"fold-norms", "rotate", "calibrate-scales", "round"},
       "r.json: 'rotate' needs centered stream before it: add 'bake-means' there; an order "
       "that works: fold-norms, bake-means, rotate, calibrate-scales, round"},
      {{"fold-norms", "rotate-online", "suppress", "round"},
       "r.json: scheme w4a8 of 'decoder' needs input scales, and no pass provides them: add "
       "'calibrate-scales'; "
       "an order that works: fold-norms, rotate-online, suppress, calibrate-scales, round"},
      {{},
       "r.json: scheme w4a8 of 'decoder' needs input scales, and no pass provides them: add "
       "'calibrate-scales'; an order that works: calibrate-scales, round"},
      {{"calibrate-scales"},
       "r.json: scheme w4a8 of 'decoder' needs codes, and no pass provides them: add 'round'; an order that "
       "works: calibrate-scales, round"},
  };
  for (const Refused& refused : cases)
    EXPECT_EQ(refusal(kW4A8, with_defaults(refused.passes)), refused.message);
}

TEST(Contracts, EveryRoleThatIsNotFloatAsksForCodesAndEightBitInputsForScales) {
  for (const PassOption& role : scheme_options())
    for (const std::string& scheme : role.choices) {
      SCOPED_TRACE(role.name + " " + scheme);
      const Json schemes = {{role.name, scheme}};
      const bool follows = scheme == "float" || scheme == "tied", inputs = scheme.ends_with("a8");
      EXPECT_EQ(refusal(schemes, with_defaults({})) == "accepted", follows);
      EXPECT_EQ(refusal(schemes, with_defaults({"calibrate-scales"})) == "accepted", follows);
      EXPECT_EQ(refusal(schemes, with_defaults({"round"})) == "accepted", !follows && !inputs);
      EXPECT_EQ(refusal(schemes, with_defaults({"calibrate-scales", "round"})) == "accepted", !follows);
    }
}

TEST(Contracts, RoundHasSomethingToRound) {
  EXPECT_EQ(
      refusal(Json::object(), with_defaults({"round"})),
      "r.json: every scheme is float, and 'round' has nothing to do: set one in 'schemes', or drop the pass");
}

TEST(Contracts, NeedsFollowOptions) {
  const auto rotate = [](bool vision, bool decoder) {
    return Json{{{"pass", "rotate"}, {"vision", vision}, {"decoder", decoder}}};
  };
  EXPECT_EQ(refusal(Json::object(), rotate(false, false)), "accepted");
  EXPECT_THAT(refusal(Json::object(), rotate(false, true)),
              testing::HasSubstr("order that works: fold-norms, rotate"));
  EXPECT_THAT(refusal(Json::object(), rotate(true, false)),
              testing::HasSubstr("order that works: fold-norms, bake-means, rotate"));
}

TEST(Contracts, WhatNoPassRestrictsMayStandAnywhere) {
  for (const Names& names : std::vector<Names>{{"order-tokens", "calibrate-scales", "round", "calibrate-kv"},
                                               {"calibrate-kv", "calibrate-scales", "round", "order-tokens"}})
    EXPECT_EQ(refusal(kW4A8, with_defaults(names)), "accepted");
}

}  // namespace
}  // namespace mquant
