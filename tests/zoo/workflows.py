#!/usr/bin/env python3
"""Runs the commands of scripts/ci's workflows on a zoo of two tiny models, and expects what they publish.

    .cache/zoo-venv/bin/python tests/zoo/workflows.py --program build/dev/bin/mquant

Not run are the lines of NOT_RUN, which install git and build mquant, and the actions of ACTIONS; a workflow
that has others fails here.
"""

import argparse
import tempfile
from pathlib import Path

import junit
import yaml
from zoo import ROOT, UNREACHABLE, expect, run, write_zoo

CI = ROOT / "scripts/ci"
NOT_RUN = [
    "apt-get update -qq",
    "apt-get install -y -qq --no-install-recommends ca-certificates git",
    "git init -q .mquant",
    'git -C .mquant fetch -q --depth 1 "$MQUANT_REPOSITORY" "$MQUANT_REF"',
    "git -C .mquant checkout -q FETCH_HEAD",
    ".mquant/scripts/bootstrap.sh",
    'export CCACHE_DIR="$PWD/.cache/ccache"',
    "(cd .mquant && cmake --preset release && cmake --build --preset release --target mquant)",
]
ACTIONS = {
    "actions/checkout@v7", "actions/cache/restore@v6", "actions/cache/save@v6", "actions/upload-artifact@v7"
}
SHELL = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]
MODELS = ["qwen2_vl", "llava"]


class Project:
    """A checkout of a repository with a zoo file, mquant built beside it as the workflows do."""

    def __init__(self, folder, program, max_kl):
        self.folder = folder
        (folder / ".mquant/build/release/bin").mkdir(parents=True)
        (folder / ".mquant/build/release/bin/mquant").symlink_to(program)
        (folder / ".mquant/scripts").symlink_to(ROOT / "scripts")
        write_zoo(folder / "zoo.json", MODELS, max_kl)

    def published(self, paths, variables):
        """The files of a list of paths, which the workflow names with variables."""
        for name, value in variables.items():
            for used in (f"${{{{ env.{name} }}}}", f"${name}"):
                paths = [path.replace(used, value) for path in paths]
        for path in paths:
            expect((self.folder / path).exists(),
                   f"{path}: expected a published file or folder, found nothing")
        return [self.folder / path for path in paths]


def split(commands):
    """Commands without those that are not run, and the others."""
    return [line for line in commands if line not in NOT_RUN], [line for line in commands if line in NOT_RUN]


class GitHub:
    """A job of a workflow, as far as ours needs it: steps in their order, `if: always()`, a summary."""

    def __init__(self):
        self.workflow = yaml.safe_load((CI / "github.yml").read_text())
        self.steps = self.workflow["jobs"]["zoo"]["steps"]
        expect(self.workflow["defaults"]["run"]["shell"] == "bash",
               "a container's shell is sh, where nothing else is said")
        actions = {step["uses"] for step in self.steps if "uses" in step}
        expect(actions == ACTIONS, f"actions: expected {ACTIONS}, found {actions}")
        skipped = [line for step in self.steps for line in split(step.get("run", "").splitlines())[1]]
        expect(skipped == NOT_RUN, f"lines not run: expected {NOT_RUN}, found {skipped}")
        expect("${{" not in "".join(step.get("run", "") for step in self.steps),
               "an expression within a command")

    def run(self, project):
        """(exit code, output)"""
        variables = {name: str(value) for name, value in self.workflow["env"].items()}
        self.summary = project.folder.parent / "summary.md"
        self.summary.write_text("")
        code, output = 0, ""
        for step in self.steps:
            condition = step.get("if")
            expect("uses" in step or condition in (None, "always()"), f"this test does not know `if: {condition}`")
            lines, skipped = split(step.get("run", "").splitlines())
            expect(not lines or not skipped, f"step '{step.get('name')}': it is run in part")
            if lines and (not code or condition):
                ended, text = run([*SHELL, "\n".join(lines)], project.folder,
                                  GITHUB_STEP_SUMMARY=str(self.summary), **variables)
                code, output = code or ended, output + text
        return code, output

    def published(self, project, _):
        upload = next(step for step in self.steps
                      if step.get("uses", "").startswith("actions/upload-artifact"))
        expect(upload["if"] == "always()", "reports are published of runs that failed")
        summary = (project.folder / self.workflow["env"]["OUTPUT"] / "summary.md").read_text()
        expect(self.summary.read_text() == summary, "the summary of the run is not that of the zoo")
        return project.published(upload["with"]["path"].splitlines(), self.workflow["env"])


class GitLab:
    """A job of a pipeline: script in one shell, after_script in another, whatever happened."""

    def __init__(self):
        self.pipeline = yaml.safe_load((CI / "gitlab.yml").read_text())
        self.job = self.pipeline["zoo"]
        lines, skipped = split(self.job["before_script"])
        expect(not lines and skipped == NOT_RUN,
               f"lines not run: expected {NOT_RUN}, found {skipped} and {lines}")
        expect(not split(self.job["script"])[1], "a line of the script is not run")
        expect(all(cache["when"] == "always" for cache in self.job["cache"]),
               "caches are kept of runs that failed")

    def run(self, project):
        variables = {name: str(value) for name, value in self.pipeline["variables"].items()}
        code, output = run([*SHELL, "\n".join(self.job["script"])], project.folder, **variables)
        _, text = run([*SHELL, "\n".join(self.job["after_script"])], project.folder, **variables)
        return code, output + text

    def published(self, project, output):
        artifacts, variables = self.job["artifacts"], self.pipeline["variables"]
        expect((project.folder / variables["OUTPUT"] / "summary.md").read_text() in output,
               "the log has no summary")
        expect(artifacts["when"] == "always", "reports are published of runs that failed")
        expect(artifacts["reports"]["junit"] in artifacts["paths"], "the report is not an artifact too")
        return project.published(artifacts["paths"], variables)


def check(system, project):
    """A bound that no model keeps fails the run and is named; then only what failed runs again."""
    name = type(system).__name__
    code, output = system.run(project)
    expect(code == 1, f"{name}: expected exit code 1, found {code}:\n{output}")
    report = next(path for path in system.published(project, output) if path.name == "junit.xml")
    expect(not junit.problems(report), f"{name}: {junit.problems(report)}")
    failed = {case for case, result in junit.results(report).items() if result in ("failure", "error")}
    expect(
        len(failed) == 1 and "llava.w4a8" in str(failed) and "eval-cases" in str(failed),
        f"{name}: expected one failure, llava.w4a8 eval-cases, found {failed}")
    if name == "GitHub":
        notes = [line for line in output.splitlines() if line.startswith("::error title=")]
        expect(
            len(notes) == 1 and "llava.w4a8" in notes[0], f"{name}: expected one annotation, found {notes}")

    artifact = next((project.folder / "zoo-output/artifacts/llava.w4a8").glob("*.safetensors"))
    before = artifact.stat().st_mtime_ns
    write_zoo(project.folder / "zoo.json", MODELS, max_kl=10)
    code, output = system.run(project)
    system.published(project, output)
    expect(code == 0 and "::error" not in output, f"{name}: expected exit code 0, found {code}:\n{output}")
    expect(artifact.stat().st_mtime_ns == before,
           f"{name}: the model was quantized again, though it had passed")

    # A run that ends before its first job publishes nothing, least of all the reports of the run before.
    (project.folder / "zoo.json").write_text("{")
    code, output = system.run(project)
    expect(code not in (0, 1), f"{name}: exit code {code} of a broken zoo file:\n{output}")
    expect(not list(project.folder.glob("zoo-output/[!.]*.*")), f"{name}: reports of another run are left")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", required=True, type=Path)
    program = parser.parse_args().program.resolve()
    for system in (GitHub(), GitLab()):
        with tempfile.TemporaryDirectory(prefix="mquant-workflows-") as folder:
            project = Path(folder).resolve() / "project"
            project.mkdir()
            check(system, Project(project, program, UNREACHABLE))
        print(f"{type(system).__name__}: fine")


if __name__ == "__main__":
    main()
