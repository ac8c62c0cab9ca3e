"""A process from its start to its end: time, CPU time, memory."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class BenchError(Exception):
    """Says what was expected, what was found and what to do."""


@dataclass(frozen=True)
class Usage:
    """Of the whole process, and of the processes that it waited for."""

    wall_seconds: float
    cpu_seconds: float  # user and system
    peak_bytes: int


def run(command: Sequence[str | Path], log: Path, environment: Mapping[str, str]) -> Usage:
    """Its words go into `log`.

    @raises BenchError if it does not end with 0
    """
    words = [str(word) for word in command]
    print("+ " + " ".join(words), file=sys.stderr, flush=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        start = time.monotonic()
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                   env={**os.environ, **environment})
        try:
            _, status, used = os.wait4(process.pid, 0)
        except KeyboardInterrupt:
            process.wait()  # the terminal has told it too
            raise
        wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)  # or Popen would wait for it again
    if process.returncode != 0:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        tail.append(f"{words[0]} ended with {process.returncode}; all that it said is in {log}")
        raise BenchError("\n".join(tail))
    return Usage(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)  # Linux counts KiB
