"""Results in Markdown."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

Result = dict[str, Any]  # of a subject, as run.py writes it
Run = dict[str, Any]  # one repetition of one program

COLUMNS: tuple[tuple[str, str, float], ...] = (  # title, key of a run, unit
    ("wall, s", "wall_seconds", 1),
    ("CPU, s", "cpu_seconds", 1),
    ("peak memory, MiB", "peak_bytes", 2**20),
    ("calibration alone, s", "calibration_seconds", 1),
)


def number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def head(titles: Sequence[str]) -> list[str]:
    return [row(titles), "| --- |" + " ---: |" * (len(titles) - 1)]


def values(runs: Sequence[Run], key: str, unit: float) -> list[float]:
    return [run[key] / unit for run in runs]


def middle(runs: Sequence[Run]) -> Run:
    """The repetition of the median wall time, of an even number the faster one of two."""
    return sorted(runs, key=lambda run: float(run["wall_seconds"]))[(len(runs) - 1) // 2]


def compared(programs: Mapping[str, Sequence[Run]]) -> list[str]:
    """Medians with the smallest and the largest, and how many times those of the others the last program's are."""

    def spread(found: list[float]) -> str:
        text = number(median(found))
        return text if len(found) == 1 else f"{text} ({number(min(found))} to {number(max(found))})"

    lines = head(["", *(title for title, _, _ in COLUMNS)])
    for name, runs in programs.items():
        lines.append(row([name, *(spread(values(runs, key, unit)) for _, key, unit in COLUMNS)]))
    *ours, (other, others) = programs.items()
    for name, runs in ours:
        ratios = [median(values(others, key, unit)) / median(values(runs, key, unit)) for _, key, unit in COLUMNS]
        lines.append(row([f"{other} / {name}", *(number(ratio) for ratio in ratios)]))
    return lines


def steps(run: Run) -> str:
    return (f"{run['program']}, steps of the repetition in the middle: "
            + ", ".join(f"{name} {number(value)} s" for name, value in run["steps"].items()) + ".")


def shares(report: Mapping[str, Any]) -> list[str]:
    """Phases of a calibration, longest first, and what none of them counts."""
    total: float = report["seconds"]
    phases = sorted(report["phases"].items(), key=lambda phase: -float(phase[1]))
    phases.append(("rest", total - sum(report["phases"].values())))
    return [*head(["phase", "s", "% of the calibration"]),
            *(row([name, number(value), f"{100 * value / total:.1f}"])
              for name, value in phases if 1000 * value >= total),  # the others are a zero in the table
            row(["all", number(total), "100.0"])]


def operations(report: Mapping[str, Any]) -> list[str]:
    """By kind; none where this mquant does not count them."""
    counted = report.get("operations")
    if not counted:
        return []
    lines = head(["operations", "10^9", "10^9 a second of the calibration"])

    def add(name: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, part in value.items():
                add(f"{name} {key}".strip(), part)
        elif isinstance(value, int | float):
            lines.append(row([name or "all", number(value / 1e9), number(value / 1e9 / report["seconds"])]))

    add("", counted)
    return lines


def quantized(run: Run) -> str:
    return f"{run['program']}: " + ", ".join(f"{count} {scheme}" for scheme, count in sorted(run["schemes"].items()))


def markdown(result: Result) -> str:
    work, programs = result["work"], result["programs"]
    linears = "; ".join(quantized(runs[0]) for runs in programs.values())
    lines = [f"### {result['title']}", "",
             f"{work['samples']} samples, {work['text']:,} tokens of text and {work['visual']:,} of pictures, "
             + f"{work['patches']:,} patches; {result['threads']} threads, load {result['load']:.2f} at the start.", "",
             *compared(programs), "", f"Linears by scheme: {linears}.", ""]
    for runs in programs.values():
        if "steps" in runs[0]:
            lines += [steps(middle(runs)), ""]
        else:
            report = middle(runs)["report"]
            lines += [f"{runs[0]['program']}, calibration of the repetition in the middle:", "", *shares(report), ""]
            if counted := operations(report):
                lines += [*counted, ""]
    return "\n".join(lines)
