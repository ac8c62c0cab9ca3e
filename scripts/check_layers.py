#!/usr/bin/env python3
"""Checks that includes and CMake's USES follow the layers, and that heavy headers stay where they belong.

Prints file:line for each violation; exits with 1 if there is one.  ctest runs it as `check_layers`.
"""

import re
import sys
from pathlib import Path

# Each folder of src/ and the folders that it may include from.  Lower layers first: nothing names a later line.
LAYERS = {
    "support": [],
    "kernels": ["support"],
    "io": ["support"],
    "model": ["support"],
    "recipe": ["support", "io", "model"],
    "text": ["support", "io"],
    "vision": ["support", "io"],
    "families": ["support", "io", "model", "text", "vision"],
    "nn": ["support", "kernels", "io", "model"],
    "runtime": ["support", "kernels", "model", "nn"],
    "quant": ["support", "kernels", "model"],
    "passes": ["support", "kernels", "io", "model", "nn", "quant"],
    "artifact": ["support", "kernels", "io", "model"],
}
EVERYTHING_BELOW = list(LAYERS)
LAYERS["pipeline"] = EVERYTHING_BELOW
LAYERS["eval"] = EVERYTHING_BELOW + ["pipeline"]
LAYERS["bench"] = EVERYTHING_BELOW + ["pipeline", "eval"]
LAYERS["zoo"] = ["support", "io", "model", "recipe", "artifact"]  # all else is processes of the program
TORCH = {"nn", "runtime", "quant", "passes", "pipeline", "eval", "bench"}
TORCH_HEADERS = {"tensor.h", "block.h", "pass.h"}  # of include/mquant

# Heavy headers: a pattern of the name between <>, and who may include it; CPP: in .cpp files only.
CPP = "cpp only"
HEAVY = [
    (r"torch/torch\.h|ATen/ATen\.h|regex", set()),
    (r"(torch|ATen|c10|caffe2)/", TORCH),
    (r"spdlog/", {"support/log.cpp"}),
    (r"CLI/", {"tools"}),
    (r"Eigen/", {"kernels"}),
    (r"nlohmann/(?!json_fwd)", {"io", "text", "recipe", "artifact", "pipeline", "eval", "zoo", "tools", CPP}),
    (r"pugixml", {"zoo/junit.cpp"}),
]

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def violation(path, name, quoted):
    """Why `path`, relative to the root, may not include `name`; None if it may."""
    top, folder = path.parts[0], path.parts[1]
    layer = folder if top == "src" else top
    if top == "src" and layer not in LAYERS:
        return None  # check_cmake tells
    if quoted:
        target = name.split("/")[0]
        if target == "mquant":
            if name.split("/")[-1] in TORCH_HEADERS and top == "src" and layer not in TORCH:
                return f"{layer} does not see libtorch"
        elif target in LAYERS and top == "include":
            return "public headers include public headers only"
        elif target in LAYERS and top == "src" and target != layer and target not in LAYERS[layer]:
            return f"{layer} may use {', '.join(LAYERS[layer]) or 'nothing'}"
        elif target == "tests":
            return "tests are for tests"
        return None
    for pattern, allowed in HEAVY:
        if re.match(pattern, name):
            at_home = layer in allowed or "/".join(path.parts[1:]) in allowed
            if top == "include" and pattern.startswith("(torch") and path.name == "tensor.h":
                return None
            if not at_home or (CPP in allowed and path.suffix != ".cpp"):
                homes = ", ".join(sorted(allowed - {CPP})) or "nowhere"
                return f"it belongs to: {homes}{', in .cpp files only' if CPP in allowed else ''}"
            return None
    return None


def check_includes(root):
    for top in ("include", "src", "tools"):
        for file in sorted((root / top).rglob("*")):
            if file.suffix not in {".h", ".cpp", ".def"}:
                continue
            path = file.relative_to(root)
            for number, line in enumerate(file.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                reason = match and violation(path, match[2], match[1] == '"')
                if reason:
                    yield f"{path}:{number}: {match[2]}: {reason}"


def check_cmake(root):
    for file in sorted((root / "src").glob("*/CMakeLists.txt")):
        layer, path = file.parent.name, file.relative_to(root)
        if layer not in LAYERS:
            yield f"{path}:1: folder {layer} is in no layer; add it to scripts/check_layers.py"
            continue
        section = None
        for number, line in enumerate(file.read_text().splitlines(), 1):
            for word in re.findall(r"[\w:.$]+", line.split("#")[0]):
                if re.fullmatch(r"[A-Z_]+", word):
                    section = word
                    if word.startswith("TORCH") and layer not in TORCH:
                        yield f"{path}:{number}: {layer} does not see libtorch"
                elif section == "USES" and word not in LAYERS[layer]:
                    yield f"{path}:{number}: USES {word}: {layer} may use {', '.join(LAYERS[layer]) or 'nothing'}"


def main():
    root = Path(__file__).resolve().parent.parent
    violations = [*check_includes(root), *check_cmake(root)]
    print("\n".join(violations) or "layers: fine")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
