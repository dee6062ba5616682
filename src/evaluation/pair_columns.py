"""The columns of tables of pictures that are made from pictures, and the names of the controls."""

from collections.abc import Collection

from src.evaluation.columns import COLUMNS as IMAGE_COLUMNS
from src.evaluation.suite import Column

HOLE = "hole_"
SHARED = {column.key: column for column in IMAGE_COLUMNS}
# A key in a record may end in the extractor's name.
COLUMNS = (
    Column("found", "objects found ↑", "share of the asked objects that a classifier finds at their place, 0 to 1", "higher"),
    Column("perceptual", "perceptual ↓", "relative squared difference of the features of sample and target, 0 to 2; not LPIPS"),
    SHARED["fd"],
    SHARED["fid"],
    SHARED["kid"],
    Column("group_kid", "group KD ↓", "mean kernel distance of samples of a group's captions to real pictures of the group"),
    Column("psnr", "PSNR ↑", "peak signal-to-noise ratio in decibels, mean over pairs; at most 58.9", "higher"),
    Column(f"{HOLE}psnr", "PSNR of the hole ↑", "signal-to-noise ratio of the hole in decibels, mean over pairs", "higher"),
    Column("ssim", "SSIM ↑", "structural similarity of sample and target, at most 1", "higher"),
    Column("l1", "L1 ↓", "mean absolute difference of pixels, 0 to 1"),
    Column(f"{HOLE}l1", "L1 of the hole ↓", "mean absolute difference of the hole's pixels, 0 to 1"),
    Column("edge_f1", "edges ↑", "F1 of the edges of sample and target, at most a pixel apart, 0 to 1", "higher"),
    Column("r_precision", "R-precision ↑", "share of samples whose own caption a CLIP model finds among 99 others", "higher"),
    Column("colour", "colour ↑", "share of samples with the hue that is named, of those whose caption names one", "higher"),
    Column("composition", "composition ↑", "share of seeds from which two captions both give the hue that they name", "higher"),
    Column(
        "copies", "copies", "share of samples suspiciously close to a training picture; 0.05 for unseen real pictures", None
    ),
    Column(
        "closeness",
        "closeness",
        "median distance to the nearest training picture, divided by that picture's distance to its own nearest; 0 is a copy",
        None,
        page_only=True,
    ),
)
CONTROL_NAMES = {
    "real": "real pictures (floor)",
    "copy": "the source itself",
    "mean_image": "mean of the training pictures",
    "nearest": "target of the most similar training source",
    "shuffled": "another pair's target",
    "nearest_caption": "training picture with the most similar caption",
    "shuffled_captions": "samples of other captions",
    "unconditional": "samples of the empty caption",
    "nearest_layout": "training picture with the most similar layout",
    "shuffled_layouts": "samples of other layouts",
    "mean_fill": "mean colour around the hole",
    "diffusion_fill": "diffusion from the hole's edge",
    "nearest_fill": "pixels of the most similar training picture",
    "shuffled_fill": "another picture's pixels",
}


def columns(measured: Collection[str], extractor: str) -> list[Column]:
    """The columns of a record with these keys, in the order of the table; the main metric comes first."""
    return [
        column._replace(key=key) for column in COLUMNS for key in (column.key, f"{column.key}_{extractor}") if key in measured
    ]
