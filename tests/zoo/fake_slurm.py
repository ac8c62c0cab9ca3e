#!/usr/bin/env python3
"""Stands in for Slurm's commands, as far as Snakemake's executor calls them.

Under the names sbatch, srun, sacct, sinfo and scancel on the PATH; FAKE_SLURM is a folder for the states of
jobs.  A job runs on this machine, and sbatch returns when it has ended.  sbatch refuses jobs that ask for no
memory, time or cores.
"""

import os
import subprocess
import sys
from pathlib import Path

STATES = Path(os.environ["FAKE_SLURM"])


def sbatch(arguments):
    wrapped = next(word.removeprefix("--wrap=") for word in arguments if word.startswith("--wrap="))
    asked = " ".join(word for word in arguments if not word.startswith("--wrap="))
    for option in ("--mem ", "-t ", "--cpus-per-task="):
        if option not in asked:
            sys.exit(f"sbatch: error: expected {option}, found {asked}")
    folder = arguments[arguments.index("-D") + 1]
    number = str(os.getpid())
    (STATES / number).write_text("RUNNING")
    log = Path(arguments[arguments.index("--output") + 1].replace("%j", number))
    with log.open("w") as file:
        environment = dict(os.environ, SLURM_JOB_ID=number)
        code = subprocess.run(["sh", "-c", wrapped], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                              stdout=file, stderr=subprocess.STDOUT).returncode
    (STATES / number).write_text("FAILED" if code else "COMPLETED")
    print(number)


def srun(arguments):
    while arguments[0].startswith("-"):
        arguments.pop(0)
    os.execvp(arguments[0], arguments)


def sacct(_):
    for path in STATES.iterdir():
        print(f"{path.name}|{path.read_text()}")


def sinfo(_):
    print("PARTITION\nall*")


if __name__ == "__main__":
    commands = {"sbatch": sbatch, "srun": srun, "sacct": sacct, "sinfo": sinfo, "scancel": lambda _: None}
    commands[Path(sys.argv[0]).name](sys.argv[1:])
