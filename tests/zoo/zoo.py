"""What the tests of this folder share: a tiny zoo, running programs, comparing folders."""

import filecmp
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
GOLDENS = ROOT / "tests/data/goldens"
TIMEOUT = 300  # seconds, for one command on a busy machine
UNREACHABLE = 1e-9  # nats; no quantized model is as near to its source


def expect(condition, message):
    if not condition:
        sys.exit(f"{Path(sys.argv[0]).name}: {message}")


def run(command, cwd, **variables):
    """(exit code, stdout and stderr together)"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MQUANT_", "SNAKEMAKE_"))}
    environment.update(OMP_NUM_THREADS="1", **variables)
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT)
    return done.returncode, done.stdout.decode(errors="replace")


def write_zoo(path, models, max_kl=None, seeds=None):
    """A zoo file of goldens, verified; the last one is evaluated instead where a bound is given."""
    entries = []
    for name in models:
        data = str(GOLDENS / name / "cases.jsonl")
        entries.append({"path": str(GOLDENS / name / "model"), "name": name, "data": data,
                        "seed": (seeds or {}).get(name, 0)})
    if max_kl is not None:
        entries[-1]["checks"] = [{"check": "eval", "name": "cases", "data": data, "limit": 2,
                                  "max_new_tokens": 1, "max_kl": max_kl}]
    zoo = {"defaults": {"recipes": ["w4a8"], "checks": [{"check": "verify"}]}, "models": entries}
    path.write_text(json.dumps(zoo, indent=2) + "\n")


def files(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def expect_same_files(a, b):
    """Two folders hold the same files, byte for byte."""
    names = files(a)
    expect(names and names == files(b), f"{a} and {b} hold other files: {names} and {files(b)}")
    other = [str(name) for name in names if not filecmp.cmp(a / name, b / name, shallow=False)]
    expect(not other, f"files of {a} and {b} differ: {', '.join(other)}")
