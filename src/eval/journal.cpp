#include "eval/journal.h"

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "artifact/fields.h"
#include "mquant/error.h"
#include "support/mapped_file.h"
#include "support/utf8.h"

namespace mquant {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kStart = R"({"journal":"mquant eval")";
constexpr int kFormat = 1;
constexpr std::int64_t kMost = std::int64_t{1} << 40;  // samples, and tokens of one

/// What messages call the parts of an identity.
constexpr std::array<std::pair<const char*, const char*>, 8> kParts = {{
    {"mquant", "the version of mquant"},
    {"libtorch", "the version of libtorch"},
    {"model", "the SHA-256 of the model"},
    {"reference", "the SHA-256 of --reference"},
    {"max_new_tokens", "--max-new-tokens"},
    {"kv_cache", "--kv-cache"},
    {"chat_template", "the SHA-256 of --chat-template"},
    {"template_date", "--template-date"},
}};

std::string to_hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const char byte : bytes) {
    text += kDigits[static_cast<unsigned char>(byte) >> 4];
    text += kDigits[static_cast<unsigned char>(byte) & 15];
  }
  return text;
}

std::string from_hex(const Fields& line, const std::string& key) {
  const std::string text = line.text(key);
  std::string bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    unsigned value = 0;
    const char* const at = text.data() + i;
    if (std::from_chars(at, at + 2, value, 16).ptr != at + 2) break;
    bytes += static_cast<char>(value);
  }
  if (2 * bytes.size() != text.size())
    fail(ErrorKind::input, line.where(), ": '", key, "': expected pairs of hexadecimal digits");
  return bytes;
}

std::string line_of(std::size_t sample, const std::string& digest, const SampleResult& result) {
  const LogitSums& sums = result.sums;
  OrderedJson json = {{"sample", sample}, {"digest", digest}};
  if (first_invalid_utf8(result.found) == std::string::npos)
    json["found"] = result.found;
  else
    json["found_bytes"] = to_hex(result.found);
  json["exact"] = result.exact;
  json["answer_tokens"] = sums.answer_tokens;
  json["nll"] = number_json(sums.negative_log_likelihood);
  json["reference_nll"] = number_json(sums.reference_negative_log_likelihood);
  json["agreement"] = OrderedJson::object();
  for (const TokenClass c : kAllTokenClasses) {
    const AgreementRow& row = sums.agreement[static_cast<std::size_t>(c)];
    if (row.tokens > 0)
      json["agreement"][std::string(token_class_name(c))] = {
          {"tokens", row.tokens}, {"top1", static_cast<std::int64_t>(row.top1)}, {"kl", number_json(row.kl)}};
  }
  return json.dump() + "\n";
}

SampleResult result_from(const Fields& line) {
  SampleResult result;
  result.found = line.has("found_bytes") ? from_hex(line, "found_bytes") : line.text("found");
  result.exact = line.boolean("exact");
  result.sums.answer_tokens = line.integer("answer_tokens", 0, kMost);
  result.sums.negative_log_likelihood = line.number("nll");
  result.sums.reference_negative_log_likelihood = line.number("reference_nll");
  const Fields agreement = line.object("agreement");
  for (const TokenClass c : kAllTokenClasses) {
    const std::string name(token_class_name(c));
    if (!agreement.has(name)) continue;
    const Fields row = agreement.object(name);
    const std::int64_t tokens = row.integer("tokens", 1, kMost);
    result.sums.agreement[static_cast<std::size_t>(c)] = {
        tokens, row.number("kl"), static_cast<double>(row.integer("top1", 0, tokens))};
  }
  return result;
}

void read_line(std::string_view text, const std::string& where, int number, EvalJournalContents& contents) {
  const Json json = parse_json(text, where);
  const Fields line(json, where);
  const std::int64_t sample = line.integer("sample", 0, kMost);
  EvalJournalContents::Line entry{number, line.text("digest"), result_from(line)};
  if (!contents.lines.emplace(sample, std::move(entry)).second)
    fail(ErrorKind::input, where, ": sample ", sample, " is there twice");
}

EvalIdentity read_first_line(std::string_view text, const std::string& where) {
  const Json json = parse_json(text, where);
  const Fields line(json, where);
  if (const std::int64_t format = line.integer("format", 1, kMost); format != kFormat)
    fail(ErrorKind::usage, where, ": a journal of format ", format, ", expected ", kFormat,
         "; give another file, or remove this one");
  const Fields identity = line.object("identity");
  EvalIdentity parts;
  for (const auto& [name, called] : kParts) parts[name] = identity.text(name);
  return parts;
}

std::string first_line_of(const EvalIdentity& identity) {
  OrderedJson parts = OrderedJson::object();
  for (const auto& [name, called] : kParts) parts[name] = identity.at(name);
  return OrderedJson{{"journal", "mquant eval"}, {"format", kFormat}, {"identity", parts}}.dump() + "\n";
}

/// Of another evaluation, or a line of another sample than the one that stands there now.
void expect_same(const EvalJournalContents& contents, const EvalIdentity& identity,
                 const std::vector<Sample>& samples, const std::vector<std::string>& digests,
                 const fs::path& path) {
  if (contents.identity.empty()) return;
  if (const std::string text = difference(contents.identity, identity); !text.empty())
    fail(ErrorKind::usage, "--journal '", path.string(), "' is of another evaluation: ", text,
         "; give another file, or remove this one");
  for (std::size_t i = 0; i < digests.size(); ++i) {
    const auto found = contents.lines.find(static_cast<std::int64_t>(i));
    if (found == contents.lines.end()) continue;
    const auto& [number, digest, result] = found->second;
    if (digest != digests[i])
      fail(ErrorKind::usage, "--journal '", path.string(), "' is of other samples: line ", number,
           " is not of sample '", samples[i].id,
           "', which stands there now; give another file, or remove this one");
    if (result.exact != (samples[i].answer == result.found))
      fail(ErrorKind::input, path.string(), ":", number, ": 'exact' is ", result.exact ? "true" : "false",
           ", and the answer of sample '", samples[i].id,
           "' says otherwise; the file was changed or damaged");
  }
}

}  // namespace

std::string difference(const EvalIdentity& before, const EvalIdentity& now) {
  for (const auto& [name, called] : kParts)
    if (before.at(name) != now.at(name))
      return cat(called, " was ", printable(before.at(name)), " and is ", now.at(name));
  return {};
}

EvalJournalContents read_eval_journal(const fs::path& path) {
  EvalJournalContents contents;
  if (!fs::exists(path)) return contents;
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (!text.starts_with(kStart.substr(0, text.size())))
    fail(ErrorKind::usage, "--journal '", path.string(),
         "' is there and is not a journal of mquant eval; give another file, or remove this one");
  contents.bytes = read_whole_lines(text, [&](std::string_view line, int number) {
    const std::string where = cat(path.string(), ":", number);
    if (number == 1)
      contents.identity = read_first_line(line, where);
    else
      read_line(line, where, number, contents);
  });
  return contents;
}

EvalJournal::EvalJournal(const fs::path& path, const EvalIdentity& identity,
                         const std::vector<Sample>& samples, std::vector<std::string> digests)
    : digests_(std::move(digests)),
      file_(path, LineFile::Links::follow, LineFile::Sync::at_end, path),
      contents_(read_eval_journal(path)) {
  expect_same(contents_, identity, samples, digests_, path);
  file_.keep(contents_.bytes);
  if (contents_.identity.empty()) file_.append(first_line_of(identity));
}

std::map<std::size_t, SampleResult> EvalJournal::done() const {
  std::map<std::size_t, SampleResult> results;
  for (const auto& [sample, line] : contents_.lines)
    if (sample < std::ssize(digests_)) results[static_cast<std::size_t>(sample)] = line.result;
  return results;
}

void EvalJournal::append(std::size_t sample, const SampleResult& result) {
  file_.append(line_of(sample, digests_.at(sample), result));
}

}  // namespace mquant
