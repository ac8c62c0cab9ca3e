#!/usr/bin/env python3
"""Prints the failed cases of a JUnit report as annotations, which GitHub Actions shows beside the run.

    annotate.py zoo-output/junit.xml
"""

import sys
from xml.etree import ElementTree


def escaped(text, more=""):
    """As workflow commands want it; titles also without the characters of `more`."""
    for character in "%\r\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def main():
    for case in ElementTree.parse(sys.argv[1]).getroot().iter("testcase"):
        for problem in [*case.findall("failure"), *case.findall("error")]:
            title = f"{case.get('classname')} {case.get('name')}"
            message = problem.get("message") or (problem.text or "").strip() or "failed"
            print(f"::error title={escaped(title, ':,')}::{escaped(message)}")


if __name__ == "__main__":
    main()
