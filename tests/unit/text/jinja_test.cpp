// Templates: what they refuse and where, and that every one ends.  (Output beside jinja2: tests/templates.)
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "mquant/error.h"
#include "text/jinja/template.h"

namespace mquant {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using OrderedJson = nlohmann::ordered_json;

std::string render(const std::string& text, const OrderedJson& variables = OrderedJson::object(),
                   std::optional<jinja::Date> today = std::nullopt) {
  return jinja::Template::parse(text, "t").render(variables, today);
}

std::string complaint(ErrorKind kind, const std::string& text,
                      const OrderedJson& variables = OrderedJson::object()) {
  try {
    return "rendered: " + render(text, variables);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << text.substr(0, 200) << ": " << error.what();
    return error.what();
  }
}

std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

TEST(Jinja, SaysWhereWhatItDoesNotKnowStands) {
  const auto unsupported = [](const std::string& text) { return complaint(ErrorKind::unsupported, text); };
  EXPECT_THAT(unsupported("a\n {% include 'x' %}"),
              StartsWith("t: line 2, column 5: the tag 'include' is not supported"));
  EXPECT_THAT(unsupported("{{ x|wordwrap }}"), StartsWith("t: line 1, column 6: the filter 'wordwrap'"));
  EXPECT_THAT(unsupported("{{ x is escaped }}"), HasSubstr("the test 'escaped'"));
  EXPECT_THAT(unsupported("\n{{ 'a'.encode() }}"),
              StartsWith("t: line 2, column 7: the attribute 'encode' of 'str'"));
  EXPECT_THAT(unsupported("{% for a in [] recursive %}{% endfor %}"), HasSubstr("recursive loops"));
  EXPECT_THAT(unsupported("{{ f(*x) }}"), HasSubstr("arguments from a list"));
  EXPECT_THAT(unsupported("{{ ''.__class__ }}"), HasSubstr("'__class__'"));
  EXPECT_THAT(unsupported("{{ 2 ** 64 }}"), HasSubstr("63 bits"));
  EXPECT_THAT(unsupported("{{ ('a'|safe) + 'b' }}"), HasSubstr("'safe'"));
}

TEST(Jinja, SaysWhereATemplateIsBroken) {
  const auto broken = [](const std::string& text) { return complaint(ErrorKind::input, text); };
  EXPECT_THAT(broken("{{ a "), StartsWith("t: line 1, column 1: '{{' without its end"));
  EXPECT_THAT(broken("\n{% if a %}b"), HasSubstr("expected {% endif %}, found the end of the template"));
  EXPECT_THAT(broken("{% endfor %}"), HasSubstr("without its beginning"));
  EXPECT_THAT(broken("{{ 'abc }}"), StartsWith("t: line 1, column 4: a string without an end"));
  EXPECT_THAT(broken("{{ (1] }}"), HasSubstr("unexpected ']'"));
  EXPECT_THAT(broken("{# x"), HasSubstr("a comment without an end"));
  EXPECT_THAT(broken("{% raw %}x"), HasSubstr("{% raw %} without {% endraw %}"));
  EXPECT_THAT(broken("{{ }}"), HasSubstr("expected an expression"));
  EXPECT_THAT(broken("{% break %}"), HasSubstr("outside of a loop"));
  EXPECT_THAT(broken("\xff"), HasSubstr("not UTF-8 at byte 0"));
}

TEST(Jinja, RefusesWhatJinjaRaises) {
  const auto raised = [](const std::string& text) { return complaint(ErrorKind::input, text); };
  EXPECT_THAT(raised("{{ raise_exception('roles must alternate') }}"),
              StartsWith("t: line 1, column 19: the template refuses: roles must alternate"));
  EXPECT_THAT(raised("{{ x.y }}"), HasSubstr("'x' is undefined"));
  EXPECT_THAT(raised("{{ {}.y.z }}"), HasSubstr("'dict object' has no attribute 'y'"));
  EXPECT_THAT(raised("{{ 'a' + 1 }}"), HasSubstr("'str' and 'int'"));
  EXPECT_THAT(raised("{{ none|length }}"), HasSubstr("'NoneType' has no len()"));
  EXPECT_THAT(raised("{{ [].append(1) }}"), HasSubstr("unsafe"));
}

TEST(Jinja, DatesAreThoseThatAreStated) {
  EXPECT_THAT(complaint(ErrorKind::unsupported, "{{ strftime_now('%d %b %Y') }}"), HasSubstr("today's date"));
  EXPECT_EQ(render("{{ strftime_now('%d %b %Y|%B|%Y-%m-%d %y%%') }}", OrderedJson::object(),
                   jinja::Date{2024, 7, 6}),
            "06 Jul 2024|July|2024-07-06 24%");
  EXPECT_EQ(render("{{ strftime_now is defined }}"), "True");
}

TEST(Jinja, EveryTemplateEnds) {
  const auto ends = [](const std::string& text) { return complaint(ErrorKind::input, text); };
  const std::string loop = "{% for a in range(100000) %}";
  EXPECT_THAT(ends(repeated(loop, 3) + repeated("{% endfor %}", 3)), HasSubstr("steps"));
  EXPECT_THAT(ends("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), HasSubstr("levels deep"));
  EXPECT_THAT(ends("{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}"), HasSubstr("levels deep"));
  EXPECT_THAT(ends("{{ 'ab' * 100000000000 }}"), HasSubstr("bytes"));
  EXPECT_THAT(ends("{{ [1] * 100000000000 }}"), HasSubstr("items"));
  EXPECT_THAT(ends("{{ range(10000000000) }}"), HasSubstr("items"));
  EXPECT_THAT(ends("{{ ('x' * 9000000)|replace('x', 'yyyyyyyy') }}"), HasSubstr("bytes"));
  EXPECT_THAT(ends(loop + "{{ 'x' * 1000 }}{% endfor %}"), HasSubstr("in a template"));
  // Lists that share their items: exponential when they are written out or compared.
  const std::string doubled =
      "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(60) %}"
      "{% set ns.a = [ns.a, ns.a] %}{% set ns.b = [ns.b, ns.b] %}{% endfor %}";
  EXPECT_THAT(ends(doubled + "{{ ns.a == ns.b }}"), HasSubstr("items"));
  EXPECT_THAT(ends("{% set ns = namespace(a=[]) %}" + loop + "{% set ns.a = [ns.a] %}{% endfor %}"),
              HasSubstr("levels"));
}

TEST(Jinja, NestingIsBounded) {
  const auto refused = [](const std::string& text) {
    try {
      render(text);
    } catch (const Error& error) {
      return error.kind() == ErrorKind::unsupported || error.kind() == ErrorKind::input;
    }
    return false;
  };
  constexpr int kMany = 50'000;
  for (const auto& [open, close] : {std::pair{"(", ")"},
                                    {"[", "]"},
                                    {"{1:", "}"},
                                    {"-", ""},
                                    {"not ", ""},
                                    {"x(", ")"},
                                    {"x[", "]"},
                                    {"1+", ""},
                                    {"1 if ", ""}})
    EXPECT_TRUE(refused("{{ " + repeated(open, kMany) + "1" + repeated(close, kMany) + " }}")) << open;
  for (const char* chain : {"+1", "~1", ".a", "|list", " and 1", " is defined", "[0]", "()"})
    EXPECT_TRUE(refused("{{ 1" + repeated(chain, kMany) + " }}") || std::string(chain) == "~1") << chain;
  EXPECT_TRUE(refused(repeated("{% if 1 %}", kMany) + repeated("{% endif %}", kMany)));
  EXPECT_TRUE(
      refused("{% for " + repeated("(", kMany) + "a" + repeated(")", kMany) + " in [] %}{% endfor %}"));
}

TEST(Jinja, AMacroOutlivesTheBlockThatDefinedIt) {
  EXPECT_EQ(render("{% set ns = namespace() %}{% for i in [7] %}{% macro m() %}{{ i }}{% endmacro %}"
                   "{% set ns.m = m %}{% set ns.l = loop %}{% set ns.ns = ns %}{% endfor %}{{ ns.ns.m() }}"
                   "{{ ns.l.index }}{{ ns.l.last }}"),
            "71True");
}

TEST(Jinja, KnowsTheWordsOfATemplate) {
  const auto tree = jinja::Template::parse("tools {{ a.b['c'] if d is defined }}", "t");
  for (const char* word : {"a", "b", "c", "d"}) EXPECT_TRUE(tree.mentions(word)) << word;
  EXPECT_FALSE(tree.mentions("tools"));
}

}  // namespace
}  // namespace mquant
