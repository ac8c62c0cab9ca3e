#!/usr/bin/env python3
"""Reads a compressed-tensors artifact of mquant with numpy only, and checks it against its own manifest.

For every quantized linear: shapes and types, codes in range, scales positive, input_scale against the manifest's
largest class scale, and one product of random rows in integers against the same in floats.  Nothing of mquant is used,
so this is also the shortest description of how to read one.

    scripts/check_compressed_tensors.py ARTIFACT [--linear NAME]

Exits with 1 if something is wrong.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import numpy as np

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}


def read_safetensors(path):
    """{name: (type, shape, raw bytes mapped)} of one file."""
    data = np.memmap(path, dtype=np.uint8, mode="r")
    length = int(data[:8].view("<u8")[0])
    header = json.loads(data[8 : 8 + length].tobytes())
    header.pop("__metadata__", None)
    return {
        name: (t["dtype"], t["shape"], data[8 + length + t["data_offsets"][0] : 8 + length + t["data_offsets"][1]])
        for name, t in header.items()
    }


def to_array(tensor):
    """A numpy array; BF16 as float32."""
    dtype, shape, raw = tensor
    raw = np.ascontiguousarray(raw)
    if dtype == "BF16":
        return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    return raw.view(DTYPES[dtype]).reshape(shape)


def unpack(words, columns, bits):
    """int32 [out, words] -> int64 [out, columns] of signed codes, and whether the rest of each row is zero."""
    per_word = 32 // bits
    unsigned = words.view(np.uint32)
    codes = np.stack([(unsigned >> np.uint32(bits * i)) & np.uint32(2**bits - 1) for i in range(per_word)], axis=2)
    codes = codes.reshape(words.shape[0], -1).astype(np.int64)
    return codes[:, :columns] - 2 ** (bits - 1), not codes[:, columns:].any()


def group_of(module, quantization):
    """The config group whose target matches, as engines match: from the start of the name; None if ignored."""
    matches = lambda pattern: re.match(pattern.removeprefix("re:"), module) is not None
    if any(matches(p) for p in quantization["ignore"]):
        return None
    found = [g for g in quantization["config_groups"].values() if any(matches(p) for p in g["targets"])]
    return found[0] if found else None


def check_linear(name, entry, tensors, quantization, rng):
    """Yields what is wrong."""
    group = group_of(name, quantization)
    if entry["scheme"] == "float":
        if group is not None:
            yield "float, but a target of config.json matches it"
        return
    if group is None:
        yield "no target of config.json matches it"
        return
    bits, out, columns = entry["weight_bits"], entry["out"], entry["in"]
    if group["weights"]["num_bits"] != bits:
        yield f"config.json says {group['weights']['num_bits']} bits, the manifest {bits}"
    scale = to_array(tensors[name + ".weight_scale"]).astype(np.float64)
    codes, clean = unpack(to_array(tensors[name + ".weight_packed"]), columns, bits)
    if to_array(tensors[name + ".weight_shape"]).tolist() != [out, columns] or codes.shape != (out, columns):
        yield "shapes disagree"
    if scale.shape != (out, 1) or not (np.isfinite(scale).all() and (scale > 0).all()):
        yield "weight_scale: expected positive numbers [out, 1]"
    if not clean or codes.min() < (-8 if bits == 4 else -127):
        yield "codes out of range, or set bits behind the end of a row"
    x = rng.standard_normal((4, columns))
    if entry["activation_bits"] == 16:
        return
    static = float(to_array(tensors[name + ".input_scale"]).reshape(()))
    largest = max(s for s in entry["input_scales"].values() if s is not None)
    if not largest <= static <= largest * (1 + 2**-7):
        yield f"input_scale {static}: expected the largest class scale {largest}, rounded up"
    x = x * static * 40
    q = np.clip(np.rint(x / static), -127, 127).astype(np.int64)
    integers = static * scale.T * (q @ codes.T)
    floats = (q * static) @ (codes * scale).T
    if not np.allclose(integers, floats, rtol=1e-9, atol=1e-9 * np.abs(floats).max()):
        yield "the integer product is not the float product"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--linear", help="only this one, and print its first codes and scales")
    options = parser.parse_args()
    manifest = json.loads((options.artifact / "mquant_manifest.json").read_text())
    quantization = json.loads((options.artifact / "config.json").read_text())["quantization_config"]
    if quantization["quant_method"] != "compressed-tensors":
        sys.exit(f"{options.artifact}: quant_method is {quantization['quant_method']}")
    tensors = {}
    for path in sorted(options.artifact.glob("*.safetensors")):
        tensors.update(read_safetensors(path))
    rng = np.random.default_rng(0)
    wrong = checked = 0
    for name, entry in manifest["linears"].items():
        if options.linear not in (None, name):
            continue
        checked += 1
        for problem in check_linear(name, entry, tensors, quantization, rng):
            wrong += 1
            print(f"{name}: {problem}")
        if options.linear:
            codes, _ = unpack(to_array(tensors[name + ".weight_packed"]), entry["in"], entry["weight_bits"])
            print(codes[:4, :8], to_array(tensors[name + ".weight_scale"])[:4, 0], entry["input_scales"])
    print(f"{checked} linears, {wrong} problems")
    return 1 if wrong or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
