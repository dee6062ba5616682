"""The columns of a table of image metrics, and the names of its controls."""

from collections.abc import Collection

from src.evaluation.suite import Column

# A key in a record may end in the extractor's name.
COLUMNS = (
    Column("fd", "FD ↓", "Fréchet distance between the features of generated and real images; lower is better"),
    Column("fid", "FID ↓", "Fréchet inception distance; lower is better"),
    Column("kid", "KD ↓", "kernel distance: unbiased squared maximum mean discrepancy of features; lower is better"),
    Column(
        "is",
        "IS ↑",
        "inception score: sure and varied classes; higher is better, and blind within a class",
        "higher",
        page_only=True,
    ),
    Column("precision", "precision ↑", "share of generated images inside the manifold of real ones (3 neighbours)", "higher"),
    Column("recall", "recall ↑", "share of real images inside the manifold of generated ones (3 neighbours)", "higher"),
    Column(
        "density",
        "density ↑",
        "how many real neighbourhoods hold a generated image, 1 for real data (5 neighbours)",
        "higher",
        page_only=True,
    ),
    Column(
        "coverage", "coverage ↑", "share of real images with a generated one in their neighbourhood (5 neighbours)", "higher"
    ),
    Column("copies", "copies", "share of images suspiciously close to a training image; 0.05 for unseen real ones", None),
    Column("class_min_share", "rarest class", "share of the class that is drawn least; 0 means that one is never drawn", None),
    Column("modes", "modes ↑", "how many of the classes, or of the data's modes, are found at least once", "higher"),
    Column("kl", "KL ↓", "Kullback-Leibler divergence of the generated classes from the real ones, in nats; lower is better"),
    Column(
        "high_quality",
        "high quality ↑",
        "share of points within 3 standard deviations of a mode; 0.989 for real ones",
        "higher",
    ),
    Column("accuracy", "accuracy ↑", "share of samples in which a classifier sees the class that was asked for", "higher"),
    Column("fd_class_mean", "class FD ↓", "mean Fréchet distance of samples of a class to real images of it; lower is better"),
)

# The first control is the floor: `times the floor` is a recipe's distance divided by the floor's distance.
CONTROL_NAMES = {"real": "real images (floor)", "noise": "noise (ceiling)", "training_copies": "training copies"}


def columns(measured: Collection[str], extractor: str) -> list[Column]:
    """The columns of a record with these keys, in the order of the table; the main metric comes first."""
    return [
        column._replace(key=key) for column in COLUMNS for key in (column.key, f"{column.key}_{extractor}") if key in measured
    ]
