#!/usr/bin/env python3
"""llm-compressor's half of scripts/bench_calibrate.sh: GPTQ W4A8 of a Qwen2-VL on the samples of a file.

The decoder's linears get int4 weights, symmetric, a scale for each channel, and int8 inputs, one static scale for a
tensor; vision tower, projector, embeddings and head stay as they are, as in llm-compressor's own example for Qwen2-VL:
its sequential pipeline calls the tower as one piece that it does not look into.  All else is its default.

The result of --json has the seconds of each step, and the counts by which run.py sees that both programs had the same
work.
"""

import argparse
import importlib.metadata
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

START = time.monotonic()

import torch  # the imports are a step that is measured
from llmcompressor.entrypoints.oneshot import oneshot
from llmcompressor.modifiers.gptq import GPTQModifier
from PIL import Image
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

PLACE = "<|image_pad|>"
PACKAGES = ("llmcompressor", "transformers", "compressed-tensors", "torch")

Batch = dict[str, torch.Tensor]


class Processor:
    """Samples to tensors.

    AutoProcessor wants torchvision for its videos, whose CPU build is not on PyPI: its parts for text and pictures do
    without.
    """

    def __init__(self, model: Path) -> None:
        self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(model)
        self._pictures = Qwen2VLImageProcessorPil.from_pretrained(model)
        self._template = json.loads((model / "chat_template.json").read_text(encoding="utf-8"))["chat_template"]
        place = self.tokenizer.convert_tokens_to_ids(PLACE)
        assert isinstance(place, int)
        self._place = place

    def batch(self, sample: dict[str, Any], folder: Path) -> Batch:
        """Of a sample with pictures, its answer included."""
        answer = {"role": "assistant", "content": [{"type": "text", "text": sample["answer"]}]}
        parts = [part for message in sample["messages"] for part in message["content"]]
        images: list[Image.Image] = [Image.open(folder / part["image"]) for part in parts if part["type"] == "image"]
        pictures: Batch = dict(self._pictures(images=images, return_tensors="pt"))
        text = str(self.tokenizer.apply_chat_template([*sample["messages"], answer], tokenize=False,
                                                      chat_template=self._template))
        pieces = text.removesuffix("\n").split(PLACE)  # mquant stops after <|im_end|> as well
        merged = self._pictures.merge_size**2
        counts = [int(grid.prod()) // merged for grid in pictures["image_grid_thw"]]
        text = pieces[0] + "".join(PLACE * count + piece for count, piece in zip(counts, pieces[1:], strict=True))
        words: Batch = dict(self.tokenizer(text, return_tensors="pt"))
        return {**words, "mm_token_type_ids": words["input_ids"].eq(self._place).long(), **pictures}


def recipe() -> GPTQModifier:
    weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "channel"}
    inputs = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "tensor", "dynamic": False}
    return GPTQModifier(
        config_groups={"decoder": {"targets": ["Linear"], "weights": weights, "input_activations": inputs}},
        ignore=["lm_head", "re:.*visual.*"])


def schemes(model: torch.nn.Module) -> Counter[str]:
    """How many linears have which scheme."""
    found: Counter[str] = Counter()
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            scheme = getattr(module, "quantization_scheme", None)
            found["float" if scheme is None
                  else f"w{scheme.weights.num_bits}a{scheme.input_activations.num_bits}"] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Quantizes a Qwen2-VL with llm-compressor.")
    parser.add_argument("model", type=Path, help="checkpoint")
    parser.add_argument("--data", type=Path, required=True, help="samples, each with pictures and an answer")
    parser.add_argument("--output", type=Path, required=True, help="directory to write")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--json", type=Path, required=True, help="file for the result")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    seconds, last = {}, START

    def step(name: str) -> None:
        nonlocal last
        now = time.monotonic()
        seconds[name], last = now - last, now

    step("import")
    model = Qwen2VLForConditionalGeneration.from_pretrained(arguments.model, dtype="auto")
    step("load")
    processor = Processor(arguments.model)
    lines = arguments.data.read_text(encoding="utf-8").splitlines()
    batches = [processor.batch(json.loads(line), arguments.data.parent) for line in lines]
    step("samples")
    # A loader of tensors that are there already: a data set of Arrow would make lists of numbers of the pixels first.
    loader = DataLoader[Batch](batches, batch_size=None, shuffle=False)  # type: ignore[arg-type]  # a list will do
    oneshot(model=model, tokenizer=processor.tokenizer, dataset=loader, recipe=recipe(), pipeline="sequential")
    step("oneshot")
    model.save_pretrained(arguments.output, save_compressed=True)
    processor.tokenizer.save_pretrained(arguments.output)
    step("save")
    arguments.json.write_text(json.dumps({
        "seconds": seconds,
        "samples": len(batches),
        "tokens": sum(batch["input_ids"].numel() for batch in batches),
        "patches": sum(batch["pixel_values"].shape[0] for batch in batches),
        "schemes": schemes(model),
        "dtype": str(model.dtype),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
