#!/usr/bin/env python3
"""Stops a calibration and an evaluation by Ctrl-C and by SIGKILL, continues, and expects the bytes of a run that was not
stopped.

    interrupt.py --program build/dev/bin/mquant
"""

import argparse
import filecmp
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data/digits-vl"
SAMPLES = 12
EVALUATED = 80
EVENT_KEYS = {"event", "phase", "done", "total", "elapsed_s", "eta_s", "note"}


def expect(condition, message):
    if not condition:
        sys.exit(f"interrupt.py: {message}")


def calibrate(program, output, *more):
    return [program, "calibrate", str(DATA / "model"), "--data", str(DATA / "calib.jsonl"), "--output", str(output),
            "--set", f"calibration.samples={SAMPLES}", "--progress", "json", *more]


def evaluate(program, journal, result):
    return [program, "eval", str(DATA / "model"), "--data", str(DATA / "eval.jsonl"), "--reference", str(DATA / "model"),
            "--limit", str(EVALUATED), "--journal", str(journal), f"--json={result}", "--progress", "json"]


def events(lines):
    """The progress events among JSON lines; every line must be an event that is known."""
    found = []
    for line in lines:
        event = json.loads(line)
        expect(event["event"] in ("progress", "log"), f"unknown event: {line}")
        if event["event"] == "progress":
            expect(set(event) == EVENT_KEYS, f"progress event with other keys: {line}")
            expect(0 <= event["done"] <= event["total"], f"progress beyond its total: {line}")
            found.append(event)
    return found


def lines_of(journal):
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def stop(command, number, journal):
    """Runs `command`, sends the signal once two lines stand in its journal, however fast the machine is; (exit code,
    lines of stderr)."""
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    with tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr, env=environment)
        while process.poll() is None and lines_of(journal) < 2:
            time.sleep(0.001)
        process.send_signal(number)
        process.wait()
        stderr.seek(0)
        return process.returncode, stderr.read().splitlines()


def finish(command):
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    expect(done.returncode == 0, f"exit code {done.returncode} of {shlex.join(command)}:\n{done.stderr}")
    return done.stderr.splitlines()


def expect_same(a, b):
    names = sorted(p.relative_to(a) for p in a.rglob("*") if p.is_file())
    expect(names and names == sorted(p.relative_to(b) for p in b.rglob("*") if p.is_file()), f"{a} and {b}: other files")
    for name in names:
        expect(filecmp.cmp(a / name, b / name, shallow=False), f"{name} differs between {a.name} and {b.name}")


def report_of(path):
    """The lines of the JSON but for the one of the time."""
    return [line for line in path.read_text().splitlines() if not line.startswith('  "seconds"')]


def stop_evaluations(program, tmp):
    def command_of(name):
        return evaluate(program, tmp / f"{name}.jsonl", tmp / f"{name}.json")

    finish(command_of("whole"))
    whole = (tmp / "whole.jsonl").read_bytes()
    expect(whole.count(b"\n") == EVALUATED + 1, "a journal of another number of lines")

    code, lines = stop(command_of("interrupted"), signal.SIGINT, tmp / "interrupted.jsonl")
    expect(code == 130, f"exit code {code} after Ctrl-C; is the run too short to stop?\n" + "\n".join(lines))
    message = json.loads(lines[-1])["message"]
    advised = shlex.split(message.partition("continue with: ")[2])
    expect(advised == command_of("interrupted"), f"another command is advised: {message}")

    code, lines = stop(command_of("killed"), signal.SIGKILL, tmp / "killed.jsonl")
    expect(code == -signal.SIGKILL, f"exit code {code} after a kill")
    for name in ("interrupted", "killed"):
        kept = (tmp / f"{name}.jsonl").read_bytes()
        kept = kept[:kept.rfind(b"\n") + 1]
        lines = kept.count(b"\n")
        expect(2 <= lines <= EVALUATED, f"{lines} lines in the journal of {name}")
        finish([*command_of(name), "--threads", "3"])
        journal = (tmp / f"{name}.jsonl").read_bytes()
        expect(journal.startswith(kept), f"{name}: samples were evaluated again")
        expect(sorted(journal.splitlines()) == sorted(whole.splitlines()),
               f"{name}: the journal is not that of a run that was not stopped")
        expect(report_of(tmp / f"{name}.json") == report_of(tmp / "whole.json"), f"{name}: another report")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", required=True, type=Path)
    program = str(parser.parse_args().program.resolve())

    with tempfile.TemporaryDirectory(prefix="mquant-interrupt-") as folder:
        tmp = Path(folder)
        whole = events(finish(calibrate(program, tmp / "whole")))
        last = [event for event in whole if event["phase"] == "calibrate"][-1]
        expect(last["done"] == last["total"] > 0, f"the last event is no end: {last}")

        code, lines = stop(calibrate(program, tmp / "interrupted"), signal.SIGINT, tmp / "interrupted/journal.jsonl")
        expect(code == 130, f"exit code {code} after Ctrl-C; is the run too short to stop?\n" + "\n".join(lines))
        message = json.loads(lines[-1])["message"]
        resume = shlex.split(message.split("continue with: ")[1])
        expect("--resume" in resume, f"no --resume in the advice: {message}")
        resumed = [event for event in events(finish(resume)) if event["phase"] == "calibrate"]
        expect(resumed[-1]["done"] == resumed[-1]["total"], "the resumed run did not end")

        code, lines = stop(calibrate(program, tmp / "killed"), signal.SIGKILL, tmp / "killed/journal.jsonl")
        expect(code == -signal.SIGKILL, f"exit code {code} after a kill")
        finish(calibrate(program, tmp / "killed", "--resume"))

        for name in ("whole", "interrupted", "killed"):
            finish([program, "export", str(tmp / name), "--output", str(tmp / (name + "-artifact"))])
        expect_same(tmp / "whole-artifact", tmp / "interrupted-artifact")
        expect_same(tmp / "whole-artifact", tmp / "killed-artifact")
        stop_evaluations(program, tmp)
    print("interrupt: same bytes after Ctrl-C and after a kill")


if __name__ == "__main__":
    main()
