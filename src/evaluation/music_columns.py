"""The columns of a table of music metrics, and the names of its controls."""

from collections.abc import Iterator, Mapping
from typing import Any

from src.evaluation.suite import Column

FD = "fd"  # its key in a record ends in the name of the features
HARMONY = "harmony"  # begins the keys of what is measured of harmonisations of unseen melodies

COLUMNS = [
    Column("nats", "nats / voice-step", "negative log-likelihood per voice and sixteenth of unseen pieces; their ends count"),
    Column("nats_frame", "nats / frame", "the same nats divided by the sixteenths, each with all its voices"),
    Column("nats_onset", "nats / onset", "the same nats divided by the notes"),
    Column(FD, "FD ↓", "Fréchet distance of two-bar windows of samples to those of training pieces, in an encoder of tunes"),
    Column(
        "overlap",
        "overlap ↑",
        "area that the distributions of samples and of training pieces share; mean of the next four",
        "higher",
    ),
    Column("overlap_pitch_class", "pitch classes ↑", "shared area of the distributions of pitch classes", "higher", True),
    Column("overlap_interval", "intervals ↑", "shared area of the distributions of melodic intervals", "higher", True),
    Column("overlap_duration", "durations ↑", "shared area of the distributions of durations", "higher", True),
    Column("overlap_onsets", "onsets ↑", "shared area of the distributions of notes per bar", "higher", True),
    Column(
        "oa",
        "OA ↑",
        "overlapped area of Yang and Lerch: distances within training pieces and from samples to them; mean of the same four",
        "higher",
    ),
    Column("scale", "scale", "share of notes in the scale that fits a piece best", None, True),
    Column("groove", "groove", "how much the rhythm of neighbouring bars agrees", None, True),
    Column("parallels", "parallels ↓", "parallel fifths and octaves per hundred chords"),
    Column("fifths", "fifths ↓", "parallel fifths per hundred chords", page_only=True),
    Column("octaves", "octaves ↓", "parallel octaves and unisons per hundred chords", page_only=True),
    Column("crossings", "crossings ↓", "pairs of crossed voices per hundred chords"),
    Column("ranges", "range ↓", "notes outside the range of their voice per hundred chords"),
    Column("ctnctr", "CTnCTR ↑", "share of the melody that is in the chord or resolves by step", "higher", True),
    Column("pcs", "PCS ↑", "pitch consonance score of melody and chord, -1 to 1", "higher", True),
    Column("mctd", "MCTD ↓", "distance of melody and chord in the tonal space", page_only=True),
    Column("harmony_nats", "harmony: nats ↓", "nats per voice-step of the other voices, the melody given"),
    Column("harmony_nats_frame", "harmony: nats / frame ↓", "the same divided by the sixteenths", page_only=True),
    Column("harmony_nats_onset", "harmony: nats / onset ↓", "the same divided by the notes", page_only=True),
    Column("harmony_parallels", "harmony: parallels ↓", "parallels per hundred chords of harmonised unseen melodies"),
    Column("harmony_fifths", "harmony: fifths ↓", "parallel fifths of them", page_only=True),
    Column("harmony_octaves", "harmony: octaves ↓", "parallel octaves and unisons of them", page_only=True),
    Column("harmony_crossings", "harmony: crossings ↓", "crossed voices of them", page_only=True),
    Column("harmony_ranges", "harmony: range ↓", "notes outside the range of their voice of them", page_only=True),
    Column("harmony_ctnctr", "CTnCTR ↑", "share of the given melody that is in the chord or resolves by step", "higher"),
    Column("harmony_pcs", "PCS ↑", "pitch consonance score of the given melody and the chord, -1 to 1", "higher"),
    Column("harmony_mctd", "MCTD ↓", "distance of the given melody and the chord in the tonal space"),
    Column("monotone", "monotone ↑", "share of interpolations whose steps all go from one unseen piece to the other", "higher"),
    Column("monotone_steps", "monotone steps ↑", "share of the steps of interpolations that do", "higher", True),
    Column("changing_steps", "changing steps", "share of the steps of interpolations to another piece", None, True),
    Column("motif", "motif", "notes of the longest transposed motif that a sample has of training pieces, on average", None),
    Column("motif_exact", "exact motif", "the same without transposition", None, True),
    Column("copied", "copied pieces", "share of samples half of whose notes are a transposed motif of a training piece", None),
]
CONTROL_NAMES = {
    "real": "unseen real pieces (floor)",
    "ngram": "n-grams of notes (baseline)",
    "hold": "the first note held",
    "shuffled_bars": "real pieces, bars shuffled",
    "other_bass": "real pieces, another piece's bass",
    "crossfade": "one piece replaced by the other from left to right",
    "crossfade_shuffled": "the same, its steps in random order",
    "uniform": "uniform over the symbols",
    "training_copies": "copies of training pieces",
}


def columns(measured: Mapping[str, Any], features: str) -> Iterator[Column]:
    """The columns of a record with these keys, in the order of the table. features: the name of the encoder."""
    for column in COLUMNS:
        key = f"{column.key}_{features}" if column.key == FD else column.key
        if key in measured:
            yield column._replace(key=key)
