#!/usr/bin/env python3
"""What the operating system can do to the program: closed descriptors, full disks, limits on memory, files and threads,
weights that shrink while they are read, names that are not UTF-8; and what it counts: peaks of memory.

    process.py --program build/dev/bin/mquant
"""

import argparse
import filecmp
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GOLDEN = Path(__file__).resolve().parent.parent / "data/goldens/qwen2_vl"
DIGITS = GOLDEN.parent.parent / "digits-vl"
MIB = 1 << 20
USAGE, INPUT, RESOURCES = 2, 3, 5
LOADER = 127  # the dynamic loader itself found no memory


def expect(condition, message):
    if not condition:
        sys.exit(f"process.py: {message}")


class Program:
    def __init__(self, path, tmp):
        self.path, self.tmp = path, tmp

    def run(self, *arguments, closed=(), limits=None, **options):
        """(exit code, stderr); the descriptors of `closed` are closed in the program."""

        def prepare():
            for which, value in (limits or {}).items():
                resource.setrlimit(which, (value, value))
            for descriptor in closed:
                os.close(descriptor)

        options.setdefault("stdout", subprocess.DEVNULL)
        done = subprocess.run([self.path, *map(str, arguments)], stderr=subprocess.PIPE, timeout=300,
                              preexec_fn=prepare, env=dict(os.environ, OMP_NUM_THREADS="1"), **options)
        return done.returncode, done.stderr.decode(errors="replace")

    def done(self, *arguments, **options):
        code, err = self.run(*arguments, **options)
        expect(code == 0, f"exit code {code} of {arguments}:\n{err}")

    def peak(self, *arguments):
        """Bytes resident at most."""
        child = subprocess.Popen([self.path, *map(str, arguments)], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        expect(child.returncode == 0, f"exit code {child.returncode} of {arguments}")
        return usage.ru_maxrss * 1024

    def calibrate(self, output, *more, model=GOLDEN / "model", **options):
        return self.run("calibrate", model, "--data", GOLDEN / "cases.jsonl", "--output", self.tmp / output, *more,
                        **options)


def check_closed_descriptors(program):
    """No file of ours gets the number of a stream: the artifact has the bytes of one written in peace."""
    tmp = program.tmp
    program.done("export", tmp / "calibration", "--output", tmp / "good")
    for number, closed in enumerate([(0, 1, 2), (1, 2), (2,), (0,)]):
        code, _ = program.run("export", tmp / "calibration", "--output", tmp / f"closed{number}", closed=closed)
        expect(code == (RESOURCES if 1 in closed else 0), f"exit code {code} with {closed} closed")
        compared = filecmp.cmpfiles(tmp / "good", tmp / f"closed{number}", os.listdir(tmp / "good"), shallow=False)
        expect(not compared[1] and not compared[2], f"with {closed} closed these files differ: {compared[1:]}")


def check_results_that_cannot_be_written(program):
    with open("/dev/full", "w") as full:
        for arguments in (["--version"], ["--help"], ["calibrate", "--help"], ["list", "families"]):
            code, err = program.run(*arguments, stdout=full)
            expect(code == RESOURCES and "stdout" in err, f"exit code {code} of {arguments} on a full disk: {err}")
            code, _ = program.run(*arguments, closed=(1,))
            expect(code == RESOURCES, f"exit code {code} of {arguments} with stdout closed")


def check_limit_of_file_size(program):
    output = program.tmp / "too-large"
    code, err = program.run("export", program.tmp / "calibration", "--output", output,
                            limits={resource.RLIMIT_FSIZE: 10 * 1024})
    expect(code == RESOURCES and "File too large" in err, f"exit code {code} beyond the limit of a file's size: {err}")
    left = [path.name for path in program.tmp.iterdir() if "too-large" in path.name]
    expect(not left, f"left behind: {left}")


def is_sanitized(program):
    """Sanitizers take address space and memory of their own."""
    return program.run("--version", limits={resource.RLIMIT_AS: 4096 * MIB})[0] != 0


def check_limits_of_memory(program):
    """From too little for the loader to enough for the run, every exit is 0, RESOURCES, or the loader's."""
    if is_sanitized(program):
        print("process.py: a sanitizer needs the address space; limits of memory are not checked")
        return
    low, least = 16, 4096  # MiB that are too few for --version, and enough
    while least - low > 4:
        middle = (low + least) // 2
        starts = program.run("--version", limits={resource.RLIMIT_AS: middle * MIB})[0] == 0
        low, least = (low, middle) if starts else (middle, least)
    sizes = [(1, size) for size in (*range(least - 24, least, 6), *range(least, least + 60, 4))]
    sizes += [(2, size) for size in range(least, least + 120, 15)] + [(64, least + size) for size in (50, 200, 600)]
    codes = {}
    for threads, size in sizes:
        output = f"memory-{threads}-{size}"
        code, err = program.calibrate(output, "--threads", threads, limits={resource.RLIMIT_AS: size * MIB})
        expect(code in ((0, RESOURCES) if size >= least else (0, RESOURCES, LOADER)),
               f"exit code {code} with {size} MiB and {threads} threads:\n{err}")
        codes[code] = codes.get(code, 0) + 1
    expect(codes.get(RESOURCES, 0) >= 10, f"the limits are not where memory ends: {codes}")


def check_memory_of_evaluation(program):
    if is_sanitized(program):
        return
    command = ["eval", DIGITS / "model", "--data", DIGITS / "eval.jsonl", "--threads", "2", "--limit"]
    few, many = program.peak(*command, 10), program.peak(*command, 110)
    expect(many < few + 30 * MIB, f"10 samples took {few // MIB} MiB, 110 samples {many // MIB} MiB")
    plan = program.tmp / "plan.json"
    program.done(*command, 110, "--dry-run", f"--json={plan}")
    told = json.loads(plan.read_text())["peak_bytes"]
    expect(abs(told / many - 1) < 0.2, f"--dry-run told {told // MIB} MiB, it took {many // MIB} MiB")


def check_aborts(program):
    """A library that calls abort() has met a bug, or has found no memory."""
    for limit, wanted in ((None, -signal.SIGABRT), (1, RESOURCES)):
        output = program.tmp / f"aborted{limit}"
        child = subprocess.Popen([program.path, "calibrate", DIGITS / "model", "--data", DIGITS / "calib.jsonl", "--output",
                                  output], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        begun, end = output / "run.json", time.monotonic() + 60
        while not begun.exists() and child.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        if not begun.exists():
            child.kill()
            sys.exit(f"process.py: no {begun} within 60 s: {child.communicate()[1].decode()}")
        if limit:
            resource.prlimit(child.pid, resource.RLIMIT_AS, (limit, limit))
        child.send_signal(signal.SIGABRT)
        err = child.communicate(timeout=300)[1].decode()
        expect(child.returncode == wanted, f"exit code {child.returncode} of an abort with limit {limit}: {err}")
        expect(not limit or "out of memory" in err, f"no word of memory: {err}")


def check_weights_that_shrink(program):
    """A file that is cut while it is mapped ends the run with the file's name, never by a signal."""
    codes = []
    for i in range(12):
        model = program.tmp / f"shrinking{i}"
        shutil.copytree(GOLDEN / "model", model)
        weights = sorted(model.glob("*.safetensors"))
        child = subprocess.Popen([program.path, "calibrate", model, "--data", GOLDEN / "cases.jsonl", "--output",
                                  program.tmp / f"shrunk{i}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(0.1 + 0.05 * i)
        for path in weights:
            os.truncate(path, 100)
        err = child.communicate(timeout=300)[1].decode()
        codes.append(child.returncode)
        expect(child.returncode in (0, INPUT, RESOURCES), f"exit code {child.returncode}: {err}")
        expect(child.returncode == 0 or any(path.name in err for path in weights), f"no file's name in: {err}")
    expect(INPUT in codes, f"no run was cut: {codes}")


def check_names_that_are_not_utf8(program):
    model = os.path.join(os.fsencode(program.tmp), b"\xff\xfe")
    shutil.copytree(GOLDEN / "model", os.fsdecode(model))
    for arguments in (["inspect", os.fsdecode(model)], ["--log-file", os.fsdecode(model), "list", "families"]):
        code, err = program.run(*arguments)
        expect(code == USAGE and "\\xff\\xfe' is not UTF-8" in err and err.count("\n") == 2, f"exit code {code}: {err}")
    code, err = program.run("inspect", ".", cwd=model)
    expect(code == USAGE and "the current directory" in err, f"exit code {code} in a directory that is not UTF-8: {err}")

    model = program.tmp / "strange-files"
    shutil.copytree(GOLDEN / "model", model)
    (model / os.fsdecode(b"\xff.json")).touch()
    (model / "new\nline").touch()
    program.done("quantize", model, "--data", GOLDEN / "cases.jsonl", "--output", program.tmp / "strange")
    program.done("verify", program.tmp / "strange")


def check_names_with_control_characters(program):
    model = program.tmp / "new\nline\x1b[31m"
    code, err = program.run("inspect", model)
    shown = "new\\x0aline\\x1b[31m"
    expect(code == INPUT and err.count("\n") == 1 and shown in err, f"exit code {code}: {err!r}")
    shutil.copytree(GOLDEN / "model", model)
    config = json.loads((model / "config.json").read_text())
    config.update(num_hidden_layers=4, intermediate_size=150)  # missing tensors, and tensors of another shape
    (model / "config.json").write_text(json.dumps(config))
    code, err = program.run("inspect", model)
    errors = [line for line in err.splitlines() if line.startswith("mquant: error: ")]
    expect(code == INPUT and len(errors) == 3 and "2 obstacles" in errors[-1], f"exit code {code}: {err!r}")
    expect(all(shown in line for line in errors[:2]) and "\x1b" not in err, f"control characters: {err!r}")
    code, err = program.run("inspect", GOLDEN / "model", "--recipe", "x" * 5000)
    expect(code == USAGE and len(err) < 1000, f"exit code {code}, {len(err)} bytes of message")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", required=True, type=Path)
    path = str(parser.parse_args().program.resolve())
    with tempfile.TemporaryDirectory(prefix="mquant-process-") as folder:
        program = Program(path, Path(folder))
        code, err = program.calibrate("calibration")
        expect(code == 0, f"exit code {code}: {err}")
        for name, check in list(globals().items()):
            if name.startswith("check_"):
                check(program)
                print(f"{name}: fine")


if __name__ == "__main__":
    main()
