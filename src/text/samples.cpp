// Chat samples: a JSON object a line.
#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "io/json_slices.h"
#include "mquant/error.h"
#include "mquant/sample.h"
#include "support/mapped_file.h"
#include "support/sha256.h"
#include "support/strings.h"
#include "text/json_part.h"

namespace mquant {
namespace {

constexpr std::size_t kLongestLine = std::size_t{16} << 20;
constexpr std::size_t kMostItems = 1000;  // messages of a sample, parts of a message
constexpr std::uintmax_t kLargestPicture = std::uintmax_t{256} << 20;
/// Of a message, for templates.
constexpr std::array<std::string_view, 4> kFields = {"tool_calls", "tool_call_id", "name",
                                                     "reasoning_content"};
const Json kNoText = "";

/// What all samples of a file share.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& file) : folder_(file.parent_path()) {}

  /// `text`: of the line, where tools and calls are taken from in the order of its keys.
  Sample read(const JsonPart& line, std::string_view text, std::int64_t number) {
    check_keys(line);
    Sample sample;
    if (line.has("tools")) {
      if (!line.at("tools").value().is_array()) line.at("tools").fail_expecting("a list of tools");
      sample.tools = member(text, "tools");
    }
    sample.id = cat("line-", number);
    if (line.has("id")) sample.id = read_id(line.at("id"));
    if (line.has("kind")) sample.kind = line.at("kind").text();
    if (line.has("answer")) sample.answer = line.at("answer").text();
    sample.messages = line.has("messages") ? read_messages(line, text) : read_short_form(line);
    take_answer(sample, line);
    sample.digest = digest(sample, line);
    return sample;
  }

 private:
  /// Other keys may say where a sample comes from; a slip of the pen must not lose an answer or a picture.
  static void check_keys(const JsonPart& line) {
    static const std::vector<std::string> known = {"id",    "kind",   "messages", "answer",
                                                   "image", "prompt", "tools"};
    static const std::vector<std::string> dear = {"messages", "answer", "image", "prompt"};
    if (!line.value().is_object()) line.fail_expecting("an object");
    for (const auto& [key, value] : line.value().items()) {
      if (std::find(known.begin(), known.end(), key) != known.end()) continue;
      const std::string hint = did_you_mean(key, dear);
      if (!hint.empty()) fail(ErrorKind::input, line.where(), ": unknown key '", printable(key), "'", hint);
    }
  }

  static std::string read_id(const JsonPart& part) {
    return part.is_text() ? part.text() : std::to_string(part.integer());
  }

  static std::vector<JsonPart> some_items(const JsonPart& part) {
    const auto items = part.items();
    if (items.empty() || items.size() > kMostItems) part.fail_expecting(cat("1 to ", kMostItems, " items"));
    return items;
  }

  /// The text of a member of a JSON object; "" if absent.
  static std::string_view member(std::string_view object, std::string_view key) {
    for (JsonSlices members(object, ""); members.next();)
      if (members.key() == key) return members.value();
    return {};
  }

  /// What a chat template may read beside role and content.
  static std::string read_fields(std::string_view message) {
    std::string fields;
    for (JsonSlices members(message, ""); members.next();)
      if (std::ranges::find(kFields, members.key()) != kFields.end() && members.value() != "null")
        fields += cat(fields.empty() ? "{" : ", ", "\"", members.key(), "\": ", members.value());
    return fields.empty() ? fields : fields + "}";
  }

  std::vector<Message> read_messages(const JsonPart& line, std::string_view text) {
    if (line.has("prompt") || line.has("image")) {
      fail(ErrorKind::input, line.where(),
           ": 'messages' and the short form ('image', 'prompt') in one sample");
    }
    std::vector<Message> messages;
    JsonSlices texts(member(text, "messages"), line.where());
    for (const JsonPart& part : some_items(line.at("messages"))) {
      Message message{.role = read_role(part.at("role"))};
      if (texts.next()) message.fields = read_fields(texts.value());
      const bool calls = part.has("tool_calls") && part.value().contains("content") && !part.has("content");
      const JsonPart content = calls ? JsonPart(kNoText, part.where()) : part.at("content");
      if (content.is_text()) {
        message.content.push_back({.text = content.text()});
      } else {
        for (const JsonPart& item : some_items(content)) message.content.push_back(read_part(item));
      }
      messages.push_back(std::move(message));
    }
    return messages;
  }

  static std::string read_role(const JsonPart& part) {
    static const std::vector<std::string> roles = {"system", "user", "assistant", "tool"};
    if (std::find(roles.begin(), roles.end(), part.text()) == roles.end()) {
      fail(ErrorKind::input, part.where(), ": unknown role '", printable(part.text()), "'; expected ",
           join(roles, ", "), did_you_mean(part.text(), roles));
    }
    return part.text();
  }

  ContentPart read_part(const JsonPart& part) {
    const std::string& type = part.type();
    if (type == "text") return {.text = part.at("text").text()};
    if (type == "image") return read_image(part.at("image"));
    fail(ErrorKind::input, part.where(), ": unknown part type '", printable(type), "'; expected text, image");
  }

  std::vector<Message> read_short_form(const JsonPart& line) {
    Message message{.role = "user"};
    if (line.has("image")) {
      const JsonPart image = line.at("image");
      if (image.is_text()) {
        message.content.push_back(read_image(image));
      } else {
        for (const JsonPart& item : some_items(image)) message.content.push_back(read_image(item));
      }
    }
    if (!line.has("prompt"))
      fail(ErrorKind::input, line.where(), ": expected 'messages', or 'prompt' and 'image'");
    message.content.push_back({.text = line.at("prompt").text()});
    return {message};
  }

  ContentPart read_image(const JsonPart& part) {
    const std::string& path = part.text();
    if (path.empty() || path.find('\0') != path.npos || path.starts_with("data:") ||
        path.find("://") != path.npos) {
      part.fail_expecting("the path of a picture");
    }
    ContentPart content{.kind = ContentPart::Kind::image, .image = folder_ / path, .image_as_written = path};
    std::error_code error;
    if (!std::filesystem::is_regular_file(content.image, error)) {
      fail(ErrorKind::input, part.where(), ": no picture '", printable(content.image.string()),
           "'; paths are relative to the sample file");
    }
    const auto size = std::filesystem::file_size(content.image, error);
    if (!error && size > kLargestPicture) {
      fail(ErrorKind::input, part.where(), ": '", printable(path), "': expected at most ",
           human_bytes(kLargestPicture), ", found ", human_bytes(size));
    }
    return content;
  }

  /// Conversations of other programs end with the assistant's message: that is the answer.
  static void take_answer(Sample& sample, const JsonPart& line) {
    if (sample.messages.back().role == "assistant") {
      if (!sample.messages.back().fields.empty())
        fail(ErrorKind::input, line.where(),
             ": an answer is a text, found more: ", printable(sample.messages.back().fields));
      if (sample.answer)
        fail(ErrorKind::input, line.where(), ": 'answer', and a last message of the assistant");
      sample.answer.emplace();
      for (const ContentPart& part : sample.messages.back().content) {
        if (part.kind == ContentPart::Kind::image)
          fail(ErrorKind::input, line.where(), ": a picture in the answer");
        *sample.answer += part.text;
      }
      sample.messages.pop_back();
    }
    if (sample.messages.empty() ||
        (sample.messages.back().role != "user" && sample.messages.back().role != "tool")) {
      fail(ErrorKind::input, line.where(), ": expected a last message of the user before the answer");
    }
  }

  const std::string& picture_digest(const std::filesystem::path& picture) {
    std::string& digest = pictures_[picture.string()];
    if (digest.empty()) digest = sha256_file(picture);
    return digest;
  }

  std::string digest(const Sample& sample, const JsonPart& line) {
    return in_context(line.where(), [&] {
      Sha256 hash;
      const auto add = [&](std::string_view what, std::string_view text) {  // lengths keep texts apart
        hash.update(cat(what, " ", text.size(), "\n"));
        hash.update(text);
      };
      for (const Message& message : sample.messages) {
        add("role", message.role);
        if (!message.fields.empty()) add("fields", message.fields);
        for (const ContentPart& part : message.content) {
          if (part.kind == ContentPart::Kind::text)
            add("text", part.text);
          else
            add("image", picture_digest(part.image));
        }
      }
      if (!sample.tools.empty()) add("tools", sample.tools);
      if (sample.answer) add("answer", *sample.answer);
      return hash.hex();
    });
  }

  std::filesystem::path folder_;
  std::map<std::string, std::string> pictures_;  // SHA-256 by path
};

}  // namespace

std::vector<Sample> read_samples(const std::filesystem::path& file, std::int64_t limit) {
  const MappedFile mapped(file);
  std::string_view rest(reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size());
  if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
  Reader reader(file);
  std::vector<Sample> samples;
  for (std::int64_t number = 1; !rest.empty(); ++number) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (limit > 0 && static_cast<std::int64_t>(samples.size()) == limit) break;
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    const std::string where = cat(file.string(), ":", number);
    if (line.size() > kLongestLine) {
      fail(ErrorKind::input, where, ": expected at most ", human_bytes(kLongestLine), " a line, found ",
           human_bytes(line.size()));
    }
    const Json json = parse_json(line, where);
    samples.push_back(reader.read(JsonPart(json, where), line, number));
  }
  if (samples.empty()) fail(ErrorKind::input, file.string(), ": no samples; expected a JSON object a line");
  return samples;
}

}  // namespace mquant
