#!/usr/bin/env python3
"""Stops a zoo, and single stages of it, at several moments: nothing else stops, nothing keeps running, and what is
continued ends with the bytes of a run that was not stopped.  Also looks at a zoo on a terminal.

    process.py --program build/dev/bin/mquant
"""

import argparse
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from zoo import GOLDENS, ROOT, TIMEOUT, expect, expect_same_files

DIGITS = ROOT / "tests/data/digits-vl"


def write_zoo(path):
    zoo = {
        "defaults": {"recipes": ["w4a8"], "checks": [{"check": "verify"}]},
        "models": [
            {"path": str(DIGITS / "model"), "name": "digits", "data": str(DIGITS / "calib.jsonl"), "recipes": ["few"],
             "checks": [{"check": "eval", "data": str(DIGITS / "eval.jsonl"), "limit": 120, "max_kl": 1}]},
            {"path": str(GOLDENS / "llava/model"), "name": "llava", "data": str(GOLDENS / "llava/cases.jsonl")},
        ],
        "recipes": {"few": {"recipe": "w4a8", "set": ["calibration.samples=8"]}},
    }
    path.write_text(json.dumps(zoo))


class Run:
    """`mquant zoo` with events on stderr; signals are sent when an event comes."""

    def __init__(self, program, folder, output, *arguments):
        command = [program, "zoo", "zoo.json", "--output", output, "--jobs", "2", "--progress", "json", *arguments]
        environment = dict(os.environ, OMP_NUM_THREADS="1")
        self.process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env=environment)
        self.lines = []

    def until(self, job, stage, progress=False):
        """The first event of a stage, or its first progress."""
        for line in self.process.stderr:
            self.lines.append(line)
            event = json.loads(line)
            if event.get("job") == job and event.get("stage") == stage:
                if (event["event"] == "progress" and event["done"] > 0) if progress else event["event"] == "stage":
                    return
        sys.exit(f"process.py: {job} never came to {stage}:\n{''.join(self.lines)}")

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        out, err = self.process.communicate(timeout=TIMEOUT)
        self.lines += err.splitlines(keepends=True)
        return self.process.returncode


def processes_of(folder):
    """Ids of the processes of stages that work in `folder`, by the stage's command."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if len(words) > 2 and words[0] == b"mquant" and str(folder).encode() in b" ".join(words):
            found[int(entry.name)] = words[1].decode()
    return found


def expect_none_left(folder):
    end = time.monotonic() + 10
    while processes_of(folder):
        expect(time.monotonic() < end, f"processes are left: {processes_of(folder)}")
        time.sleep(0.05)


def without_times(path):
    result = json.loads(path.read_text())
    del result["seconds"]
    return result


class Check:

    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def start(self, output, *arguments):
        return Run(self.program, self.folder, output, *arguments)

    def expect_continued(self, output):
        """With --resume it ends as the run that was not stopped, and the next one finds nothing to do."""
        run = self.start(output, "--resume")
        code = run.end()
        expect(code == 0, f"{output}: exit code {code} of --resume:\n{''.join(run.lines)}")
        expect_same_files(self.folder / "whole/artifacts", self.folder / output / "artifacts")
        results = [self.folder / name / "jobs/digits.few/eval-eval.result.json" for name in ("whole", output)]
        expect(without_times(results[0]) == without_times(results[1]), f"{output}: other answers than those of whole")
        expect(not list(self.folder.glob(f"{output}/jobs/*/calibration")), f"{output}: a calibration is left")
        shutil.rmtree(self.folder / output)

    def killed(self, job, stage, progress):
        output = f"killed-{stage}"
        run = self.start(output)
        run.until(job, stage, progress)
        run.signal(signal.SIGKILL)
        run.end()
        expect_none_left(self.folder / output)
        self.expect_continued(output)

    def a_stage_is_killed(self, stage):
        output = f"stage-{stage}"
        run = self.start(output)
        run.until("digits.few", stage, progress=True)
        mine = [process for process, command in processes_of(self.folder / output).items()
                if stage.startswith(command)]
        for process in mine:
            os.kill(process, signal.SIGKILL)
        code = run.end()
        summary = json.loads((self.folder / output / "summary.json").read_text())
        results = {job["job"]: job["result"] for job in summary["jobs"]}
        stages = {one["stage"]: one for job in summary["jobs"] for one in job["stages"] if job["job"] == "digits.few"}
        expect(code == 1 and stages[stage]["signal"] == signal.SIGKILL, f"exit code {code}, {stages[stage]}")
        if stage != "calibrate":
            expect(results["llava.w4a8"] == "passed", f"the other job did not pass: {results}")
        self.expect_continued(output)

    def interrupted(self):
        run = self.start("interrupted")
        run.until("digits.few", "calibrate", progress=True)
        run.signal(signal.SIGINT)
        code = run.end()
        expect(code == 130, f"exit code {code} after Ctrl-C:\n{''.join(run.lines)}")
        expect("--resume continues" in run.lines[-1], f"the last line does not say how to continue: {run.lines[-1]}")
        expect_none_left(self.folder / "interrupted")
        done = json.loads((self.folder / "interrupted/jobs/digits.few/calibrate.json").read_text())
        expect(done["result"] == "interrupted", f"the record of a stage that was interrupted: {done}")
        expect("interrupted" in (self.folder / "interrupted/summary.md").read_text(), "the summary does not say so")
        self.expect_continued("interrupted")

    def interrupted_twice(self):
        run = self.start("twice")
        run.until("digits.few", "calibrate")
        for _ in range(2):
            run.signal(signal.SIGINT)
            time.sleep(0.05)
        expect(run.end() == 130, "exit code after two Ctrl-C")
        expect_none_left(self.folder / "twice")
        self.expect_continued("twice")

    def on_a_terminal(self):
        """A table that is drawn over and over, and gone at the end; the results are on stdout."""
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(self.folder)
            os.environ.update(TERM="xterm", COLUMNS="100", OMP_NUM_THREADS="1")
            os.execv(self.program, [self.program, "zoo", "zoo.json", "--output", "screen", "--jobs", "2"])
        text = b""
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            if not select.select([terminal], [], [], 1)[0]:
                continue
            try:
                piece = os.read(terminal, 65536)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            text += piece
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        expect(status == 0, f"exit code {status} on a terminal:\n{text.decode()}")
        screens = text.decode().split("\033[J")
        expect(len(screens) > 5, f"expected a table drawn several times, found:\n{text.decode()}")
        drawn = [re.sub(r"\r", "", screen) for screen in screens]
        expect(any(re.search(r"job +stage +progress +left +result\n", screen) and
                   re.search(r"digits\.few +calibrate +\d+/\d+ \S+", screen) for screen in drawn),
               f"no table with a calibration in it:\n{text.decode()}")
        expect(re.search(r"digits\.few +passed", drawn[-1]) and "2 jobs: 2 passed" in drawn[-1],
               f"the results do not stand at the end:\n{drawn[-1]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", required=True)
    program = os.path.abspath(parser.parse_args().program)
    with tempfile.TemporaryDirectory(prefix="mquant-zoo-") as name:
        folder = Path(name)
        write_zoo(folder / "zoo.json")
        check = Check(program, folder)
        whole = check.start("whole")
        code = whole.end()
        expect(code == 0, f"exit code {code}:\n{''.join(whole.lines)}")
        for job, stage, progress in (("llava.w4a8", "check", False), ("digits.few", "calibrate", True),
                                     ("digits.few", "export", False), ("digits.few", "eval-eval", True)):
            check.killed(job, stage, progress)
        for stage in ("calibrate", "eval-eval"):
            check.a_stage_is_killed(stage)
        check.interrupted()
        check.interrupted_twice()
        check.on_a_terminal()


if __name__ == "__main__":
    main()
