// A chat template: parsed, and rendered for a conversation that has all that conversations have.
#include "text/jinja/template.h"

#include <nlohmann/json.hpp>

#include "tests/fuzz/target.h"

namespace {

const nlohmann::ordered_json& conversation() {
  static const auto& variables = *new auto(nlohmann::ordered_json::parse(R"({
    "messages": [
      {"role": "system", "content": "Be brief."},
      {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " What's this,\n<b>caf\u00e9</b>? "}]},
      {"role": "assistant", "content": "", "reasoning_content": "Well.",
       "tool_calls": [{"id": "1", "type": "function", "function": {"name": "look", "arguments": {"at": [1, 2.5, null]}}}]},
      {"role": "tool", "name": "look", "tool_call_id": "1", "content": "A cat."},
      {"role": "user", "content": "And then?"}],
    "tools": [{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters":
               {"type": "object", "properties": {"at": {"type": "array"}}, "required": ["at"]}}}],
    "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": true, "enable_thinking": false})"));
  return variables;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mquant;
  return fuzz::read_or_refuse([&] {
    jinja::Template::parse(fuzz::text_of(data, size), "template")
        .render(conversation(), jinja::parse_date("2024-07-26"));
  });
}
