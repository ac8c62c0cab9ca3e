"""Samples for scripts/bench_calibrate.sh, in the form that mquant reads; the same bytes on every machine."""

import json
import random
import struct
import zlib
from pathlib import Path

DIGITS = Path(__file__).resolve().parents[2] / "tests/data/digits-vl"
TOKEN = 28  # pixels a side: what Qwen2-VL merges into one token
CELL = 4  # pixels a side of one colour: files stay small, and patches differ
ROWS, COLUMNS = range(25, 32), range(24, 33)  # tokens a picture: 600 to 992
QUESTIONS = ("What is in the picture?", "Which colours do you see?", "Describe the left half.",
             "Is there any text in it?", "How many objects are there?", "What stands out?")
ANSWERS = ("Coloured squares.", "All of them, in no order that I can see.", "Squares of four pixels, as on the right.",
           "No.", "More than I can count.", "Nothing does: one square is like the next.")


def png(width: int, height: int, colours: random.Random) -> bytes:
    """A picture of squares; written here, so that no library's version changes it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows: list[bytes] = []
    for _ in range(height // CELL):
        cells = colours.randbytes(3 * (width // CELL))
        line = b"\0" + b"".join(cells[i : i + 3] * CELL for i in range(0, len(cells), 3))
        rows.append(line * CELL)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(rows), 1))
            + chunk(b"IEND", b""))


def write_made_up(folder: Path, count: int) -> Path:
    """A file of `count` samples with a picture each; the first ones do not depend on `count`."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for i in range(count):
        chosen = random.Random(i)
        width, height = TOKEN * chosen.choice(COLUMNS), TOKEN * chosen.choice(ROWS)
        (images / f"{i:04}.png").write_bytes(png(width, height, chosen))
        content = [{"type": "image", "image": f"images/{i:04}.png"},
                   {"type": "text", "text": QUESTIONS[i % len(QUESTIONS)]}]
        lines.append(json.dumps({"id": f"made-up-{i:04}", "messages": [{"role": "user", "content": content}],
                                 "answer": ANSWERS[i // len(QUESTIONS) % len(ANSWERS)]}))
    file = folder / "samples.jsonl"
    file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return file


def write_digits(folder: Path) -> Path:
    """The calibration samples of digits-vl that have pictures.

    llm-compressor traces the model with the first sample, and what it has traced takes pictures from every other.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = (DIGITS / "calib.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    images, file = folder / "images", folder / "samples.jsonl"
    images.unlink(missing_ok=True)
    images.symlink_to(DIGITS / "images")
    file.write_text("".join(
        line for line in lines
        if any(part["type"] == "image" for message in json.loads(line)["messages"] for part in message["content"])),
        encoding="utf-8")
    return file
