#include "text/sample_reader.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "io/json_slices.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "support/sha256.h"
#include "support/strings.h"
#include "text/sample_keys.h"

namespace mquant {
namespace {

constexpr std::size_t kMostItems = 1000;  // messages of a sample, parts of a message, pictures
constexpr std::string_view kMark = "<image>";

/// What a chat template may read of a message beside its role and content.
constexpr std::array<std::string_view, 4> kFields = {"tool_calls", "tool_call_id", "name",
                                                     "reasoning_content"};

/// The roles of ShareGPT, LLaMA-Factory and OpenAI by ours.
constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kRoles = {
    {{"system", "system"},
     {"user", "user"},
     {"assistant", "assistant"},
     {"tool", "tool"},
     {"human", "user"},
     {"gpt", "assistant"},
     {"function_call", "assistant"},
     {"observation", "tool"},
     {"function", "tool"}}};

std::string read_role(const JsonPart& part) {
  std::vector<std::string> known;
  for (const auto& [name, role] : kRoles) {
    if (name == part.text()) return std::string(role);
    known.emplace_back(name);
  }
  fail(ErrorKind::input, part.where(), ": unknown role '", printable(part.text()), "'; expected ",
       join(known, ", "), did_you_mean(part.text(), known));
}

/// A picture that a text spells, or another medium that it has a place for, would be lost.
void refuse_other_marks(const JsonPart& part) {
  for (const char* mark : {"<video>", "<audio>"})
    if (part.text().find(mark) != std::string::npos) part.fail_unsupported(cat(mark, " in a text"));
  for (const auto& [begin, end] : {std::pair("<img>", "</img>"), std::pair("<image>", "</image>")})
    if (const std::size_t at = part.text().find(begin);
        at != std::string::npos && part.text().find(end, at) != std::string::npos)
      fail(ErrorKind::input, part.where(), ": a picture that the text spells (", begin, "...", end,
           "); give its path as a part or beside the messages, with ", kMark, " in its place");
}

std::vector<JsonPart> some_items(const JsonPart& part) {
  auto items = part.items();
  if (items.empty() || items.size() > kMostItems) part.fail_expecting(cat("1 to ", kMostItems, " items"));
  return items;
}

/// A text that has no place for pictures; `advice` says where they have one.
const std::string& text_without_marks(const JsonPart& part, std::string_view advice) {
  refuse_other_marks(part);
  if (part.text().find(kMark) != std::string::npos)
    fail(ErrorKind::input, part.where(), ": ", kMark, " in the text: ", advice);
  return part.text();
}

/// The member that has one of two names.
JsonPart either(const JsonPart& part, const char* ours, const char* other) {
  const bool has_other = has_some(part, other);
  if (has_some(part, ours) && has_other)
    fail(ErrorKind::input, part.where(), ": both '", ours, "' and '", other,
         "', two names of one key; keep one");
  return part.at(has_other ? other : ours);
}

/// The text of a member of an object, "" if it is absent.
std::string_view member(std::string_view object, std::string_view key) {
  for (JsonSlices members(object, "a sample"); members.next();)
    if (members.key() == key) return members.value();
  return {};
}

/// JSON text of the members that a template may read.
std::string read_fields(const JsonPart& part, std::string_view text) {
  std::string fields;
  if (std::ranges::none_of(kFields, [&](std::string_view key) { return has_some(part, key); })) return fields;
  for (JsonSlices members(text, part.where()); members.next();) {
    const std::string& key = members.key();
    if (std::ranges::find(kFields, key) == kFields.end() || !has_some(part, key)) continue;
    if (key == "tool_calls")
      part.at(key).items();
    else
      part.at(key).text();
    fields += cat(fields.empty() ? "{" : ", ", '"', key, "\": ", members.value());
  }
  return fields + "}";
}

/// LLaMA-Factory writes calls as JSON in the text of a message: one, or a list of them.
std::string calls_in_text(const JsonPart& part) {
  const std::string& text = part.text();
  const Json calls = parse_json(text, part.where());
  std::string list;
  const auto add = [&](std::string_view call) {
    list += cat(list.empty() ? "" : ", ", R"({"type": "function", "function": )", call, "}");
  };
  if (calls.is_array())
    for (JsonSlices items(text, part.where()); items.next();) add(items.value());
  else if (calls.is_object())
    add(text);
  else
    JsonPart(calls, part.where()).fail_expecting("a call (an object), or a list of calls");
  return cat(R"({"tool_calls": [)", list, "]}");
}

/// A list of tools, or the text of one.
std::string read_tools(const JsonPart& sample, std::string_view text) {
  if (!has_some(sample, "tools")) return "";
  const JsonPart part = sample.at("tools");
  const std::string tools = part.is_text() ? part.text() : std::string(member(text, "tools"));
  if (tools.empty()) return "";
  const Json list = parse_json(tools, part.where());
  for (const JsonPart& tool : JsonPart(list, part.where()).items())
    if (!tool.value().is_object()) tool.fail_expecting("the description of a tool (an object)");
  return list.empty() ? "" : tools;
}

/// Conversations of other programs end with the assistant's message: that is the answer.
void take_answer(Sample& sample, const JsonPart& part) {
  const auto refuse = [&](const char* what) { fail(ErrorKind::input, part.where(), ": ", what); };
  if (sample.messages.back().role == "assistant") {
    if (sample.answer) refuse("'answer', and a last message of the assistant; keep one");
    if (!sample.messages.back().fields.empty())
      refuse("expected a last message of text alone, which is the answer, found tool calls or other fields");
    sample.answer.emplace();
    for (const ContentPart& content : sample.messages.back().content) {
      if (content.kind == ContentPart::Kind::image) refuse("a picture in the answer");
      *sample.answer += content.text;
    }
    sample.messages.pop_back();
  }
  if (sample.messages.empty() ||
      (sample.messages.back().role != "user" && sample.messages.back().role != "tool"))
    refuse("expected a last message of the user, or of a tool, before the answer");
}

}  // namespace

/// The pictures that stand beside the messages, and how many marks have asked for one.
struct SampleReader::Marked {
  std::vector<ContentPart> pictures;
  std::size_t marks = 0;

  void add_picture(Message& message) {
    if (marks < pictures.size()) message.content.push_back(pictures[marks]);
    ++marks;
  }
  void add_text(const JsonPart& part, Message& message) {
    refuse_other_marks(part);
    add_text(part.text(), message);
  }
  /// The line break after a mark, and that before one at the end, set it apart and are not part of the text: a
  /// family's template writes its own.
  void add_text(std::string_view text, Message& message) {
    std::size_t mark = text.find(kMark);
    if (mark == text.npos) message.content.push_back({.text = std::string(text)});
    for (; mark != text.npos; mark = text.find(kMark)) {
      std::string_view before = text.substr(0, mark);
      text.remove_prefix(mark + kMark.size());
      if (text.empty() && before.ends_with('\n')) before.remove_suffix(before.ends_with("\r\n") ? 2 : 1);
      if (text.starts_with('\n') || text.starts_with("\r\n")) text.remove_prefix(text.find('\n') + 1);
      if (!before.empty()) message.content.push_back({.text = std::string(before)});
      add_picture(message);
      if (!text.empty() && text.find(kMark) == text.npos)
        message.content.push_back({.text = std::string(text)});
    }
  }
};

void SampleReader::tell_once(const JsonPart& part, const std::string& what) {
  if (told_.insert(what).second) warn(cat(part.where(), ": ", what, " (told once for a file)"));
}

std::vector<ContentPart> SampleReader::read_pictures(const JsonPart& part) const {
  if (part.is_text()) return {pictures_.read(part)};
  if (!part.value().is_array()) part.fail_expecting("the path of a picture, or a list of them");
  std::vector<ContentPart> pictures;
  for (const JsonPart& item : some_items(part)) pictures.push_back(pictures_.read(item));
  return pictures;
}

/// Text, and pictures by path or URI; a picture without one stands for the next of those beside the messages.
void SampleReader::read_parts(const JsonPart& list, Marked& marked, Message& message) {
  for (const JsonPart& part : some_items(list)) {
    const std::string& type = part.type();
    if (type == "text") {
      check_keys(part, {"type", "text"});
      marked.add_text(part.at("text"), message);
    } else if (type == "image") {
      check_keys(part, {"type", "image", "url", "path"});
      std::vector<const char*> places = {"image", "url", "path"};
      std::erase_if(places, [&](const char* key) { return !has_some(part, key); });
      if (places.size() > 1) fail(ErrorKind::input, part.where(), ": more than one place of a picture");
      if (places.empty())
        marked.add_picture(message);
      else
        message.content.push_back(pictures_.read(part.at(places[0])));
    } else if (type == "image_url") {
      check_keys(part, {"type", "image_url"});
      const JsonPart place = part.at("image_url");
      if (!place.is_text()) check_keys(place, {"url"}, {"detail"});
      message.content.push_back(pictures_.read(place.is_text() ? place : place.at("url")));
    } else if (type.starts_with("video") || type.find("audio") != type.npos) {
      part.fail_unsupported(cat("a part of type '", printable(type), "'"));
    } else {
      fail(ErrorKind::input, part.where(), ": unknown part type '", printable(type),
           "'; expected text, image, image_url");
    }
  }
}

Message SampleReader::read_message(const JsonPart& part, std::string_view text, Marked& marked) {
  check_keys(part, message_keys());
  const JsonPart role = either(part, "role", "from");
  Message message{.role = read_role(role), .content = {}, .fields = read_fields(part, text)};
  if (has_some(part, "images")) {  // Ollama
    const JsonPart images = part.at("images");
    tell_once(images, "the pictures beside the text of a message stand before it");
    for (ContentPart& picture : read_pictures(images)) message.content.push_back(std::move(picture));
  }
  if (role.text() == "function_call") {
    if (!message.fields.empty()) fail(ErrorKind::input, part.where(), ": calls in the text and beside it");
    message.fields = calls_in_text(either(part, "content", "value"));
    return message;
  }
  if (has_some(part, "tool_calls") && !has_some(part, "content") && !has_some(part, "value")) return message;
  const JsonPart content = either(part, "content", "value");
  message.is_text = content.is_text();
  if (content.is_text())
    marked.add_text(content, message);
  else if (content.value().is_array())
    read_parts(content, marked, message);
  else
    content.fail_expecting("a text or a list of parts");
  return message;
}

std::vector<Message> SampleReader::read_messages(const JsonPart& sample, std::string_view text) {
  if (has_some(sample, "prompt")) {
    fail(ErrorKind::input, sample.where(),
         ": a list of messages and the short form ('prompt') in one sample");
  }
  const char* key = has_some(sample, "conversations") ? "conversations" : "messages";
  const JsonPart list = either(sample, "messages", "conversations");
  Marked marked;
  if (has_some(sample, "image") || has_some(sample, "images"))
    marked.pictures = read_pictures(either(sample, "images", "image"));
  std::vector<Message> messages;
  const std::vector<JsonPart> parts = some_items(list);
  JsonSlices texts(member(text, key), list.where());
  for (const JsonPart& part : parts) {
    require(texts.next(), "a list of messages without their texts");
    messages.push_back(read_message(part, texts.value(), marked));
  }
  if (marked.marks != marked.pictures.size()) {
    fail(ErrorKind::input, sample.where(),
         ": expected a place for each picture beside the messages; pictures ('image', 'images'): ",
         marked.pictures.size(), ", places (", kMark,
         " in a text, or a part {\"type\": \"image\"} without a path): ", marked.marks);
  }
  return messages;
}

Message SampleReader::read_short_form(const JsonPart& sample) {
  if (!has_some(sample, "prompt")) {
    fail(ErrorKind::input, sample.where(), ": expected 'messages', or 'prompt' and 'image'");
  }
  Message message{.role = "user", .content = {}};
  if (has_some(sample, "image") || has_some(sample, "images"))
    message.content = read_pictures(either(sample, "image", "images"));
  message.is_text = message.content.empty();
  message.content.push_back({.text = text_without_marks(sample.at("prompt"),
                                                        "in this form pictures stand before it; remove the "
                                                        "mark, or write 'conversations'")});
  return message;
}

std::string SampleReader::digest(const Sample& sample) {
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
        add("image", pictures_.digest(part));
    }
  }
  if (!sample.tools.empty()) add("tools", sample.tools);
  if (sample.answer) add("answer", *sample.answer);
  return hash.hex();
}

Sample SampleReader::read(const JsonPart& part, std::string_view text, std::string id) {
  check_keys(part, sample_keys(), provenance_keys());
  Sample sample;
  sample.id = std::move(id);
  if (has_some(part, "id"))
    sample.id = part.at("id").is_text() ? part.at("id").text() : std::to_string(part.at("id").integer());
  const auto [first, is_new] = ids_.emplace(sample.id, part.where());
  if (!is_new) {
    fail(ErrorKind::input, part.where(), ": id '", printable(sample.id), "' is that of ", first->second,
         " too; expected one of its own for each sample");
  }
  if (has_some(part, "kind")) sample.kind = part.at("kind").text();
  const char* no_pictures = "pictures stand in messages of the user only; remove the mark";
  if (has_some(part, "answer")) sample.answer = text_without_marks(part.at("answer"), no_pictures);
  sample.tools = read_tools(part, text);
  if (has_some(part, "messages") || has_some(part, "conversations"))
    sample.messages = read_messages(part, text);
  else
    sample.messages.push_back(read_short_form(part));
  if (has_some(part, "system") && !part.at("system").text().empty()) {
    tell_once(part.at("system"), "'system' is the first message");
    if (sample.messages.front().role == "system")
      fail(ErrorKind::input, part.where(), ": 'system', and a first message of the system; keep one");
    std::string text_of_system = text_without_marks(part.at("system"), no_pictures);
    sample.messages.insert(
        sample.messages.begin(),
        {.role = "system", .content = {{.text = std::move(text_of_system)}}, .is_text = true});
  }
  take_answer(sample, part);
  sample.digest = in_context(part.where(), [&] { return digest(sample); });
  return sample;
}

}  // namespace mquant
