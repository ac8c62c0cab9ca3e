#include "eval/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
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
constexpr std::array kClasses = {TokenClass::text, TokenClass::visual, TokenClass::sink};

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

std::string hexadecimal(double value) {
  if (!std::isfinite(value)) return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
  std::array<char, 40> text{};
  char* const begin = text.data();
  const bool negative = std::signbit(value);
  const auto [end, error] =
      std::to_chars(begin, begin + text.size(), std::fabs(value), std::chars_format::hex);
  require(error == std::errc{}, "a float64 of more than ", text.size(), " characters");
  return cat(negative ? "-" : "", "0x", std::string_view(begin, end));
}

double number(const Fields& fields, const std::string& key) {
  const std::string text = fields.text(key);
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  const bool negative = text.starts_with('-');
  const std::string_view rest = std::string_view(text).substr(negative ? 1 : 0);
  if (rest == "inf")
    return negative ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  double value = 0;
  const char* const end = rest.data() + rest.size();
  const bool hex = rest.starts_with("0x") && rest.size() > 2 && rest[2] != '-';
  const auto [stop, error] = hex ? std::from_chars(rest.data() + 2, end, value, std::chars_format::hex)
                                 : std::from_chars_result{rest.data(), std::errc::invalid_argument};
  if (error != std::errc{} || stop != end)
    fail(ErrorKind::input, fields.where(), ": '", key, "': expected a hexadecimal float, found \"",
         printable(text), '"');
  return negative ? -value : value;
}

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
  json["nll"] = hexadecimal(sums.negative_log_likelihood);
  json["reference_nll"] = hexadecimal(sums.reference_negative_log_likelihood);
  json["agreement"] = OrderedJson::object();
  for (const TokenClass c : kClasses) {
    const AgreementRow& row = sums.agreement[static_cast<std::size_t>(c)];
    if (row.tokens > 0)
      json["agreement"][std::string(token_class_name(c))] = {
          {"tokens", row.tokens}, {"top1", static_cast<std::int64_t>(row.top1)}, {"kl", hexadecimal(row.kl)}};
  }
  return json.dump() + "\n";
}

SampleResult result_from(const Fields& line) {
  SampleResult result;
  result.found = line.has("found_bytes") ? from_hex(line, "found_bytes") : line.text("found");
  result.exact = line.boolean("exact");
  result.sums.answer_tokens = line.integer("answer_tokens", 0, kMost);
  result.sums.negative_log_likelihood = number(line, "nll");
  result.sums.reference_negative_log_likelihood = number(line, "reference_nll");
  const Fields agreement = line.object("agreement");
  for (const TokenClass c : kClasses) {
    const std::string name(token_class_name(c));
    if (!agreement.has(name)) continue;
    const Fields row = agreement.object(name);
    const std::int64_t tokens = row.integer("tokens", 1, kMost);
    result.sums.agreement[static_cast<std::size_t>(c)] = {
        tokens, number(row, "kl"), static_cast<double>(row.integer("top1", 0, tokens))};
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

[[noreturn]] void fail_with(const fs::path& path, const char* what, int error_number) {
  fail(ErrorKind::resources, "cannot ", what, " '", path.string(), "': ", std::strerror(error_number));
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
  std::string_view rest(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (!rest.starts_with(kStart.substr(0, rest.size())))
    fail(ErrorKind::usage, "--journal '", path.string(),
         "' is there and is not a journal of mquant eval; give another file, or remove this one");
  for (int number = 1;; ++number) {
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) return contents;  // a torn line, or nothing
    const std::string where = cat(path.string(), ":", number);
    if (number == 1)
      contents.identity = read_first_line(rest.substr(0, end), where);
    else
      read_line(rest.substr(0, end), where, number, contents);
    rest.remove_prefix(end + 1);
    contents.bytes += end + 1;
  }
}

EvalJournal::EvalJournal(fs::path path, const EvalIdentity& identity, const std::vector<Sample>& samples,
                         std::vector<std::string> digests)
    : path_(std::move(path)), digests_(std::move(digests)) {
  if (const fs::path parent = path_.parent_path(); !parent.empty()) fs::create_directories(parent);
  file_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file_ < 0) fail_with(path_, "open", errno);
  try {
    if (flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)  // else: a disk without locks
      fail(ErrorKind::usage, "another process is writing '", path_.string(), "'; wait for it to end");
    contents_ = read_eval_journal(path_);
    expect_same(contents_, identity, samples, digests_, path_);
    if (ftruncate(file_, static_cast<off_t>(contents_.bytes)) != 0) fail_with(path_, "write", errno);
    if (contents_.identity.empty()) append_line(first_line_of(identity));
  } catch (...) {
    close(file_);
    throw;
  }
}

EvalJournal::~EvalJournal() {
  fdatasync(file_);  // an error loses no more than a power cut would
  close(file_);
}

std::map<std::size_t, SampleResult> EvalJournal::done() const {
  std::map<std::size_t, SampleResult> results;
  for (const auto& [sample, line] : contents_.lines)
    if (sample < std::ssize(digests_)) results[static_cast<std::size_t>(sample)] = line.result;
  return results;
}

void EvalJournal::append(std::size_t sample, const SampleResult& result) {
  append_line(line_of(sample, digests_.at(sample), result));
}

void EvalJournal::append_line(const std::string& line) {
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t written = write(file_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const int error_number = errno;
      // What is there of the line has no newline and does not count; without it the next append
      // starts clean.
      if (ftruncate(file_, static_cast<off_t>(contents_.bytes)) != 0) fail_with(path_, "repair", errno);
      fail_with(path_, "write", error_number);
    }
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  contents_.bytes += line.size();
}

}  // namespace mquant
