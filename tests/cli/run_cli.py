#!/usr/bin/env python3
"""Runs transcripts of the program and compares what it prints with what they say.

A transcript holds commands, each with what is expected of it:

    # A comment, between two commands only.
    $ mquant list familes
    text on stdout, as it is
    2> text on stderr
    [2]

The last line of a command is its exit code.  {data} is the digits-vl model with its samples, {root} the source tree,
{tmp} a fresh directory for each transcript; the program runs there.  A line of `...` stands for any lines, <any> within
a line for any text.  A command may begin with VARIABLE=value.  Besides mquant there are: `write FILE TEXT`,
`copy FROM TO`, `same A B` (two files or directories hold the same bytes), `absent PATH`.

    run_cli.py --program build/dev/bin/mquant cases/*.txt      exit code 1 if anything differs
    run_cli.py --program ... --update cases/help.txt           rewrite texts (not those with wildcards, nor exit codes)
"""

import argparse
import difflib
import filecmp
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = ROOT / "tests/data/digits-vl"
TIMEOUT = 300  # seconds, for one command on a busy machine


class Step:
    def __init__(self, line, number):
        self.line, self.number = line, number
        self.before, self.out, self.err, self.code = [], [], [], None


def parse(path):
    steps, before = [], []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        step = steps[-1] if steps and steps[-1].code is None else None
        if step is None:
            if not line.startswith("$ "):
                if line and not line.startswith("#"):
                    sys.exit(f"{path}:{number}: expected a comment or '$ command', found: {line}")
                before.append(line)
                continue
            steps.append(Step(line[2:], number))
            steps[-1].before, before = before, []
        elif re.fullmatch(r"\[\d+\]", line):
            step.code = int(line[1:-1])
        elif line.startswith("2>"):
            step.err.append(line[3:])
        else:
            step.out.append(line)
    if not steps or steps[-1].code is None:
        sys.exit(f"{path}: the last command has no exit code")
    return steps, before


def matches(expected, found):
    """Whether the lines agree; `...` matches any lines, <any> any text."""
    pattern = ""
    for line in expected:
        if line == "...":
            pattern += r"(?:[^\n]*\n)*"
        else:
            pattern += ".*".join(re.escape(part) for part in line.split("<any>")) + r"\n"
    return re.fullmatch(pattern, "".join(line + "\n" for line in found)) is not None


def same(a, b):
    if a.is_file():
        return filecmp.cmp(a, b, shallow=False)
    names = sorted(p.relative_to(a) for p in a.rglob("*"))
    if not names or names != sorted(p.relative_to(b) for p in b.rglob("*")):
        return False
    return all((b / name).is_dir() if (a / name).is_dir() else filecmp.cmp(a / name, b / name, False) for name in names)


def builtin(words, tmp):
    name, paths = words[0], [tmp / word for word in words[1:]]
    if name == "write":
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        paths[0].write_text(words[2].encode().decode("unicode_escape"))
    elif name == "copy":
        (shutil.copytree if paths[0].is_dir() else shutil.copy)(*paths)
    elif name == "same":
        return 0 if same(*paths) else 1
    elif name == "absent":
        return 1 if paths[0].exists() else 0
    else:
        sys.exit(f"no command '{name}' in transcripts")
    return 0


class Runner:
    def __init__(self, program, tmp):
        self.program, self.tmp = program, tmp
        self.names = {"{data}": str(DATA), "{root}": str(ROOT), "{tmp}": str(tmp)}

    def filled(self, text):
        for name, value in self.names.items():
            text = text.replace(name, value)
        return text

    def lines(self, raw):
        text = raw.decode(errors="replace")
        for name, value in self.names.items():
            text = text.replace(value, name)
        return text.splitlines()

    def run(self, line):
        """(exit code, stdout, stderr), the latter as lines with {names} again."""
        words = shlex.split(self.filled(line))
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MQUANT_")}
        while re.match(r"[A-Z_]+=", words[0]):
            name, value = words.pop(0).split("=", 1)
            environment[name] = value
        if words[0] != "mquant":
            return builtin(words, self.tmp), [], []
        done = subprocess.run([self.program, *words[1:]], cwd=self.tmp, env=environment, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=TIMEOUT)
        return done.returncode, self.lines(done.stdout), self.lines(done.stderr)


def texts(out, err, code):
    return [*out, *("2> " + line if line else "2>" for line in err), f"[{code}]"]


def check(path, program, update):
    """The number of commands that did other than expected."""
    steps, after = parse(path)
    failures, lines = 0, []
    with tempfile.TemporaryDirectory(prefix="mquant-cli-") as tmp:
        runner = Runner(program, Path(tmp).resolve())
        for step in steps:
            code, out, err = runner.run(step.line)
            agrees = code == step.code and matches(step.out, out) and matches(step.err, err)
            expected, found = texts(step.out, step.err, step.code), texts(out, err, code)
            fixed = update and code == step.code and not any("..." == line or "<any>" in line for line in expected)
            lines += [*step.before, "$ " + step.line, *(found if fixed else expected)]
            if not agrees and not fixed:
                failures += 1
                print(f"{path}:{step.number}: $ {step.line}")
                print("\n".join(difflib.unified_diff(expected, found, "expected", "found", lineterm="")), end="\n\n")
    if update:
        path.write_text("\n".join(lines + after) + "\n")
    print(f"{path.name}: {len(steps)} commands, {failures} failures")
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", required=True, type=Path)
    parser.add_argument("--update", action="store_true")
    parser.add_argument("transcripts", nargs="+", type=Path)
    options = parser.parse_args()
    program = options.program.resolve()
    return 1 if sum(check(path, program, options.update) for path in options.transcripts) else 0


if __name__ == "__main__":
    sys.exit(main())
