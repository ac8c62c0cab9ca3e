#include "text/steps_json.h"

#include "mquant/error.h"

namespace mquant {
namespace {

constexpr std::size_t kLongestContent = 1024;
constexpr std::size_t kMostSteps = 64;

/// `part` itself, or the parts of a Sequence and of Sequences in it, in order.
void flatten(const JsonPart& part, std::string_view list_key, std::vector<JsonPart>& steps) {
  if (part.is_null()) return;
  if (part.type() == "Sequence") {
    for (const JsonPart& item : part.at(list_key).items()) flatten(item, list_key, steps);
    return;
  }
  if (steps.size() == kMostSteps) fail(ErrorKind::input, part.where(), ": more than ", kMostSteps, " steps");
  steps.push_back(part);
}

std::vector<JsonPart> steps_of(const JsonPart& part, std::string_view list_key) {
  std::vector<JsonPart> steps;
  flatten(part, list_key, steps);
  return steps;
}

const std::string& short_text(const JsonPart& part) {
  const std::string& text = part.text();
  if (text.size() > kLongestContent) {
    fail(ErrorKind::input, part.where(), ": expected at most ", kLongestContent, " bytes, found ",
         text.size());
  }
  return text;
}

/// {"Regex": "..."} or {"String": "..."}.
Pattern read_pattern(const JsonPart& part) {
  if (part.has("Regex")) {
    const JsonPart regex = part.at("Regex");
    return in_context(regex.where(), [&] { return Regex(regex.text()); });
  }
  const JsonPart literal = part.at("String");
  if (short_text(literal).empty()) literal.fail_expecting("a text that is not empty");
  return literal.text();
}

std::unique_ptr<Normalizer> read_normalizer(const JsonPart& part) {
  const std::string& type = part.type();
  if (type == "NFC") return normal_form(NormalForm::nfc);
  if (type == "NFD") return normal_form(NormalForm::nfd);
  if (type == "NFKC") return normal_form(NormalForm::nfkc);
  if (type == "NFKD") return normal_form(NormalForm::nfkd);
  if (type == "Prepend") return prepend(short_text(part.at("prepend")));
  if (type == "Replace") return replace(read_pattern(part.at("pattern")), short_text(part.at("content")));
  part.fail_unsupported("normalizer '" + printable(type) + "'");
}

SplitBehavior read_behavior(const JsonPart& part) {
  const std::string& name = part.text();
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  part.fail_unsupported("behavior '" + printable(name) + "'");
}

/// One character of a text.
const std::string& one_character(const JsonPart& part) {
  std::size_t at = 0;
  if (!part.text().empty()) next_character(part.text(), at);
  if (at == 0 || at != part.text().size()) part.fail_expecting("one character");
  return part.text();
}

/// Files before tokenizers 0.14 say "add_prefix_space" alone.
PrependScheme read_scheme(const JsonPart& metaspace) {
  const std::string scheme =
      metaspace.has("prepend_scheme") ? metaspace.at("prepend_scheme").text() : "always";
  const bool never = scheme == "never";
  if (!never && scheme != "first" && scheme != "always")
    metaspace.at("prepend_scheme").fail_expecting("\"first\", \"always\" or \"never\"");
  if (metaspace.has("add_prefix_space") && metaspace.at("add_prefix_space").flag() == never)
    metaspace.at("add_prefix_space").fail_expecting(cat("what goes with prepend_scheme \"", scheme, "\""));
  return never ? PrependScheme::never : scheme == "first" ? PrependScheme::first : PrependScheme::always;
}

std::unique_ptr<PreTokenizer> read_pre_tokenizer(const JsonPart& part) {
  const std::string& type = part.type();
  if (type == "Split") {
    return split_at(read_pattern(part.at("pattern")), read_behavior(part.at("behavior")),
                    part.flag_or("invert", false));
  }
  if (type == "Digits") return digits(part.at("individual_digits").flag());
  if (type == "ByteLevel")
    return byte_level(part.at("add_prefix_space").flag(), part.flag_or("use_regex", true));
  if (type == "Metaspace")
    return metaspace(one_character(part.at("replacement")), read_scheme(part), part.flag_or("split", true));
  part.fail_unsupported("pre-tokenizer '" + printable(type) + "'");
}

std::size_t read_count(const JsonPart& part) {
  if (part.integer() < 0) part.fail_expecting("a count");
  return static_cast<std::size_t>(part.integer());
}

std::unique_ptr<Decoder> read_strip(const JsonPart& part) {
  std::size_t at = 0;
  const char32_t c = next_character(one_character(part.at("content")), at);
  return decode_strip(c, read_count(part.at("start")), read_count(part.at("stop")));
}

std::unique_ptr<Decoder> read_decoder(const JsonPart& part) {
  const std::string& type = part.type();
  if (type == "ByteLevel") return decode_byte_level();
  if (type == "ByteFallback") return decode_byte_fallback();
  if (type == "Fuse") return decode_fuse();
  if (type == "Metaspace")
    return decode_metaspace(one_character(part.at("replacement")), read_scheme(part) != PrependScheme::never);
  if (type == "Replace")
    return decode_replace(read_pattern(part.at("pattern")), short_text(part.at("content")));
  if (type == "Strip") return read_strip(part);
  part.fail_unsupported("decoder '" + printable(type) + "'");
}

/// The ids that a template of one text puts around it.
Template read_template(const JsonPart& part) {
  Template result;
  int texts = 0;
  for (const JsonPart& piece : part.at("single").items()) {
    if (piece.has("Sequence")) {
      ++texts;
      continue;
    }
    const JsonPart name = piece.at("SpecialToken").at("id");
    for (const JsonPart& id : part.at("special_tokens").at(name.text()).at("ids").items()) {
      if (id.integer() < 0 || id.integer() > kLargestTokenId) id.fail_expecting("a token id");
      (texts == 0 ? result.before : result.after).push_back(id.integer());
    }
  }
  if (texts != 1) part.at("single").fail_unsupported(cat("a template with ", texts, " texts"));
  return result;
}

}  // namespace

std::vector<std::unique_ptr<Normalizer>> read_normalizers(const JsonPart& part) {
  std::vector<std::unique_ptr<Normalizer>> steps;
  for (const JsonPart& step : steps_of(part, "normalizers")) steps.push_back(read_normalizer(step));
  return steps;
}

PreTokenizers read_pre_tokenizers(const JsonPart& part) {
  PreTokenizers result;
  for (const JsonPart& step : steps_of(part, "pretokenizers")) {
    // Behind ByteLevel a step would see characters that stand for bytes.
    if (result.byte_level) step.fail_unsupported("a pre-tokenizer behind ByteLevel");
    result.steps.push_back(read_pre_tokenizer(step));
    result.byte_level = step.type() == "ByteLevel";
  }
  return result;
}

std::vector<std::unique_ptr<Decoder>> read_decoders(const JsonPart& part) {
  std::vector<std::unique_ptr<Decoder>> steps;
  for (const JsonPart& step : steps_of(part, "decoders")) steps.push_back(read_decoder(step));
  return steps;
}

Template read_post_processor(const JsonPart& part) {
  Template result;
  for (const JsonPart& step : steps_of(part, "processors")) {
    const std::string& type = step.type();
    if (type == "ByteLevel") continue;  // moves offsets only
    if (type != "TemplateProcessing") step.fail_unsupported("post-processor '" + printable(type) + "'");
    const Template around = read_template(step);
    result.before.insert(result.before.begin(), around.before.begin(), around.before.end());
    result.after.insert(result.after.end(), around.after.begin(), around.after.end());
  }
  return result;
}

}  // namespace mquant
