#!/usr/bin/env python3
"""Calibrates, exports and evaluates each row for each subject, for scripts/real.sh, which says how to call it.

A result is a file: RESULTS/SUBJECT/ROW-SEED.json.  Its `key` is a digest of all that it depends on, so that a row is
run again when one of that has changed, and only then.
"""

import argparse
import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TextIO

from rows import ROWS, SUBJECTS, Row, Subject
from table import Result, markdown

DATA = Path(__file__).resolve().parents[2] / "tests/data/smol-vl"
TEXT, QUESTIONS = DATA / "text.jsonl", DATA / "eval.jsonl"


class MeasureError(Exception):
    """Says what was expected, what was found and what to do."""


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write_json(path: Path, value: Any) -> None:
    """Complete or absent."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


class Program:
    """mquant: its identity, its recipes, its commands."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise MeasureError(f"{path}: expected the program mquant, found nothing; "
                               "MQUANT names it, without that scripts/real.sh builds it")
        self._path = path.resolve()
        self.digest = digest_of(self._path)
        self.version = self._output("--version").strip()
        self.recipes: dict[str, Any] = {
            recipe["name"]: recipe["recipe"] for recipe in json.loads(self._output("list", "recipes", "--json"))}

    def _output(self, *arguments: str) -> str:
        return subprocess.run([self._path, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout

    def run(self, *arguments: str | Path) -> None:
        """Its results go into files, its progress to the terminal."""
        words = [str(argument) for argument in arguments]
        print("+ mquant " + " ".join(words), file=sys.stderr, flush=True)
        status = subprocess.run([self._path, *words], stdout=subprocess.DEVNULL, check=False).returncode
        if status == 130:
            raise KeyboardInterrupt
        if status != 0:
            raise MeasureError(f"mquant {words[0]} ended with {status}; its message stands above")

    def check_unchanged(self) -> None:
        """Somebody may build it while a row runs; what ran then is not known."""
        if digest_of(self._path) != self.digest:
            raise MeasureError(f"{self._path}: it was replaced while this row ran; run the script again")


@dataclass(frozen=True)
class Place:
    """Where things of one subject lie."""

    checkpoint: Path
    calibration: Path  # a file of samples
    results: Path
    recipes: Path
    work: Path


def joined_samples(subject: Subject, folder: Path) -> Path:
    """The calibration samples in one file, pictures reachable by the same paths."""
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for name, count in subject.calibration:
        lines += (DATA / name).read_text(encoding="utf-8").splitlines()[: count or None]
    ids = [json.loads(line)["id"] for line in lines]
    if len(set(ids)) != len(ids):
        raise MeasureError(f"calibration of {subject.name}: expected an id of its own for each sample, "
                           f"found {len(ids) - len(set(ids))} twice; rename them in {DATA}")
    images, file = folder / "images", folder / "calib.jsonl"
    images.unlink(missing_ok=True)
    images.symlink_to(DATA / "images")
    file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return file


def place_of(subject: Subject, checkpoints: Path, output: Path) -> Place:
    checkpoint = checkpoints / subject.checkpoint
    if not (checkpoint / "model.safetensors").is_file():
        raise MeasureError(f"{checkpoint}: expected a checkpoint, found none; scripts/real.sh builds it")
    results, recipes = output / "results" / subject.name, output / "recipes"
    for folder in (results, recipes):
        folder.mkdir(parents=True, exist_ok=True)
    return Place(checkpoint, joined_samples(subject, output / "data" / subject.name), results, recipes,
                 output / "work" / subject.name)


def recipe_of(row: Row, program: Program) -> dict[str, Any]:
    """The recipe's document, with the pass that the row adds."""
    if row.recipe not in program.recipes:
        raise MeasureError(f"row {row.name}: expected the recipe {row.recipe}, found {', '.join(program.recipes)}; "
                           "change scripts/real/rows.py")
    recipe: dict[str, Any] = json.loads(json.dumps(program.recipes[row.recipe]))  # a copy
    if row.add:
        added, successor = row.add
        names = [entry["pass"] for entry in recipe["passes"]]
        if successor not in names:
            raise MeasureError(f"row {row.name}: expected a pass {successor} in the recipe {row.recipe}, "
                               f"found {', '.join(names)}; change scripts/real/rows.py")
        recipe["passes"].insert(names.index(successor), {"pass": added})
    return recipe


def evaluate(program: Program, subject: Subject, place: Place, model: Path, work: Path) -> Result:
    """Perplexity of the text, agreement where `model` is not the reference itself, and answers to the questions."""
    reference = [] if model == place.checkpoint else ["--reference", str(place.checkpoint)]
    program.run("eval", model, "--data", TEXT, "--max-new-tokens", "1", *reference, f"--json={work / 'text.json'}")
    text = json.loads((work / "text.json").read_text(encoding="utf-8"))
    # A sink is a class of its own in some rows, and text in others: all tokens, so that rows compare.
    classes = list(text["agreement"].values())
    tokens = sum(entry["tokens"] for entry in classes)
    result: Result = {"perplexity": text["perplexity"], "agreement": text["agreement"], "exact": None,
                      "questions": None}
    for name in ("kl", "top1"):
        result[name] = sum(entry["tokens"] * entry[name] for entry in classes) / tokens if tokens else None
    if subject.questions:
        program.run("eval", model, "--data", QUESTIONS, f"--json={work / 'questions.json'}")
        answers = json.loads((work / "questions.json").read_text(encoding="utf-8"))["all"]
        result.update(exact=answers["exact"], questions=answers["samples"])
    return result


def quantize(program: Program, row: Row, seed: int, place: Place, work: Path) -> tuple[Path, float]:
    """The artifact, and the seconds of its calibration."""
    recipe = row.recipe
    if row.add:
        recipe = str(place.recipes / f"{row.name}.json")
        write_json(Path(recipe), recipe_of(row, program))
    settings = [word for setting in row.settings for word in ("--set", setting)]
    start = time.monotonic()
    program.run("calibrate", place.checkpoint, "--data", place.calibration, "--output", work / "calibration",
                "--seed", str(seed), "--recipe", recipe, *settings)
    seconds = time.monotonic() - start
    program.run("export", work / "calibration", "--output", work / "artifact")
    return work / "artifact", seconds


@dataclass(frozen=True)
class Bench:
    """A subject that is ready to be measured."""

    program: Program
    subject: Subject
    place: Place
    inputs: tuple[str, ...]  # digests of model and data
    keep: bool

    def key(self, row: Row, seed: int) -> str:
        """Of all that the result depends on."""
        recipe = recipe_of(row, self.program) if row.recipe else None
        parts = [self.program.digest, self.inputs, recipe, row.settings, seed]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def result(self, row: Row, seed: int) -> Result:
        """Measured, or found in the results."""
        file, key = self.place.results / f"{row.name}-{seed}.json", self.key(row, seed)
        if file.is_file():
            known: Result = json.loads(file.read_text(encoding="utf-8"))
            if known["key"] == key:
                return known
        work = self.place.work / f"{row.name}-{seed}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        if row.recipe:
            model, seconds = quantize(self.program, row, seed, self.place, work)
        else:
            model, seconds = self.place.checkpoint, None
        values = evaluate(self.program, self.subject, self.place, model, work)
        self.program.check_unchanged()
        result = {"subject": self.subject.name, "row": row.name, "title": row.title, "seed": seed,
                  "recipe": row.recipe, "settings": list(row.settings), "program": self.program.version,
                  "bytes": folder_bytes(model), "calibrate_seconds": seconds, **values, "key": key}
        write_json(file, result)
        if not self.keep:
            shutil.rmtree(work)
        return result


def bench_of(subject: Subject, program: Program, arguments: argparse.Namespace) -> Bench:
    place = place_of(subject, arguments.checkpoints, arguments.output)
    images = sorted((DATA / "images").iterdir())
    files = [place.checkpoint / "model.safetensors", place.checkpoint / "config.json",
             place.checkpoint / "tokenizer.json", place.calibration, TEXT, *([QUESTIONS] if subject.questions else []),
             *images]
    return Bench(program, subject, place, tuple(digest_of(file) for file in files), arguments.keep)


def chosen_rows(patterns: Sequence[str]) -> list[Row]:
    rows = [row for row in ROWS if not patterns or any(fnmatchcase(row.name, pattern) for pattern in patterns)]
    if not rows:
        raise MeasureError(f"--only {' '.join(patterns)}: expected the name of a row, found none that matches; "
                           f"there are {', '.join(row.name for row in ROWS)}")
    return rows


def lock(folder: Path) -> TextIO:
    """Held while it is open: two runs at once would remove each other's artifacts."""
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / ".lock").open("w", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise MeasureError(f"{folder}: another run writes there; wait for it, or give another folder") from None
    return file


def measure(arguments: argparse.Namespace) -> int:
    """Writes and prints the table; 1 if a row failed."""
    with lock(arguments.output):
        return measure_rows(arguments)


def measure_rows(arguments: argparse.Namespace) -> int:
    program, rows = Program(arguments.program), chosen_rows(arguments.only)
    lines: list[tuple[str, str, list[Result]]] = []
    failures: list[str] = []
    for name in arguments.subjects:
        bench = bench_of(SUBJECTS[name], program, arguments)
        for row in rows:
            seeds = range(arguments.seeds if row.recipe else 1)
            try:
                results = [bench.result(row, seed) for seed in seeds]
            except MeasureError as error:
                results = []
                failures.append(f"{name}, {row.name}: {error}")
                print(f"real: error: {failures[-1]}", file=sys.stderr)
            lines.append((name, row.title, results))
    table = markdown(lines)
    write_json(arguments.output / "real.json", [result for _, _, results in lines for result in results])
    (arguments.output / "real.md").write_text(table, encoding="utf-8")
    print(table, end="")
    for failure in failures:
        print(f"real: failed: {failure}", file=sys.stderr)
    return 1 if failures else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures real decoders under several recipes.")
    parser.add_argument("program", type=Path, help="mquant")
    parser.add_argument("checkpoints", type=Path, help="folder of smol-vl and gemma-vl")
    parser.add_argument("output", type=Path, help="folder of the results")
    parser.add_argument("--subjects", nargs="+", choices=list(SUBJECTS), default=list(SUBJECTS))
    parser.add_argument("--seeds", type=int, default=1, help="each quantized row with the seeds 0 to N - 1")
    parser.add_argument("--only", action="append", default=[], help="rows by name, as a shell pattern")
    parser.add_argument("--keep", action="store_true", help="calibrations and artifacts stay")
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error(f"--seeds: expected 1 or more, found {arguments.seeds}")
    try:
        return measure(arguments)
    except MeasureError as error:
        print(f"real: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("real: interrupted; the same command continues", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
