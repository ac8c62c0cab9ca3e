#!/usr/bin/env python3
"""Draws what `mquant bench --json` measured: seconds by stage, one stacked bar a variant, prefill and decode.

    python3 -m venv .cache/plot && .cache/plot/bin/pip install matplotlib
    .cache/plot/bin/python scripts/plot_bench.py bench.json --output bench.svg
    .cache/plot/bin/python scripts/plot_bench.py 2b.json 7b.json --output both.png

One row of pictures for each file.  Bars are the median repetition; whiskers go from the fastest to the slowest.
"""

import argparse
import json
import sys
from pathlib import Path

VERSION = 1  # of the JSON
STAGES = ["vision tower", "linears", "quantize", "hadamard", "attention", "rest"]
COLOURS = ["#4c72b0", "#dd8452", "#c44e52", "#8172b3", "#55a868", "#bbbbbb"]
PHASES = ["prefill", "decode"]


def read_report(path):
    try:
        report = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        sys.exit(f"plot_bench: {path}: {error}")
    if not isinstance(report, dict) or "variants" not in report:
        sys.exit(f"plot_bench: {path}: expected the JSON of mquant bench, which has 'variants'")
    if report.get("version") != VERSION:
        sys.exit(f"plot_bench: {path}: expected version {VERSION}, found {report.get('version')}")
    return report


def stage_seconds(phase):
    """Seconds of the median repetition, in the order of STAGES; the vision tower counts as one."""
    median = phase["median_pass"]
    return [sum(median["vision"].values()), *(median["decoder"][stage] for stage in STAGES[1:])]


def title(report, phase):
    work = report["workload"]
    tokens = f"{work['visual_tokens']} visual + {work['text_tokens']} text tokens"
    what = tokens if phase == "prefill" else f"{work['decode_tokens']} tokens behind {tokens}"
    return f"{Path(report['artifact']).name}: {phase}, {what}, batch {work['batch']}"


def draw(axes, report, phase):
    variants = [v for v in report["variants"] if v[phase] is not None]
    if not variants:
        axes.set_axis_off()
        axes.set_title(title(report, phase) + ": not run", fontsize=9)
        return
    names = [v["name"] for v in variants]
    rows = [stage_seconds(v[phase]) for v in variants]
    left = [0.0] * len(rows)
    for stage, colour, seconds in zip(STAGES, COLOURS, zip(*rows)):
        axes.barh(names, seconds, left=left, color=colour, label=stage, height=0.7)
        left = [start + width for start, width in zip(left, seconds)]
    for y, (variant, end) in enumerate(zip(variants, left)):
        totals = [repetition["total"] for repetition in variant[phase]["repetitions"]]
        axes.plot([min(totals), max(totals)], [y, y], color="black", linewidth=1, marker="|")
        axes.annotate(f" {end:.3g} s, {variant[phase]['tokens_per_second']:.3g} tokens/s",
                      (max(end, *totals), y), va="center", fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(right=1.35 * max(max(left), 1e-12))
    axes.set_xlabel("seconds")
    axes.set_title(title(report, phase), fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="+", metavar="REPORT.json", help="of mquant bench --json")
    parser.add_argument("--output", required=True, help="a picture: .svg, .png or .pdf")
    arguments = parser.parse_args()
    reports = [read_report(path) for path in arguments.reports]
    try:
        import matplotlib
    except ImportError:
        sys.exit("plot_bench: no matplotlib; see the first lines of this script for how to install it")
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "mquant"  # the same file for the same numbers
    matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(len(reports), len(PHASES), figsize=(13, 3.2 * len(reports)), squeeze=False)
    for row, report in zip(grid, reports):
        for axes, phase in zip(row, PHASES):
            draw(axes, report, phase)
    handles, labels = next((a.get_legend_handles_labels() for a in grid.flat if a.has_data()), ([], []))
    figure.legend(handles, labels, loc="lower center", ncols=len(STAGES), frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.06 / len(reports) + 0.02, 1, 1))
    metadata = {"Date": None} if arguments.output.endswith(".svg") else None
    figure.savefig(arguments.output, dpi=150, metadata=metadata)


if __name__ == "__main__":
    main()
