#!/usr/bin/env python3
"""Times calibrations for scripts/bench_calibrate.sh, which says how to call it.

Programs take turns, so that what else the machine does hits all of them.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from measured import BenchError, run
from samples import DIGITS, write_digits, write_made_up
from table import Result, Run, markdown

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "tests/data/goldens/qwen2_vl/model"  # tokenizer and processor of the made-up models
SHAPES = ROOT / "tools/random_model/shapes"
PEER = Path(__file__).resolve().parent / "peer.py"
BUSY = 0.5  # load: two cores of which one is half taken already give other times
MAX_PIXELS = 12845056  # Qwen2-VL's own; the small model that the tokenizer comes from allows only tiny pictures
DECODER_ALONE = [word for part in ("patch_embed", "vision", "projector", "head")
                 for word in ("--set", f"schemes.{part}=float")]


@dataclass(frozen=True)
class Subject:
    title: str
    shape: str = ""  # of random weights; none: digits-vl
    overrides: tuple[str, ...] = ()
    peer: bool = False  # llm-compressor too: it takes these in minutes


SUBJECTS = {
    "digits": Subject("digits-vl, 6 M parameters", peer=True),
    "0.5b": Subject("Qwen2-VL, 0.59 B parameters, random", "qwen2-vl-0.5b", peer=True),
    "2b": Subject("Qwen2-VL 2B, random", "qwen2-vl-2b"),
    "7b": Subject("Qwen2-VL 7B, 4 + 4 layers, random", "qwen2-vl-7b",
                  ("num_hidden_layers=4", "vision_config.depth=4")),
}


@dataclass(frozen=True)
class Task:
    """What every program gets."""

    model: Path
    samples: Path
    work: Path  # a folder for artifacts
    logs: Path
    threads: int

    def environment(self) -> dict[str, str]:
        return {"OMP_NUM_THREADS": str(self.threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def load_json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def write_json(file: Path, value: Any) -> None:
    """Complete or absent."""
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    partial.replace(file)


def cleared(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def run_mquant(program: Path, task: Task, name: str, command: str, options: Sequence[str]) -> Run:
    work = cleared(task.work)
    usage = run([program, command, task.model, "--data", task.samples, "--output", work / "output",
                 "--threads", str(task.threads), f"--json={work / 'report.json'}", *options],
                task.logs / f"{name.replace(' ', '-')}.log", task.environment())
    report: dict[str, Any] = load_json(work / "report.json")
    report = report.get("calibration", report)  # quantize tells of the export too
    linears = report.pop("linears")
    for longer in ("embeddings", "sinks", "self_check", "counters"):
        report.pop(longer, None)
    return {"program": name, **asdict(usage), "calibration_seconds": report["seconds"], "report": report,
            "schemes": Counter(linear["scheme"] for linear in linears.values())}


def run_peer(python: Path, task: Task) -> Run:
    work = cleared(task.work)
    usage = run([python, PEER, task.model, "--data", task.samples, "--output", work / "output",
                 "--threads", str(task.threads), "--json", work / "report.json"],
                task.logs / "llm-compressor.log", task.environment())
    report = load_json(work / "report.json")
    return {"program": "llm-compressor", **asdict(usage), "calibration_seconds": report["seconds"]["oneshot"],
            "steps": report["seconds"], "schemes": report["schemes"], "versions": report["versions"],
            "dtype": report["dtype"], "work": {key: report[key] for key in ("samples", "tokens", "patches")}}


def output_of(program: Path, *arguments: str | Path) -> str:
    result = subprocess.run([program, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        raise BenchError(f"{program.name} {arguments[0]} ended with {result.returncode}; its message stands above")
    return result.stdout


def work_of(program: Path, model: Path, samples: Path) -> dict[str, int]:
    inspected = json.loads(output_of(program, "inspect", model, "--data", samples, "--json"))
    tokens = inspected["tokens"]
    return {"samples": inspected["samples"], "text": tokens["text"] + tokens.get("sink", 0),
            "visual": tokens["visual"], "patches": tokens["visual_rows"]}


def check_same_work(work: dict[str, int], peer: Run) -> None:
    """Times compare only if both programs saw the same."""
    expected = {"samples": work["samples"], "tokens": work["text"] + work["visual"], "patches": work["patches"]}
    if peer["work"] != expected:
        raise BenchError(f"llm-compressor: expected the samples that mquant sees, {expected}, found {peer['work']}; "
                         "change Processor.batch in scripts/bench_calibrate/peer.py")


def random_model(program: Path, subject: Subject, folder: Path) -> Path:
    """Complete or absent; remove it to make it again."""
    model = folder / subject.shape.removeprefix("qwen2-vl-")
    if model.is_dir():
        return model
    partial = folder / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    overrides = [word for override in subject.overrides for word in ("--set", override)]
    print(f"bench_calibrate: making {model}", file=sys.stderr)
    output_of(program.parent / "mquant-random-model", BASE, "--shape", SHAPES / f"{subject.shape}.json", *overrides,
              "--output", partial)
    preprocessor = partial / "preprocessor_config.json"
    write_json(preprocessor, {**load_json(preprocessor), "max_pixels": MAX_PIXELS})
    partial.rename(model)
    return model


def programs_of(arguments: argparse.Namespace, subject: Subject, task: Task) -> list[Callable[[], Run]]:
    mquant: Path = arguments.mquant
    if not subject.peer:
        return [lambda: run_mquant(mquant, task, "mquant", "calibrate", [])]
    # Both end with an artifact: llm-compressor has nothing else that another process could go on with.
    programs = [lambda: run_mquant(mquant, task, "mquant", "quantize", [])]
    if arguments.same_linears:
        programs.append(lambda: run_mquant(mquant, task, "mquant decoder alone", "quantize", DECODER_ALONE))
    return [*programs, lambda: run_peer(arguments.python, task)]


def bench(arguments: argparse.Namespace, name: str) -> Result:
    subject, output = SUBJECTS[name], arguments.output
    if subject.shape:
        model = random_model(arguments.mquant, subject, output / "models")
        samples = write_made_up(output / "samples" / f"made-up-{arguments.samples}", arguments.samples)
    else:
        model, samples = DIGITS / "model", write_digits(output / "samples/digits")
    task = Task(model, samples, output / "work", output / "logs" / name, arguments.threads)
    work, load = work_of(arguments.mquant, model, samples), os.getloadavg()[0]
    programs: dict[str, list[Run]] = {}
    for _ in range(arguments.repeat):
        for program in programs_of(arguments, subject, task):
            measured = program()
            if "work" in measured:
                check_same_work(work, measured)
            programs.setdefault(measured["program"], []).append(measured)
    shutil.rmtree(task.work)
    return {"subject": name, "title": subject.title, "threads": arguments.threads, "load": load, "work": work,
            "mquant": output_of(arguments.mquant, "--version").strip(), "programs": programs}


def subject_name(text: str) -> str:  # argparse's own choices refuse the empty list
    if text not in SUBJECTS:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(SUBJECTS)}, found {text}")
    return text


def at_least_1(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {value}")
    return value


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench_calibrate.sh",
                                     description="Times calibrations by mquant and by llm-compressor.")
    parser.add_argument("subjects", nargs="*", type=subject_name, metavar="|".join(SUBJECTS),
                        help="default: digits 0.5b")
    parser.add_argument("--repeat", type=at_least_1, default=3, help="of each program, by turns [3]")
    parser.add_argument("--samples", type=at_least_1, default=32, help="for random weights [32]")
    parser.add_argument("--threads", type=at_least_1, default=len(os.sched_getaffinity(0)), help="[all cores]")
    parser.add_argument("--same-linears", action="store_true",
                        help="mquant a second time, with all but the decoder float, as llm-compressor leaves it")
    parser.add_argument("--output", type=Path, default=Path("build/bench_calibrate"), help="[build/bench_calibrate]")
    parser.add_argument("--mquant", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--python", type=Path, required=True, help=argparse.SUPPRESS)  # with llm-compressor
    arguments = parser.parse_args()
    load = os.getloadavg()
    print("bench_calibrate: load of the last 1, 5, 15 minutes: " + ", ".join(f"{part:.2f}" for part in load),
          file=sys.stderr)
    if load[0] > BUSY:
        print(f"bench_calibrate: warning: the machine is busy (load {load[0]:.2f}, expected at most {BUSY}): do not "
              "trust these numbers.  Threads that wait for each other suffer most.", file=sys.stderr)
    try:
        for name in arguments.subjects or ["digits", "0.5b"]:
            result = bench(arguments, name)
            text = markdown(result)
            write_json(arguments.output / f"{name}.json", result)
            (arguments.output / f"{name}.md").write_text(text, encoding="utf-8")
            print(text, flush=True)
    except BenchError as error:
        print(f"bench_calibrate: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
