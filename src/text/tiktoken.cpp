// Rank files of the tiktoken library: a line for each token, its bytes in base64 and its rank.
#include <charconv>
#include <optional>

#include "io/json_text.h"
#include "mquant/error.h"
#include "support/mapped_file.h"
#include "support/strings.h"
#include "text/base64.h"
#include "text/bpe.h"
#include "text/tokenizer.h"
#include "text/tokenizer_parts.h"

namespace mquant {
namespace {

constexpr std::size_t kLargestFile = std::size_t{64} << 20;
constexpr std::size_t kLongestLine = 4096;

std::pair<std::string, std::int64_t> read_line(std::string_view line) {
  std::pair<std::string, std::int64_t> entry;
  const std::size_t blank = line.find(' ');
  const std::string_view token = line.substr(0, blank);
  const std::string_view rank = blank == line.npos ? std::string_view() : line.substr(blank + 1);
  const auto [end, error] = std::from_chars(rank.data(), rank.data() + rank.size(), entry.second);
  std::optional<std::string> bytes;
  if (line.size() <= kLongestLine) bytes = decode_base64(token);
  if (!bytes || error != std::errc() || end != rank.data() + rank.size()) {
    fail(ErrorKind::input, "expected a token in base64, a blank and its rank, found '", printable(line), "'");
  }
  entry.first = std::move(*bytes);
  return entry;
}

std::vector<std::pair<std::string, std::int64_t>> read_ranks(const std::filesystem::path& file) {
  const MappedFile mapped(file);
  if (mapped.bytes().size() > kLargestFile) {
    fail(ErrorKind::input, file.string(), ": expected at most ", human_bytes(kLargestFile), ", found ",
         human_bytes(mapped.bytes().size()));
  }
  std::string_view rest(reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size());
  std::vector<std::pair<std::string, std::int64_t>> ranks;
  for (std::int64_t number = 1; !rest.empty(); ++number) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    ranks.push_back(in_context(cat(file.string(), ":", number), [&] { return read_line(line); }));
  }
  return ranks;
}

}  // namespace

Tokenizer open_tiktoken(const std::filesystem::path& file, const TiktokenOptions& options) {
  auto parts = std::make_unique<TokenizerParts>();
  parts->origin = file.string();
  auto ranks = read_ranks(file);
  std::vector<std::pair<std::string, std::int64_t>> special_tokens = options.special_tokens;
  for (const std::string& token : options.following)
    special_tokens.emplace_back(
        token, std::ssize(ranks) + std::ssize(special_tokens) - std::ssize(options.special_tokens));
  return in_context(file.string(), [&] {
    parts->vocabulary = std::make_unique<RankedBpe>(std::move(ranks));
    if (options.nfc) parts->normalizers.push_back(normal_form(NormalForm::nfc));
    parts->pre_tokenizers.push_back(
        split_at(Regex(options.pattern), SplitBehavior::removed, /*invert=*/true));
    parts->decoders.push_back(decode_bytes());
    std::vector<AddedToken> added;
    for (const auto& [content, id] : special_tokens) {
      if (parts->vocabulary->entry(id)) {
        fail(ErrorKind::input, "special token '", printable(content), "' has id ", id, ", which is a rank");
      }
      added.push_back({.content = content, .id = id, .normalized = true});
    }
    parts->added =
        AddedTokens(std::move(added), [&](const std::string& text) { return parts->normalize(text); });
    return Tokenizer(std::move(parts));
  });
}

}  // namespace mquant
