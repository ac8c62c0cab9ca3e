#include "text/template_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "io/file_kind.h"
#include "io/json_text.h"
#include "mquant/error.h"
#include "support/mapped_file.h"
#include "support/strings.h"
#include "text/json_part.h"
#include "text/unicode.h"

namespace mquant {
namespace {
namespace fs = std::filesystem;

constexpr const char* kAdditional = "additional_chat_templates";

/// A template, or a list of {"name", "template"}, of which the default is meant.
ChatTemplate default_of(const JsonPart& part) {
  if (part.is_text()) return {part.text(), part.where()};
  if (!part.value().is_array()) part.fail_expecting("a template or a list of them");
  std::vector<std::string> names;
  std::optional<ChatTemplate> found;  // the last one, as transformers makes a dict of them
  for (const JsonPart& each : part.items()) {
    names.push_back(each.at("name").text());
    if (names.back() == "default") found = ChatTemplate{each.at("template").text(), each.where()};
  }
  if (found) return *found;
  fail(ErrorKind::unsupported, part.where(), ": several templates (", join(names, ", "),
       ") and none is 'default'; state one: --chat-template FILE");
}

std::optional<ChatTemplate> in_json(const fs::path& file) {
  if (!fs::exists(file)) return std::nullopt;
  const Json json = read_json(file);
  const JsonPart whole(json, file.string());
  if (json.is_object() && !whole.has("chat_template")) return std::nullopt;
  return default_of(whole.at("chat_template"));
}

/// Whether it is meant as one: a template may begin with "{" too, and then with "{", "%" or "#".
bool is_json_object(std::string_view text) {
  const std::string_view rest = strip(text);
  if (!rest.starts_with('{')) return false;
  const std::string_view inside = strip(rest.substr(1));
  return inside.starts_with('"') || inside.starts_with('}');
}

std::string read_text(const fs::path& file) {
  const MappedFile mapped(file);
  refuse_lfs_pointer(mapped.bytes(), file.string());
  return {reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size()};
}

/// Names of the files of templates beside the default, sorted.
std::vector<std::string> additional(const fs::path& directory) {
  std::vector<std::string> names;
  if (!fs::is_directory(directory / kAdditional)) return names;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory / kAdditional))
    if (entry.path().extension() == ".jinja") names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

ChatTemplate find_template(const fs::path& directory) {
  if (auto found = in_json(directory / "processor_config.json")) return *found;
  const std::vector<std::string> others = additional(directory);
  if (auto found = in_json(directory / "chat_template.json")) {
    if (!others.empty())
      fail(ErrorKind::input, found->origin, ": beside files in ", kAdditional,
           ", which transformers refuses; rename its template to chat_template.jinja");
    return *found;
  }
  for (const fs::path& file : {directory / "chat_template.jinja", directory / kAdditional / "default.jinja"})
    if (fs::exists(file)) return {read_text(file), file.string()};
  if (!others.empty())
    fail(ErrorKind::unsupported, directory.string(), ": templates in ", kAdditional, " (", join(others, ", "),
         ") and no chat_template.jinja; state one: --chat-template FILE");
  if (auto found = in_json(directory / "tokenizer_config.json")) return *found;
  fail(ErrorKind::unsupported, directory.string(),
       ": no chat template (chat_template.json, chat_template.jinja, or 'chat_template' in "
       "processor_config.json or "
       "tokenizer_config.json); copy it from the release, or state one: --chat-template FILE");
}

/// {"content": "<s>", ...} or "<s>"
std::optional<std::string> token_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string())
    return value["content"].get<std::string>();
  return std::nullopt;
}

Json read_optional(const fs::path& file) {
  return fs::exists(file) ? read_json_object(file) : Json::object();
}

void add_tokens(const Json& tokens, SpecialTokens& out) {
  if (!tokens.is_object()) return;
  for (const auto& [key, value] : tokens.items())
    if (const auto text = token_text(value); text && key.ends_with("_token")) out[key] = *text;
}

}  // namespace

jinja::Template open_chat_template(const fs::path& directory, const ChatTemplate& stated) {
  ChatTemplate source = stated.text.empty() ? find_template(directory) : stated;
  return jinja::Template::parse(source.text, std::move(source.origin));
}

ChatTemplate ChatTemplate::over(ChatTemplate otherwise) const {
  if (!text.empty()) otherwise.text = text, otherwise.origin = origin;
  if (!date.empty()) otherwise.date = date;
  return otherwise;
}

ChatTemplate read_chat_template(const fs::path& file, const std::string& date) {
  if (!date.empty() && !jinja::parse_date(date))
    fail(ErrorKind::usage, "--template-date: expected a date, YYYY-MM-DD, found '", printable(date), "'");
  ChatTemplate read;
  read.date = date;
  if (file.empty()) return read;
  read.text = read_text(file);
  read.origin = file.string();
  if (is_json_object(read.text)) {  // whatever its name
    const Json json = parse_json(read.text, read.origin);
    read = default_of(JsonPart(json, file.string()).at("chat_template")).over(read);
  }
  if (read.text.empty()) fail(ErrorKind::input, read.origin, ": empty; expected a chat template");
  in_context(read.origin, [&] { jinja::check_source(read.text); });  // run.json holds it
  return read;
}

SpecialTokens special_tokens(const fs::path& directory) {
  SpecialTokens tokens;
  const fs::path config = directory / "tokenizer_config.json", map = directory / "special_tokens_map.json";
  const Json json = read_optional(config);
  add_tokens(json, tokens);
  if (json.contains("extra_special_tokens")) add_tokens(json["extra_special_tokens"], tokens);
  if (!json.contains("added_tokens_decoder")) add_tokens(read_optional(map), tokens);
  return tokens;
}

}  // namespace mquant
