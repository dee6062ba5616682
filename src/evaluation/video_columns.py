"""The columns of a table of video metrics, and the names of its controls."""

from collections.abc import Collection, Iterator

from src.evaluation.suite import Column

FD, FD_FRAME = "fd", "fd_frame"  # their keys in a record end in the name of the features

COLUMNS = [
    Column(FD, "FD ↓", "Fréchet distance of samples to training clips, in a space-time encoder of clips"),
    Column(FD_FRAME, "frame FD ↓", "Fréchet distance of single frames of samples to those of training clips"),
    Column(
        "trajectory", "trajectory ↓", "pixels from a digit to the nearest path that digits of the data could take; at most 18"
    ),
    Column("identity", "identity ↑", "share of frames in which a digit is what it is in most frames", "higher"),
    Column("bounces", "bounces ↑", "share of walls that a digit comes to at which it bounces", "higher"),
    Column("digits", "digits ↑", "share of frames in which two digits are found", "higher"),
    Column("speed", "speed", "pixels per frame that a digit moves", None, True),
    Column("motion", "motion", "difference of neighbouring frames, in grey levels", None),
    Column("copies", "copies", "share of clips suspiciously close to a training clip; 0.05 for unseen real ones", None),
]
CONTROL_NAMES = {
    "real": "unseen real clips (floor)",
    "frozen": "real clips, the first frame frozen",
    "shuffled": "real clips, frames shuffled",
    "reversed": "real clips, backwards",
    "training_copies": "copies of training clips",
}


def columns(measured: Collection[str], features: str, frame_key: str) -> Iterator[Column]:
    """The columns of a record with these keys, in the order of the table.

    features: the name of the encoder of clips. frame_key: key of the distance of frames.
    """
    keys = {FD: f"{FD}_{features}", FD_FRAME: frame_key}
    for column in COLUMNS:
        key = keys.get(column.key, column.key)
        if key in measured:
            yield column._replace(key=key)
