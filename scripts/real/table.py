"""Results as a table in Markdown."""

from collections.abc import Callable, Sequence
from typing import Any

Result = dict[str, Any]  # what measure.py writes of one row and seed


def _perplexity(result: Result) -> str:
    value = result["perplexity"]
    return f"{value:.2f}" if value < 1000 else f"{value:,.0f}"


def _kl(result: Result) -> str:
    return "-" if result["kl"] is None else f"{result['kl']:.3f}"


def _top1(result: Result) -> str:
    return "-" if result["top1"] is None else f"{100 * result['top1']:.1f}"


def _exact(result: Result) -> str:
    return "-" if result["exact"] is None else f"{100 * result['exact'] / result['questions']:.1f}"


def _size(result: Result) -> str:
    return f"{result['bytes'] / 2**20:.0f}"


def _seconds(result: Result) -> str:
    return "-" if result["calibrate_seconds"] is None else f"{result['calibrate_seconds']:.0f}"


COLUMNS: tuple[tuple[str, Callable[[Result], str]], ...] = (
    ("text perplexity", _perplexity),
    ("KL text", _kl),
    ("top-1, %", _top1),
    ("exact match, %", _exact),
    ("MiB", _size),
    ("calibrate, s", _seconds),
)


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _range(texts: Sequence[str]) -> str:
    """One value, or the smallest and the largest of several seeds."""
    if len(set(texts)) == 1:
        return texts[0]
    return f"{min(texts, key=_number)} to {max(texts, key=_number)}"


def markdown(rows: Sequence[tuple[str, str, Sequence[Result]]]) -> str:
    """One line for each subject, title and its results, by seed; no result: it failed."""
    lines = ["| subject | row | " + " | ".join(title for title, _ in COLUMNS) + " |",
             "| --- | --- |" + " ---: |" * len(COLUMNS)]
    for subject, title, results in rows:
        cells = [_range([cell(result) for result in results]) if results else "failed" for _, cell in COLUMNS]
        lines.append("| " + " | ".join([subject, title, *cells]) + " |")
    return "\n".join(lines) + "\n"
