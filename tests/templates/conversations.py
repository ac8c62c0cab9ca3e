"""Conversations for chat templates: of every shape that templates tell apart, from a seed."""

import random

TEXTS = [
    "Hi", "", " padded \n", "What is 12 * 34?", "请描述这张图片。\n\nCafé — «x» 👩‍🚀", "line\r\nline\ttab",
    "<think>\nI reason.\n</think>\n\nSo: 42.", "<tool_response>{}</tool_response>", "it's \"quoted\" \\ & <b>",
    "<|im_end|>", "{{ not a template }} {% raw %}", "/no_think please", "0", "a\u2028b\x0cc",
]
ARGUMENTS = [
    {}, {"city": "Zürich", "days": 3, "exact": True, "unit": None}, {"x": [1, 2.5, -0.0, 1e22, 1e-7]}, "{\"raw\": 1}",
    {"nested": {"b": 1, "a": [{"k": "v"}, []]}, "quote": "\"'<>&\u2028\x7f\u001f"},
]
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "The weather of a \"city\".", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "description": "Où?"},
                                         "days": {"type": ["integer", "null"], "default": 1, "enum": [1, 2, 3]}},
        "required": ["city"]}}},
    {"type": "function", "function": {"name": "noop", "description": "", "parameters": {"type": "object",
                                                                                       "properties": {}}}},
    {"type": "function", "function": {"name": "sum", "description": "Sums.", "parameters": {
        "type": "object", "properties": {"items": {"type": "array", "items": {"type": "number"}}},
        "required": ["items"]}, "return": {"type": "number"}}},
]


def content(rng, as_text):
    if as_text:
        return rng.choice(TEXTS)
    parts = []
    for _ in range(rng.randint(1, 3)):
        if rng.random() < 0.4:
            parts.append({"type": "image", "image": "a.png"})
        else:
            parts.append({"type": "text", "text": rng.choice(TEXTS)})
    return parts


def tool_call(rng, number):
    function = {"name": rng.choice(["weather", "sum", "noop"]), "arguments": rng.choice(ARGUMENTS)}
    return {"id": f"call{number:05d}", "type": "function", "function": function} if rng.random() < 0.8 else function


def conversation(rng):
    as_text = rng.random() < 0.5
    messages = []
    if rng.random() < 0.4:
        messages.append({"role": rng.choice(["system"] * 4 + ["developer"]), "content": content(rng, as_text)})
    for _ in range(rng.randint(1, 3)):
        messages.append({"role": "user", "content": content(rng, as_text)})
        if rng.random() < 0.35:
            calls = [tool_call(rng, number) for number in range(rng.randint(1, 2))]
            messages.append({"role": "assistant", "content": rng.choice(["", None, "Let me see."]) if as_text else
                             content(rng, False), "tool_calls": calls})
            for number in range(len(calls)):
                messages.append({"role": "tool", "content": content(rng, as_text), "tool_call_id": f"call{number:05d}",
                                 "name": "weather"})
        if rng.random() < 0.6:
            message = {"role": "assistant", "content": content(rng, as_text)}
            if rng.random() < 0.3:
                message["reasoning_content"] = rng.choice(TEXTS)
            messages.append(message)
    if rng.random() < 0.05:
        messages.append({"role": rng.choice(["system", "critic"]), "content": content(rng, as_text)})
    return messages


def conversations(count, seed):
    rng = random.Random(seed)
    for _ in range(count):
        variables = {"messages": conversation(rng), "add_generation_prompt": rng.random() < 0.7, "documents": None,
                     "tools": rng.sample(TOOLS, rng.randint(1, 3)) if rng.random() < 0.5 else None}
        if rng.random() < 0.8:
            variables |= {"bos_token": "<s>", "eos_token": "</s>"}
        if rng.random() < 0.2:
            variables["enable_thinking"] = rng.random() < 0.5
        if rng.random() < 0.1:
            variables["add_vision_id"] = True
        yield variables
