"""The subjects that scripts/real.sh measures, and the rows of its table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Subject:
    name: str
    checkpoint: str  # a folder below that of the checkpoints
    calibration: tuple[tuple[str, int], ...]  # a file of tests/data/smol-vl and how many of its lines; 0: all
    questions: bool  # it answers those of eval.jsonl


SUBJECTS = {
    "smol": Subject("smol", "smol-vl", (("calib.jsonl", 0),), questions=True),
    # Pictures mean nothing to it, but their tokens need scales.
    "gemma": Subject("gemma", "gemma-vl", (("calib-text.jsonl", 0), ("calib.jsonl", 16)), questions=False),
}


@dataclass(frozen=True)
class Row:
    name: str  # of --only and of the files
    title: str
    recipe: str = ""  # empty: the model in full precision
    settings: tuple[str, ...] = ()  # of --set
    add: tuple[str, str] | None = None  # a pass that the recipe has not, and the one before which it comes


# What is set here has another default since; together, the program as it was.
NO_SINKS = "calibration.sink=false"
FOLD_ALL = "fold-norms.where=everywhere"
NO_STREAMS = "rotate-online.streams=false"
FLOAT_ENDS = ("schemes.embed=float", "schemes.head=float")

ROWS = (
    Row("float", "full precision"),
    Row("before", "before", "w4a8", (NO_SINKS, FOLD_ALL, NO_STREAMS, *FLOAT_ENDS)),
    Row("folding-alone", "before, but folding follows rotation", "w4a8", (NO_SINKS, NO_STREAMS, *FLOAT_ENDS)),
    Row("streams-alone", "before, but online rotation of exempted streams", "w4a8",
        (NO_SINKS, FOLD_ALL, *FLOAT_ENDS)),
    Row("sinks", "+ sinks", "w4a8", (FOLD_ALL, NO_STREAMS, *FLOAT_ENDS)),
    Row("folding", "+ folding follows rotation", "w4a8", (NO_STREAMS, *FLOAT_ENDS)),
    Row("streams", "+ online rotation of exempted streams", "w4a8", FLOAT_ENDS),
    Row("default", "default: + 8-bit head, embeddings with it where tied", "w4a8"),
    Row("smooth", "default, smoothing instead of that online rotation", "w4a8", (NO_STREAMS,),
        add=("smooth", "suppress")),
    Row("w16a8", "default, decoder in w16a8", "w4a8", ("schemes.decoder=w16a8",)),
    Row("w4a16", "default, decoder in w4a16", "w4a8", ("schemes.decoder=w4a16",)),
    Row("w8a8", "recipe w8a8", "w8a8"),
    Row("w4a8-offline", "recipe w4a8-offline", "w4a8-offline"),
)
