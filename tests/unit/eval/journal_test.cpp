// The journal of an evaluation: what it holds comes back bit for bit, and nothing else is taken for it.
#include "eval/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include "mquant/error.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

namespace fs = std::filesystem;

const EvalIdentity kIdentity = {{"mquant", "1"},           {"libtorch", "2"},        {"model", "aa"},
                                {"reference", "none"},     {"max_new_tokens", "24"}, {"kv_cache", "auto"},
                                {"chat_template", "none"}, {"template_date", "none"}};

std::vector<Sample> samples_of(int count) {
  std::vector<Sample> samples;
  for (int i = 0; i < count; ++i) samples.push_back({.id = std::to_string(i), .answer = "yes"});
  return samples;
}

std::vector<std::string> digests_of(int count) {
  std::vector<std::string> digests;
  for (int i = 0; i < count; ++i) digests.push_back("d" + std::to_string(i));
  return digests;
}

SampleResult result_of(const std::string& found, double value) {
  SampleResult result{.found = found, .exact = found == "yes"};
  result.sums.answer_tokens = 3;
  result.sums.negative_log_likelihood = value;
  result.sums.reference_negative_log_likelihood = -value;
  result.sums.agreement[0] = {7, value, 5};
  result.sums.agreement[2] = {1, -value, 0};
  return result;
}

void expect_same(const SampleResult& a, const SampleResult& b) {
  const auto same = [](double x, double y) {
    return std::isnan(x) ? std::isnan(y) : std::bit_cast<std::uint64_t>(x) == std::bit_cast<std::uint64_t>(y);
  };
  EXPECT_EQ(a.found, b.found);
  EXPECT_EQ(a.exact, b.exact);
  EXPECT_EQ(a.sums.answer_tokens, b.sums.answer_tokens);
  EXPECT_TRUE(same(a.sums.negative_log_likelihood, b.sums.negative_log_likelihood));
  EXPECT_TRUE(same(a.sums.reference_negative_log_likelihood, b.sums.reference_negative_log_likelihood));
  for (std::size_t c = 0; c < a.sums.agreement.size(); ++c) {
    EXPECT_EQ(a.sums.agreement[c].tokens, b.sums.agreement[c].tokens);
    EXPECT_TRUE(same(a.sums.agreement[c].kl, b.sums.agreement[c].kl)) << b.sums.agreement[c].kl;
    EXPECT_EQ(a.sums.agreement[c].top1, b.sums.agreement[c].top1);
  }
}

class EvalJournalFile : public testing::Test {
 protected:
  EvalJournal open(int samples = 3, const EvalIdentity& identity = kIdentity) const {
    return {path(), identity, samples_of(samples), digests_of(samples)};
  }
  /// One with two results.
  void write() const {
    EvalJournal journal = open();
    journal.append(0, result_of("yes", 0.1));
    journal.append(2, result_of("no", 0.2));
  }
  fs::path path() const { return directory_ / "journal.jsonl"; }
  std::string text() const { return read_text(path()); }

  Error refusal(const std::function<void()>& work) const {
    const std::string before = fs::exists(path()) ? text() : "";
    try {
      work();
    } catch (const Error& error) {
      EXPECT_EQ(text(), before) << "the file was changed";
      return error;
    }
    return {ErrorKind::internal, "done"};
  }

 private:
  TempDir directory_;
};

TEST_F(EvalJournalFile, GivesResultsBackBitForBit) {
  const std::vector<double> values = {0.1,
                                      -0.0,
                                      1.0 / 3,
                                      5e-324,
                                      -std::numeric_limits<double>::max(),
                                      std::numeric_limits<double>::infinity(),
                                      -std::numeric_limits<double>::infinity(),
                                      std::numeric_limits<double>::quiet_NaN()};
  const std::string bytes("\xff\x00\n\"", 4);
  const auto count = static_cast<int>(values.size());
  {
    EvalJournal journal = open(count);
    EXPECT_TRUE(journal.done().empty());
    for (std::size_t i = values.size(); i-- > 0;)
      journal.append(i, result_of(i == 0 ? "yes" : i == 1 ? bytes : "a\n\"b\"", values[i]));
  }
  const std::map<std::size_t, SampleResult> done = open(count).done();
  ASSERT_EQ(done.size(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    expect_same(done.at(i), result_of(i == 0 ? "yes" : i == 1 ? bytes : "a\n\"b\"", values[i]));
}

TEST_F(EvalJournalFile, OfFewSamplesServesMore) {
  write();
  EXPECT_EQ(open(500).done().size(), 2U);
  EXPECT_EQ(open(1).done().size(), 1U);
  EXPECT_EQ(open().done().size(), 2U) << "a shorter evaluation must not lose the rest";
}

TEST_F(EvalJournalFile, OverwritesATornLineOnly) {
  write();
  const std::string whole = text();
  const std::size_t second = whole.find('\n') + 1, third = whole.find('\n', second) + 1;
  for (const std::size_t size : {whole.size() - 1, third + 1, third, second + 5, second, second - 1,
                                 std::size_t{30}, std::size_t{1}, std::size_t{0}}) {
    write_text(path(), whole.substr(0, size));
    EvalJournal journal = open();
    const std::size_t whole_lines = size < second ? 0 : size < third ? 0 : 1;
    EXPECT_EQ(journal.done().size(), size == whole.size() ? 2 : whole_lines) << size;
    for (std::size_t i = 0; i < 3; i += 2)
      if (!journal.done().contains(i))
        journal.append(i, i == 0 ? result_of("yes", 0.1) : result_of("no", 0.2));
    EXPECT_EQ(text(), whole) << size;
  }
}

TEST_F(EvalJournalFile, OfAnotherEvaluationIsRefused) {
  write();
  const std::map<std::string, std::string> told = {{"model", "the SHA-256 of the model was aa and is x"},
                                                   {"max_new_tokens", "--max-new-tokens was 24 and is x"},
                                                   {"reference", "--reference was none and is x"}};
  for (const auto& [part, was] : kIdentity) {
    EvalIdentity other = kIdentity;
    other[part] = "x";
    const Error error = refusal([&] { open(3, other); });
    EXPECT_EQ(error.kind(), ErrorKind::usage) << part;
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("of another evaluation: "),
                                             testing::EndsWith("give another file, or remove this one")));
    const auto text = told.find(part);
    EXPECT_THAT(error.what(), testing::HasSubstr(text == told.end() ? "" : text->second));
  }
}

TEST_F(EvalJournalFile, OfOtherSamplesIsRefused) {
  write();
  const Error error = refusal([&] { EvalJournal(path(), kIdentity, samples_of(3), {"d0", "d1", "other"}); });
  EXPECT_EQ(error.kind(), ErrorKind::usage);
  EXPECT_THAT(error.what(), testing::HasSubstr("line 3 is not of sample '2'"));
}

TEST_F(EvalJournalFile, OfTwoProcessesIsRefused) {
  const EvalJournal held = open();
  const Error error = refusal([&] { open(); });
  EXPECT_EQ(error.kind(), ErrorKind::usage);
  EXPECT_THAT(error.what(), testing::HasSubstr("another process is writing"));
}

TEST_F(EvalJournalFile, ThatIsSomethingElseStaysAsItIs) {
  for (const char* other : {"{\"id\": \"1\"}\n", "{}", "text", "{\"journal\":\"another\"}\n", "\n"}) {
    write_text(path(), other);
    EXPECT_EQ(refusal([&] { open(); }).kind(), ErrorKind::usage) << other;
  }
}

TEST_F(EvalJournalFile, WithADamagedLineIsBadInput) {
  write();
  const std::string whole = text();
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string changed = whole;
    const std::size_t at = changed.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return changed.replace(at, from.size(), to);
  };
  const std::string last = whole.substr(whole.rfind("{\"sample\":2"));
  for (const std::string& damaged : {whole + "garbage\n",
                                     whole + "\n",
                                     whole + std::string("\0\0\n", 3),
                                     whole + "[]\n",
                                     whole + last,
                                     replaced("\"sample\":2", "\"sample\":-2"),
                                     replaced("\"sample\":2", "\"sample\":1e99"),
                                     replaced("\"nll\":0.1", "\"nll\":\"0.1\""),
                                     replaced("\"nll\":0.1", "\"nll\":null"),
                                     replaced("\"nll\":0.1", "\"nll\":[]"),
                                     replaced("\"nll\":0.1", "\"nll\":1e99999"),
                                     replaced("\"nll\":0.1", "\"nll\":\"-nan\""),
                                     replaced("\"top1\":5", "\"top1\":8"),
                                     replaced("\"tokens\":7", "\"tokens\":0"),
                                     replaced("\"found\":\"yes\"", "\"found_bytes\":\"0g\""),
                                     replaced("\"found\":\"yes\"", "\"found_bytes\":\"0\""),
                                     replaced("\"exact\":true", "\"exact\":1"),
                                     replaced("\"exact\":true", "\"exact\":false"),
                                     replaced("\"digest\":\"d0\",", ""),
                                     replaced("\"agreement\":{", "\"agreement\":[],\"x\":{"),
                                     replaced("\"identity\":{", "\"identity\":[],\"x\":{")}) {
    write_text(path(), damaged);
    const Error error = refusal([&] { open(); });
    EXPECT_EQ(error.kind(), ErrorKind::input) << error.what() << "\n" << damaged;
    EXPECT_THAT(error.what(), testing::HasSubstr("journal.jsonl:")) << damaged;
  }
  write_text(path(), replaced("\"format\":1", "\"format\":2"));
  EXPECT_EQ(refusal([&] { open(); }).kind(), ErrorKind::usage);
}

}  // namespace
}  // namespace mquant::test
