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

std::string unsupported(const std::string& text) { return complaint(ErrorKind::unsupported, text); }
std::string refused(const std::string& text) { return complaint(ErrorKind::input, text); }

TEST(Jinja, SaysWhereWhatItDoesNotKnowStands) {
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
  EXPECT_THAT(unsupported("{{ 1e999 }}"), HasSubstr("beyond those of 64 bits"));
  EXPECT_THAT(unsupported("{{ '\u00df'|upper }}"), HasSubstr("the upper case of '\\xdf' is not supported"));
  EXPECT_THAT(unsupported("{{ '\\\u00e9' }}"), HasSubstr("a backslash before a character beyond ASCII"));
  EXPECT_THAT(unsupported("{{ []|tojson(indent=1001) }}"),
              HasSubstr("an indent of 1001: expected at most 1000"));
}

TEST(Jinja, RefusesToEscapeBesideASafeText) {
  for (const char* text :
       {"('a'|safe) + 'b'", "'b' + ('a'|safe)", "[['a'|safe]|first + 'b']", "('%s'|safe) % 1",
        "('%s'|safe)|format(1)", "('{}'|safe).format(1)", "('a'|safe).replace('a', 'b')",
        "('a'|safe).join(['b'])", "('a'|safe).strip('a')", "('a'|safe)|trim('a')", "('a'|safe)|string + 'b'",
        "('ab'|safe)[1:] + 'b'", "('a b'|safe).split()[0] + 'b'", "('a'|safe)|upper + 'b'",
        "('ab'|safe)|last + 'b'", "('a'|safe) * 2 + 'b'", "'a'|indent('>'|safe)",
        "[]|tojson(indent=' '|safe)", "[]|tojson(separators=(','|safe, ':'))"})
    EXPECT_THAT(unsupported(cat("{{ ", text, " }}")), HasSubstr("with a text of the filter 'safe'")) << text;
  for (const char* name : {"escape", "striptags", "unescape"})
    EXPECT_THAT(unsupported(cat("{{ ('a'|safe).", name, "() }}")), HasSubstr(name));
  EXPECT_EQ(render("{{ ('ab'|safe)|first + 'b' }}{{ (1|safe) ~ '<' + 'b' }}"), "ab1<b");
}

/// Jinja gives what no parameter takes to a macro that reads these; one that does not refuses it.
TEST(Jinja, RefusesAMacroThatTakesAnyArguments) {
  EXPECT_THAT(unsupported("{% macro m(a) %}\n{{ varargs }}{% endmacro %}{{ m(1, 2) }}"),
              StartsWith("t: line 2, column 4: 'varargs' in a macro is not supported"));
  EXPECT_THAT(unsupported("{% macro m(a) %}{{ kwargs.b }}{% endmacro %}{{ m(1, b=2) }}"),
              HasSubstr("'kwargs'"));
  EXPECT_THAT(unsupported("{% macro m(caller=1) %}{{ caller }}{% endmacro %}"), HasSubstr("'caller'"));
  EXPECT_THAT(unsupported("{% set varargs = 1 %}{% macro m() %}{{ varargs }}{% endmacro %}"),
              HasSubstr("'varargs'"));
  EXPECT_THAT(refused("{% macro m(a) %}{{ a.kwargs }}{% endmacro %}{{ m(1, 2) }}"),
              HasSubstr("takes not more than 1 arguments"));
  EXPECT_EQ(
      render("{% macro m(kwargs) %}{% set varargs = 2 %}{{ kwargs }}{{ varargs }}{% endmacro %}{{ m(1) }}"),
      "12");
}

TEST(Jinja, SaysWhereATemplateIsBroken) {
  EXPECT_THAT(refused("{{ a "), StartsWith("t: line 1, column 1: '{{' without its end"));
  EXPECT_THAT(refused("\n{% if a %}b"), HasSubstr("expected {% endif %}, found the end of the template"));
  EXPECT_THAT(refused("{% endfor %}"), HasSubstr("without its beginning"));
  EXPECT_THAT(refused("{{ 'abc }}"), StartsWith("t: line 1, column 4: a string without an end"));
  EXPECT_THAT(refused("{{ (1] }}"), HasSubstr("unexpected ']'"));
  EXPECT_THAT(refused("{# x"), HasSubstr("a comment without an end"));
  EXPECT_THAT(refused("{% raw %}x"), HasSubstr("{% raw %} without {% endraw %}"));
  EXPECT_THAT(refused("{{ }}"), HasSubstr("expected an expression"));
  EXPECT_THAT(refused("{% break %}"), HasSubstr("outside of a loop"));
  EXPECT_THAT(refused("\xff"), HasSubstr("not UTF-8 at byte 0"));
}

TEST(Jinja, RefusesWhatJinjaRaises) {
  EXPECT_THAT(refused("{{ raise_exception('roles must alternate') }}"),
              StartsWith("t: line 1, column 19: the template refuses: roles must alternate"));
  EXPECT_THAT(refused("{{ x.y }}"), HasSubstr("'x' is undefined"));
  EXPECT_THAT(refused("{{ {}.y.z }}"), HasSubstr("'dict object' has no attribute 'y'"));
  EXPECT_THAT(refused("{{ 'a' + 1 }}"), HasSubstr("'str' and 'int'"));
  EXPECT_THAT(refused("{{ none|length }}"), HasSubstr("'NoneType' has no len()"));
  EXPECT_THAT(refused("{{ [].append(1) }}"), HasSubstr("unsafe"));
  EXPECT_THAT(refused("{{ 1 > 'a' }}"), HasSubstr("'>' not supported between instances of 'int' and 'str'"));
  EXPECT_THAT(refused("{{ 'a' <= 1 }}"),
              HasSubstr("'<=' not supported between instances of 'str' and 'int'"));
  EXPECT_THAT(refused("{{ range() }}"), HasSubstr("range(): expected 1 to 3 arguments, found none"));
  EXPECT_THAT(refused("{{ range(1, 2, 0) }}"), HasSubstr("range(): the step must not be zero"));
  EXPECT_THAT(refused("{{ range(none) }}"), HasSubstr("expected an integer, found 'NoneType'"));
  EXPECT_THAT(refused("{{ 'a,b'.split(',', none) }}"), HasSubstr("expected an integer, found 'NoneType'"));
  EXPECT_THAT(refused("{{ '{} {0}'.format(1) }}"), HasSubstr("a format with both '{}' and '{0}'"));
  EXPECT_THAT(refused("{{ 10.0 ** 400 }}"), HasSubstr("a power beyond the largest float"));
}

TEST(Jinja, DatesAreThoseThatAreStated) {
  EXPECT_THAT(complaint(ErrorKind::unsupported, "{{ strftime_now('%d %b %Y') }}"), HasSubstr("today's date"));
  EXPECT_EQ(render("{{ strftime_now('%d %b %Y|%B|%Y-%m-%d %y%%') }}", OrderedJson::object(),
                   jinja::parse_date("2024-07-06")),
            "06 Jul 2024|July|2024-07-06 24%");
  EXPECT_EQ(render("{{ strftime_now('%A %a %-d %j %U %F') }}", OrderedJson::object(),
                   jinja::parse_date("2024-02-29")),
            "Thursday Thu 29 060 08 2024-02-29");
  for (const char* form : {"%H:%M", "%", "%-", "%Q"})
    EXPECT_THROW(render(cat("{{ strftime_now('", form, "') }}"), OrderedJson::object(),
                        jinja::parse_date("2024-07-06")),
                 Error)
        << form;
  EXPECT_EQ(render("{{ strftime_now is defined }}"), "True");
  for (const char* date : {"", "2024-13-06", "2023-02-29", "2024-7-6", "24-07-06", "2024/07/06", "0999-01-01",
                           "2024-07-06 ", "+024-07-06", "2024-07-0a"})
    EXPECT_FALSE(jinja::parse_date(date)) << date;
}

TEST(Jinja, CharactersOfATextAreCounted) {
  for (const char* use : {"{% for c in s %}{% break %}{% endfor %}", "{{ s[::2] | length }}",
                          "{{ s | last }}", "{{ (s | reverse) | length }}"})
    EXPECT_THAT(refused(cat("{% set s = 'aaaa' * 100000 %}{% for i in range(9) %}", use, "{% endfor %}")),
                HasSubstr("steps"))
        << use;
  EXPECT_EQ(render("{% set n = namespace() %}{% for c in 'abc' %}{% set n.l = loop %}{% break %}{% endfor %}"
                   "{{ n.l.length }}{{ n.l.nextitem }}{{ n.l.last }}"),
            "3bFalse");
}

TEST(Jinja, EveryTemplateEnds) {
  const std::string loop = "{% for a in range(100000) %}";
  EXPECT_THAT(refused(repeated(loop, 3) + repeated("{% endfor %}", 3)), HasSubstr("steps"));
  EXPECT_THAT(refused("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), HasSubstr("levels deep"));
  EXPECT_THAT(refused("{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}"), HasSubstr("levels deep"));
  EXPECT_THAT(refused("{{ 'ab' * 100000000000 }}"), HasSubstr("bytes"));
  EXPECT_THAT(refused("{{ [1] * 100000000000 }}"), HasSubstr("items"));
  EXPECT_THAT(refused("{{ range(10000000000) }}"), HasSubstr("items"));
  EXPECT_THAT(refused("{{ ('x' * 9000000)|replace('x', 'yyyyyyyy') }}"), HasSubstr("bytes"));
  EXPECT_THAT(refused(loop + "{{ 'x' * 1000 }}{% endfor %}"), HasSubstr("in a template"));
  // Lists that share their items: exponential when they are written out or compared.
  const std::string doubled =
      "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(60) %}"
      "{% set ns.a = [ns.a, ns.a] %}{% set ns.b = [ns.b, ns.b] %}{% endfor %}";
  EXPECT_THAT(refused(doubled + "{{ ns.a == ns.b }}"), HasSubstr("items"));
  EXPECT_THAT(refused("{% set ns = namespace(a=[]) %}" + loop + "{% set ns.a = [ns.a] %}{% endfor %}"),
              HasSubstr("more than 100 levels"));
}

TEST(Jinja, NoValueNestsWithoutBound) {
  const std::string loop = "{% for i in range(100000) %}";
  EXPECT_THAT(refused("{% set ns = namespace(a=[]) %}" + loop + "{% set ns.a = [ns.a].index %}{% endfor %}"),
              HasSubstr("more than 100 levels"));
  const std::string kept = "{% set ns = namespace(x=1) %}{% for i in range(50000) %}{% for a in [ns.x] %}";
  EXPECT_EQ(render(kept + "{% set ns.x = loop %}{% endfor %}{% endfor %}done"), "done");
  EXPECT_EQ(render(kept + "{% set ns.x = loop.cycle %}{% endfor %}{% endfor %}done"), "done");
  EXPECT_EQ(render("{% for a in [1] %}{{ loop.changed(loop) }}{% endfor %}"), "True");  // holds itself
}

TEST(Jinja, LongTextsCostWhatTheyWeigh) {
  EXPECT_THAT(refused("{{ range(100000)|map(attribute='x'*16000000)|list|length }}"), HasSubstr("steps"));
  EXPECT_THAT(refused("{{ range(100000)|map(attribute='.'*16000000)|list|length }}"),
              HasSubstr("has no attribute"));
  EXPECT_THAT(refused("{{ {}['x' * 1000000].y }}"), testing::SizeIs(testing::Lt(200U)));
  EXPECT_THAT(refused("{{ ('x' * 16000000)|list }}"), HasSubstr("expected at most 1000000, found 16000000"));
  EXPECT_THAT(refused("{{ ('x,' * 8000000).split(',') }}"), HasSubstr("more than 1000000 parts"));
  // Searching is linear: each of these takes hours otherwise.
  const std::string text = "('x' * 16000000)", front = "('y' ~ 'x' * 8000000)",
                    back = "('x' * 8000000 ~ 'y')";
  EXPECT_EQ(render("{{ " + back + " in " + text + " }}"), "False");
  EXPECT_EQ(render("{{ " + text + ".find(" + back + ") }}"), "-1");
  EXPECT_EQ(render("{{ " + text + ".rfind(" + front + ") }}"), "-1");
  EXPECT_EQ(render("{{ " + text + ".rsplit(" + front + ")|length }}"), "1");
  EXPECT_EQ(render("{{ " + text + ".strip('y' * 1000000 ~ 'x')|length }}"), "0");
}

TEST(Jinja, NestingIsBounded) {
  constexpr int kMany = 40'000;
  const std::string expression = "an expression of more than 100 levels is not supported";
  for (const auto& [open, close] : {std::pair{"(", ")"},
                                    {"[", "]"},
                                    {"{1:", "}"},
                                    {"-", ""},
                                    {"not ", ""},
                                    {"x(", ")"},
                                    {"x[", "]"},
                                    {"1+", ""},
                                    {"1 if 1 else ", ""}})
    EXPECT_THAT(unsupported("{{ " + repeated(open, kMany) + "1" + repeated(close, kMany) + " }}"),
                HasSubstr(expression))
        << open;
  for (const char* chain : {"+1", ".a", "|list", " and 1", "[0]", "()"})
    EXPECT_THAT(unsupported("{{ 1" + repeated(chain, kMany) + " }}"), HasSubstr(expression)) << chain;
  EXPECT_EQ(render("{{ 1" + repeated("~1", kMany) + " }}"), repeated("1", kMany + 1));
  EXPECT_THAT(unsupported(repeated("{% if 1 %}", kMany) + repeated("{% endif %}", kMany)),
              HasSubstr("tags nested more than 50 levels deep are not supported"));
  EXPECT_THAT(
      unsupported("{% for " + repeated("(", kMany) + "a" + repeated(")", kMany) + " in [] %}{% endfor %}"),
      HasSubstr("names in more than 50 pairs of brackets are not supported"));
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
