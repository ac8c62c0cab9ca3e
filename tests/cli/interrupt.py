#!/usr/bin/env python3
"""Stops a calibration by Ctrl-C and by SIGKILL, goes on with it, and expects the bytes of a run that was not stopped.

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
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data/digits-vl"
SAMPLES = 12
EVENT_KEYS = {"event", "phase", "done", "total", "elapsed_s", "eta_s", "note"}


def expect(condition, message):
    if not condition:
        sys.exit(f"interrupt.py: {message}")


def calibrate(program, output, *more):
    return [program, "calibrate", str(DATA / "model"), "--data", str(DATA / "calib.jsonl"), "--output", str(output),
            "--set", f"calibration.samples={SAMPLES}", "--progress", "json", *more]


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


def stop(command, number):
    """Runs `command`, sends the signal at its first progress event; (exit code, lines of stderr)."""
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          env=environment) as process:
        lines = []
        for line in process.stderr:
            lines.append(line.rstrip("\n"))
            if '"event": "progress"' in line and '"phase": "calibrate"' in line:
                process.send_signal(number)
                break
        lines += process.stderr.read().splitlines()
    return process.returncode, lines


def finish(command):
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    expect(done.returncode == 0, f"exit code {done.returncode} of {shlex.join(command)}:\n{done.stderr}")
    return done.stderr.splitlines()


def expect_same(a, b):
    names = sorted(p.relative_to(a) for p in a.rglob("*") if p.is_file())
    expect(names and names == sorted(p.relative_to(b) for p in b.rglob("*") if p.is_file()), f"{a} and {b}: other files")
    for name in names:
        expect(filecmp.cmp(a / name, b / name, shallow=False), f"{name} differs between {a.name} and {b.name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", required=True, type=Path)
    program = str(parser.parse_args().program.resolve())

    with tempfile.TemporaryDirectory(prefix="mquant-interrupt-") as folder:
        tmp = Path(folder)
        whole = events(finish(calibrate(program, tmp / "whole")))
        last = [event for event in whole if event["phase"] == "calibrate"][-1]
        expect(last["done"] == last["total"] > 0, f"the last event is no end: {last}")

        code, lines = stop(calibrate(program, tmp / "interrupted"), signal.SIGINT)
        expect(code == 130, f"exit code {code} after Ctrl-C; is the run too short to stop?\n" + "\n".join(lines))
        message = json.loads(lines[-1])["message"]
        resume = shlex.split(message.split("continue with: ")[1])
        expect("--resume" in resume, f"no --resume in the advice: {message}")
        resumed = [event for event in events(finish(resume)) if event["phase"] == "calibrate"]
        expect(resumed[-1]["done"] == resumed[-1]["total"], "the resumed run did not end")

        code, lines = stop(calibrate(program, tmp / "killed"), signal.SIGKILL)
        expect(code == -signal.SIGKILL, f"exit code {code} after a kill")
        finish(calibrate(program, tmp / "killed", "--resume"))

        for name in ("whole", "interrupted", "killed"):
            finish([program, "export", str(tmp / name), "--output", str(tmp / (name + "-artifact"))])
        expect_same(tmp / "whole-artifact", tmp / "interrupted-artifact")
        expect_same(tmp / "whole-artifact", tmp / "killed-artifact")
    print("interrupt: same bytes after Ctrl-C and after a kill")


if __name__ == "__main__":
    main()
