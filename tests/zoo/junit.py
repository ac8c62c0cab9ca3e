#!/usr/bin/env python3
"""Checks JUnit reports against the schema of Jenkins' xunit plugin, and the counts in them.

    .cache/zoo-venv/bin/python tests/zoo/junit.py FILE...      exit code 1 if a file breaks the schema

The schema, junit-10.xsd, comes out of pytest's source package, through pip, and is kept in .cache.
"""

import argparse
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import xmlschema

ROOT = Path(__file__).resolve().parent.parent.parent
SCHEMA = ROOT / ".cache/junit-10.xsd"
PYTEST = "9.0.2"  # the package that ships the schema among its own tests
MEMBER = f"pytest-{PYTEST}/testing/example_scripts/junit-10.xsd"


def schema():
    if not SCHEMA.exists():
        SCHEMA.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=SCHEMA.parent) as folder:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
            pip += ["--no-deps", "--no-binary", "pytest", "--dest", folder, f"pytest=={PYTEST}"]
            subprocess.run(pip, check=True)
            with tarfile.open(Path(folder) / f"pytest-{PYTEST}.tar.gz") as archive:
                content = archive.extractfile(MEMBER).read()
            partial = Path(folder) / SCHEMA.name
            partial.write_bytes(content)
            partial.replace(SCHEMA)
    return xmlschema.XMLSchema(SCHEMA)


def problems(path):
    """What is wrong with a report; a list of texts."""
    found = [f"{error.path}: {error.reason}" for error in schema().iter_errors(path)]
    for suite in ElementTree.parse(path).getroot().iter("testsuite"):
        cases = suite.findall("testcase")
        counts = {"tests": len(cases)}
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            counts[attribute] = sum(case.find(tag) is not None for case in cases)
        for attribute, count in counts.items():
            if suite.get(attribute, str(count)) != str(count):
                found.append(f"testsuite {suite.get('name')}: expected {count} {attribute}, "
                             f"found {suite.get(attribute)}")
    return found


def results(path):
    """{(classname, name): passed, failure, error or skipped} of a report."""
    found = {}
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        marks = [tag for tag in ("failure", "error", "skipped") if case.find(tag) is not None]
        found[case.get("classname"), case.get("name")] = marks[0] if marks else "passed"
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    bad = 0
    for path in parser.parse_args().files:
        found = problems(path)
        bad += bool(found)
        for text in found or ["fine"]:
            print(f"{path}: {text}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
