#!/usr/bin/env python3
"""Runs scripts/zoo/Snakefile on tiny models: artifacts as of `mquant zoo`, failures reported, runs continued.

    .cache/zoo-venv/bin/python tests/zoo/snakemake.py --program build/dev/bin/mquant [CHECK...]

Snakemake is the one beside this Python.  The profiles slurm and kubernetes submit to fake_slurm.py and
fake_kubernetes.py, which run jobs here.
"""

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import junit
import yaml
from fake_kubernetes import Cluster
from zoo import ROOT, UNREACHABLE, expect, expect_same_files, run, write_zoo

SNAKEMAKE = Path(sys.executable).with_name("snakemake")
SCRIPTS = ROOT / "scripts/zoo"
MODELS = ["qwen2_vl", "llava", "smolvlm"]


class Zoo:
    """A folder with a zoo file in it, where programs run: the paths that they get are relative."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def snakemake(self, profile, *arguments, output="out", mquant=None, **variables):
        command = [
            SNAKEMAKE, "--snakefile", SCRIPTS / "Snakefile", "--profile", SCRIPTS / "profiles" / profile,
            "--nocolor", *arguments, "--config", "zoo=zoo.json", f"output={output}",
            f"mquant={mquant or self.program}"
        ]
        return run(command, self.folder, **variables)

    def mquant(self, *arguments):
        return run([self.program, "zoo", "zoo.json", *arguments], self.folder)


def planned(output):
    """{rule: jobs} of what snakemake said it would run."""
    table = re.search(r"^job +count\n-+ +-+\n(.*?)^total ", output, re.MULTILINE | re.DOTALL)
    expect(table, f"expected a table of jobs, found:\n{output}")
    return {rule: int(count) for rule, count in (line.split() for line in table.group(1).splitlines())}


def expect_report(zoo, output, failed):
    """A valid report, in which these stages have failed, as (job, stage), and no other."""
    report = zoo.folder / output / "junit.xml"
    expect(not junit.problems(report), f"{report}: {junit.problems(report)}")
    found = {case for case, result in junit.results(report).items() if result in ("failure", "error")}
    expect(found == set(failed), f"{report}: expected failures {failed}, found {found}")
    for name in ("summary.json", "summary.md"):
        expect((zoo.folder / output / name).stat().st_size, f"{name} is empty")


def check_local(zoo):
    """Three models, one with a bound that no model keeps: it fails alone; then its eval runs again."""
    write_zoo(zoo.folder / "zoo.json", MODELS, UNREACHABLE)
    code, text = zoo.snakemake("local", "--dry-run")
    expect(code == 0 and not (zoo.folder / "out").exists(),
           f"exit code {code} of a dry run, which writes nothing:\n{text}")
    counts = {"check": 3, "calibrate": 3, "export": 3, "verify": 2, "eval": 1, "report": 1}
    expect(planned(text) == counts, f"expected {counts}, found:\n{text}")

    code, text = zoo.snakemake("local", "--cores", "2")
    expect(code == 1, f"expected exit code 1, found {code}:\n{text}")
    failed = [("smolvlm.w4a8", "eval-cases")]
    expect_report(zoo, "out", failed)
    record = json.loads((zoo.folder / "out/jobs/smolvlm.w4a8/eval-cases.json").read_text())
    expect(record["result"] == "failed", f"the record of the stage that failed: {record}")

    code, text = zoo.mquant("--output", "alone", "--keep-going")
    expect(code == 1, f"expected exit code 1, found {code}:\n{text}")
    expect_report(zoo, "alone", failed)
    expect_same_files(zoo.folder / "alone/artifacts", zoo.folder / "out/artifacts")

    write_zoo(zoo.folder / "zoo.json", MODELS, max_kl=10)
    for output in ("out", "alone"):  # Snakemake also continues what mquant has begun
        code, text = zoo.snakemake("local", "--cores", "2", output=output)
        expect(code == 0, f"{output}: exit code {code}:\n{text}")
        expect(planned(text) == {"eval": 1, "report": 1}, f"{output}: not the eval alone:\n{text}")
        expect_report(zoo, output, [])
    code, text = zoo.snakemake("local", "--cores", "2")
    expect(code == 0 and planned(text) == {"report": 1}, f"all has passed: exit code {code}:\n{text}")

    write_zoo(zoo.folder / "zoo.json", MODELS, max_kl=10, seeds={"llava": 1})
    code, text = zoo.snakemake("local", "--dry-run")
    counts = {"check": 1, "calibrate": 1, "export": 1, "verify": 1, "report": 1}
    expect(planned(text) == counts, f"a model with another seed: expected {counts}, found:\n{text}")


def check_problems(zoo):
    """A model that is absent fails at its check and the others run; a zoo file that is broken stops all."""
    write_zoo(zoo.folder / "zoo.json", ["absent", "llava"])
    code, text = zoo.snakemake("local", "--cores", "2")
    expect(code == 1, f"expected exit code 1, found {code}:\n{text}")
    expect_report(zoo, "out", [("absent.w4a8", "check")])
    expect((zoo.folder / "out/artifacts/llava.w4a8").is_dir(), f"the other job has not run:\n{text}")
    (zoo.folder / "zoo.json").write_text("{")
    code, text = zoo.snakemake("local", "--cores", "2")
    expect(code == 1 and "ended with" in text, f"exit code {code} of a broken zoo file:\n{text}")
    code, text = zoo.snakemake("local", "--cores", "2", mquant="./absent")
    expect(code == 1 and "expected the program mquant" in text,
           f"exit code {code} without a program:\n{text}")


def check_slurm(zoo):
    """A dry run needs nothing of Slurm.  Stages are submitted with what the plan says, which is made once."""
    write_zoo(zoo.folder / "zoo.json", ["llava"], UNREACHABLE)
    code, text = zoo.snakemake("slurm", "--dry-run")
    expect(code == 0 and planned(text)["calibrate"] == 1, f"exit code {code} of a dry run:\n{text}")

    states, commands, calls = (zoo.folder / name for name in ("states", "commands", "calls"))
    states.mkdir()
    commands.mkdir()
    for name in ("sbatch", "srun", "sacct", "sinfo", "scancel"):
        (commands / name).symlink_to(Path(__file__).resolve().with_name("fake_slurm.py"))
    program = commands / "mquant"
    program.write_text(f'#!/bin/sh\necho "$*" >> {calls}\nexec {zoo.program} "$@"\n')
    program.chmod(0o755)
    code, text = zoo.snakemake("slurm", "--slurm-init-seconds-before-status-checks", "1",
                               mquant="commands/mquant", FAKE_SLURM=str(states),
                               PATH=f"{commands}:{os.environ['PATH']}")
    expect(code == 1, f"expected exit code 1, found {code}:\n{text}")
    expect_report(zoo, "out", [("llava.w4a8", "eval-cases")])
    found = sorted(path.read_text() for path in states.iterdir())
    expect(found == ["COMPLETED"] * 3 + ["FAILED"],
           f"expected 3 jobs that passed and one that failed, found {found}")
    plans = [line for line in calls.read_text().splitlines() if "--dry-run" in line]
    expect(len(plans) == 1, f"expected one plan, found {plans}")


def check_kubernetes(zoo):
    """The test's folder is the volume; pods get the profile's image and volume, and share nothing else."""
    write_zoo(zoo.folder / "zoo.json", ["llava"], UNREACHABLE)
    shutil.copy(SCRIPTS / "Snakefile", zoo.folder)
    profile = SCRIPTS / "profiles/kubernetes"
    command = [
        SNAKEMAKE, "--profile", profile, "--nocolor", "--default-storage-prefix", zoo.folder,
        "--seconds-between-status-checks", "1", "--latency-wait", "5", "--config",
        f"zoo={zoo.folder}/zoo.json", f"output={zoo.folder}/out", f"mquant={zoo.program}"
    ]
    with Cluster(zoo.folder / "cluster") as cluster:
        code, text = run(command, zoo.folder, KUBECONFIG=str(cluster.config))
    logs = "\n".join(path.read_text() for path in sorted((zoo.folder / "cluster").glob("*.log")))
    expect(code == 1, f"expected exit code 1, found {code}:\n{text}\n{logs}")
    expect_report(zoo, "out", [("llava.w4a8", "eval-cases")])
    expect(len(cluster.bodies) == 4, f"expected 4 pods, found {len(cluster.bodies)}:\n{text}")
    settings = yaml.safe_load((profile / "profile.v9+.yaml").read_text())
    claim, path = settings["kubernetes-persistent-volumes"][0].split(":")
    for body in cluster.bodies:
        pod = body["spec"]["template"]["spec"]
        container = pod["containers"][0]
        expect(container["image"] == settings["container-image"], f"another image: {container}")
        mount = {"name": claim, "mountPath": path}
        expect(mount in container["volumeMounts"], f"the volume is not mounted: {container}")
        requests = container["resources"]["requests"]
        expect(requests["ephemeral-storage"] == "100M" and int(requests["memory"].rstrip("M")) > 500,
               f"asked: {requests}")
    text = run([*command, "--dry-run"], zoo.folder)[1]
    expect(planned(text) == {"eval": 1, "report": 1}, f"expected the eval alone, found:\n{text}")


CHECKS = {check.__name__.removeprefix("check_"): check
          for check in (check_local, check_problems, check_slurm, check_kubernetes)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", required=True, type=Path)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=", ".join(CHECKS))
    options = parser.parse_args()
    for name in options.checks or CHECKS:
        with tempfile.TemporaryDirectory(prefix="mquant-snakemake-") as folder:
            CHECKS[name](Zoo(options.program.resolve(), Path(folder).resolve()))
        print(f"{name}: fine", flush=True)


if __name__ == "__main__":
    main()
