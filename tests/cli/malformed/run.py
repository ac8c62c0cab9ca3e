#!/usr/bin/env python3
"""Runs the table of malformed inputs, cases.txt, a row a case:

    code | command | change | what the line on stderr says

The program runs in a fresh directory with a checkpoint `m` (tests/data/goldens/qwen2_vl), samples `d.jsonl` beside their
`images`, a picture `p.png`, the recipe `r.json` and the zoo file `z.json`; commands of artifacts have one, `a`, and its calibration, `c`.  The
change is made first; several are separated by `;`:

    use FAMILY                 the checkpoint of another golden
    json FILE KEY=VALUE        sets a key (dots lead inwards, [N] into lists); `json FILE -KEY` removes it
    header FILE KEY=VALUE      the same in the header of a .safetensors file; FILE may be a pattern, the first match counts
    text FILE TEXT             the whole file; escapes as in Python (\\n, \\x00)
    repeat FILE A N B [N C]    the file holds A, N times B and, if given, N times C
    append FILE TEXT           at its end
    cut FILE N                 its first N bytes
    patch FILE AT TEXT         bytes from AT on (below zero: from the end)
    remove FILE, directory FILE, fifo FILE, link FILE TO, copy FROM TO
    deflate FILE RECORD N      adds a record of N zero bytes, or a few more, to a zip archive, compressed

The exit code must be the row's; stderr one line with the text of the row (or a line an obstacle, and one that counts them)
and, at most, warnings before it and a hint after it; no output may be left; memory, processor time and time are bounded.

    run.py --program build/dev/bin/mquant [--only TEXT]
"""

import argparse
import concurrent.futures
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import warnings
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
GOLDENS = ROOT / "tests/data/goldens"
MOST_MEMORY, MOST_CPU, MOST_TIME = 1 << 30, 20, 120  # bytes resident, seconds; a good run takes 250 MiB and a second
COMMANDS = {
    "inspect": "inspect m",
    "data": "inspect m --data d.jsonl",
    "calibrate": "calibrate m --data d.jsonl --output o",
    "recipe": "inspect m --recipe r.json",
    "set": "inspect m --set",  # the change is the value
    "generate": "generate m --image p.png --prompt hi --max-new-tokens 1",
    "eval": "eval m --data d.jsonl --limit 1 --max-new-tokens 1 --journal j.jsonl",
    "forward": "forward m --data d.jsonl --output o",
    "verify": "verify a",
    "run": "generate a --image p.png --prompt hi --max-new-tokens 1",
    "export": "export c --output o",
    "resume": "calibrate m --data d.jsonl --output c --resume",
    "zoo": "zoo z.json --output o --progress none",
}
OF_ARTIFACTS = {"verify", "run", "export", "resume"}


def unescaped(text):
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1")


def set_key(document, path, value):
    steps = [int(step[1:-1]) if step.startswith("[") else step for step in re.findall(r"\[\d+\]|[^.\[\]]+", path)]
    for step in steps[:-1]:
        document = document[step]
    if value is None:
        del document[steps[-1]]
    else:
        document[steps[-1]] = json.loads(value)


def edited(text, setting):
    document = json.loads(text)
    if setting.startswith("-"):
        set_key(document, setting[1:], None)
    else:
        set_key(document, *setting.split("=", 1))
    return json.dumps(document, ensure_ascii=False).encode()


class Case:
    """A directory of a case, and the changes to it."""

    def __init__(self, folder):
        self.folder = folder

    def path(self, name):
        return next(iter(sorted(self.folder.glob(name))), self.folder / name)

    def use(self, family):
        shutil.rmtree(self.folder / "m")
        shutil.copytree(GOLDENS / family / "model", self.folder / "m")

    def json(self, name, setting):
        self.path(name).write_bytes(edited(self.path(name).read_bytes(), setting))

    def header(self, name, setting):
        old = self.path(name).read_bytes()
        end = 8 + int.from_bytes(old[:8], "little")
        dots = re.match(r"(-?)(.*)\.([a-z_]+(?:\[\d+\])?(?:=.*)?)$", setting)  # names of tensors have dots
        header = json.loads(old[8:end])
        if setting.startswith("-") and setting[1:] in header:
            del header[setting[1:]]
            text = json.dumps(header).encode()
        else:
            text = json.dumps({**header, dots[2]: json.loads(edited(json.dumps(header[dots[2]]), dots[1] + dots[3]))})
            text = text.encode()
        self.path(name).write_bytes(len(text).to_bytes(8, "little") + text + old[end:])

    def text(self, name, text):
        self.path(name).write_bytes(unescaped(text))

    def repeat(self, name, start, *counts_and_texts):
        counts, texts = counts_and_texts[::2], counts_and_texts[1::2]
        self.path(name).write_bytes(unescaped(start) + b"".join(unescaped(t) * int(n) for n, t in zip(counts, texts)))

    def append(self, name, text):
        with open(self.path(name), "ab") as file:
            file.write(unescaped(text))

    def cut(self, name, size):
        os.truncate(self.path(name), int(size))

    def patch(self, name, at, text):
        data, new = bytearray(self.path(name).read_bytes()), unescaped(text)
        begin = int(at) % len(data)
        data[begin:begin + len(new)] = new
        self.path(name).write_bytes(data)

    def remove(self, name):
        path = self.path(name)
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def directory(self, name):
        path = self.path(name)
        path.unlink(missing_ok=True)
        path.mkdir()

    def fifo(self, name):
        path = self.path(name)
        path.unlink(missing_ok=True)
        os.mkfifo(path)

    def link(self, name, to):
        path = self.path(name)
        path.unlink(missing_ok=True)
        path.symlink_to(to)

    def copy(self, source, target):
        shutil.copy(ROOT / source if source.startswith("tests/") else self.path(source), self.folder / target)

    def deflate(self, name, record, size):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a record may be there already
            with zipfile.ZipFile(self.path(name), "a", zipfile.ZIP_DEFLATED) as archive:
                with archive.open(record, "w", force_zip64=True) as file:
                    for _ in range(0, int(size), 1 << 20):
                        file.write(bytes(1 << 20))

    def change(self, text):
        words = shlex.split(text)
        while words:
            end = words.index(";") if ";" in words else len(words)
            getattr(self, words[0])(*words[1:end])
            words = words[end + 1:]


def prepare(folder, command, artifacts):
    golden = GOLDENS / "qwen2_vl"
    shutil.copytree(golden / "model", folder / "m")
    shutil.copytree(golden / "images", folder / "images")
    shutil.copy(golden / "cases.jsonl", folder / "d.jsonl")
    shutil.copy(GOLDENS / "images/rgb.png", folder / "p.png")
    shutil.copy(ROOT / "configs/w4a8.json", folder / "r.json")
    (folder / "z.json").write_text(json.dumps({"defaults": {"data": "d.jsonl", "recipes": ["w4a8"]}, "models": ["m"]}))
    if command in OF_ARTIFACTS:
        for name in ("a", "c"):
            shutil.copytree(artifacts / name, folder / name)


def run(program, arguments, folder, sanitized=False):
    """(exit code, stderr, stdout, bytes resident, seconds of processor time)"""

    def limit():  # what takes more must not take the machine's
        resource.setrlimit(resource.RLIMIT_AS, (4 * MOST_MEMORY, 4 * MOST_MEMORY))

    environment = {k: v for k, v in os.environ.items() if not k.startswith("MQUANT_")} | {"OMP_NUM_THREADS": "1"}
    with open(folder / "screen", "wb") as screen:
        process = subprocess.Popen([program, *arguments, "--threads", "1"], cwd=folder, env=environment,
                                   stdin=subprocess.DEVNULL, stdout=screen, stderr=subprocess.PIPE,
                                   preexec_fn=None if sanitized else limit)
    timer = threading.Timer(MOST_TIME, process.kill)
    timer.start()
    err = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    texts = (err.decode(errors="backslashreplace"), (folder / "screen").read_text(errors="backslashreplace"))
    return process.returncode, *texts, usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime


def faults(row, program, artifacts, sanitized):
    """What is wrong with the answer to a row."""
    code, command, change, line = row
    with tempfile.TemporaryDirectory(prefix="mquant-malformed-") as name:
        folder = Path(name)
        prepare(folder, command, artifacts)
        arguments = shlex.split(COMMANDS[command])
        if command == "set":
            arguments.append(change)
        else:
            Case(folder).change(change)
        found, err, screen, memory, seconds = run(program, arguments, folder, sanitized)
        left = [p.name for p in folder.iterdir() if p.name.startswith("o")]
    lines = [text for text in err.splitlines() if not text.startswith(("warning: ", "hint: "))]
    errors = [text for text in lines if text.startswith("mquant: error: ")]
    if found != int(code):
        yield f"exit code {found}"
    if errors[-1:] != lines[-1:] or len(errors) > 1 and "obstacles, as told above" not in errors[-1]:
        yield f"{len(errors)} error lines of {len(lines)}"
    if not all(part in err + screen for part in line.split(" ... ")):
        yield "another line"
    if any(ord(c) < 32 and c != "\n" or ord(c) == 127 for c in err):
        yield "control characters"
    if max(map(len, lines), default=0) > 1500:
        yield f"a line of {max(map(len, lines))} characters"
    if left:
        yield f"left behind: {left}"
    if not sanitized and memory > MOST_MEMORY:
        yield f"{memory >> 20} MiB"
    if not sanitized and seconds > MOST_CPU:
        yield f"{seconds:.0f} s of processor time"
    yield err  # for the message, if there is any fault before it


def rows(path):
    for number, text in enumerate(path.read_text().splitlines(), 1):
        if text and not text.startswith("#"):
            columns = [column.strip() for column in text.split(" | ")]
            if len(columns) != 4 or columns[1] not in COMMANDS:
                sys.exit(f"{path}:{number}: expected code | command | change | line")
            yield number, columns


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", required=True, type=Path)
    parser.add_argument("--only", default="", help="rows that hold this text")
    options = parser.parse_args()
    program = str(options.program.resolve())
    sanitized = b"__asan_" in options.program.read_bytes()

    with tempfile.TemporaryDirectory(prefix="mquant-malformed-") as name:
        artifacts = Path(name)
        prepare(artifacts, "", None)
        made = subprocess.run([program, "quantize", "m", "--data", "d.jsonl", "--output", "a", "--calibration", "c"],
                              cwd=artifacts, capture_output=True)
        if made.returncode != 0:
            sys.exit(f"the artifact could not be made: {made.stderr.decode()}")
        wanted = [(n, row) for n, row in rows(HERE / "cases.txt") if options.only in " | ".join(row)]
        failures = 0
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            answers = pool.map(lambda item: list(faults(item[1], program, artifacts, sanitized)), wanted)
            for (number, row), (*found, err) in zip(wanted, answers):
                if found:
                    failures += 1
                    print(f"cases.txt:{number}: {' | '.join(row)}\n  {', '.join(found)}\n  {err.strip()[:1000]}")
    print(f"malformed: {len(wanted)} cases, {failures} failures")
    return 1 if failures or not wanted else 0


if __name__ == "__main__":
    sys.exit(main())
