"""Pictures that a model makes others from: `source=` and `mask=` of src.generate, for models that read pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.config.errors import UserError
from src.data.decoded import to_array
from src.data.files import list_files
from src.data.folder import SUFFIXES

KEYS = ("mask",)  # source= is also a setting of text
WHITE = 128  # grey values of a mask from here on are a hole
SHOWN = 80  # characters of a wrong source= in a message


def given(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of KEYS that the user has set."""
    return {key: config[key] for key in KEYS if config.get(key) is not None}


def reads_pictures(model: Any) -> bool:
    """Whether the source of a model's samples is a picture."""
    source = model.conditions([0]).get("source")
    return source is not None and source.ndim == 4


def asked(model: Any, config: Mapping[str, Any]) -> list[Path]:
    """The pictures that source= names, in the order of their names; empty without source=, and for models of text.

    UserError for a place without pictures, and for settings that the model has no use for.
    """
    source = config["source"]
    if not reads_pictures(model):
        if config["mask"] is not None:
            raise UserError("this model knows no mask=, which is for models that fill holes in pictures: leave it out")
        if source is not None and source.lower().endswith(SUFFIXES) and Path(source).is_file():
            raise UserError(f"source={source} is a picture, and this model reads none: leave it out, or name a run that does")
        return []
    if config["mask"] is not None and "mask" not in model.conditions([0]):
        raise UserError("this model fills no holes: leave mask= out, or name a run of model=inpainting")
    if source is None:
        return []
    place = Path(source)
    if place.is_dir():
        names, others = list_files(place, SUFFIXES)
        if not names:
            found = f"; found: {others}" if others else ""
            raise UserError(f"source={source}: there is no picture in it ({', '.join(SUFFIXES)}){found}")
        if config["n"] is not None:
            raise UserError(f"source={source} has {len(names):,} pictures, one for each sample: leave n= out")
        return [place / name for name in names]
    if not place.is_file():
        shown = source if len(source) <= SHOWN and source.isprintable() else f"{source[:SHOWN]!r}..."
        raise UserError(f"source={shown}: there is no such picture: name one, or a folder of them, which this model reads")
    return [place] * (config["n"] or 1)


def field_of(model: Any, config: Mapping[str, Any]) -> str:
    """The field of the model's data that its sources are of: "source", or "x" if it makes its conditions of those itself."""
    from src.models.capabilities import ConditionsFromData

    return "x" if isinstance(model, ConditionsFromData) or config["direction"] == "backward" else "source"


def conditions(model: Any, config: Mapping[str, Any], batch: Any, seeds: Sequence[int]) -> dict[str, Any]:
    """The conditions of samples, in the model's format: "source" [N, C, H, W], with holes also "mask" [N, 1, H, W].

    batch: N pictures in the model's format, by `field_of`.
    """
    from src.models.capabilities import ConditionsFromData
    from src.models.masks import with_hole

    made = isinstance(model, ConditionsFromData)
    found = model.conditions_from(batch, seeds) if made else {"source": batch[field_of(model, config)]}
    if config["mask"] is not None:
        mask = read_mask(Path(config["mask"]), batch["x"].shape[-1]).to(batch["x"]).expand(len(seeds), -1, -1, -1)
        found |= {"source": with_hole(batch["x"], mask), "mask": mask}
    return found


def read(files: Sequence[Path], model: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """Picture files as a batch {field_of: [N, C, H, W]} in the model's format."""
    import torch

    pictures = {path: one_of(bytes_of("source", path), f"source={path}", model, config) for path in dict.fromkeys(files)}
    return {field_of(model, config): torch.stack([pictures[path] for path in files])}


def one_of(data: bytes, said: str, model: Any, config: Mapping[str, Any]) -> Any:
    """The bytes of a picture of any size as [C, H, W] in the model's format: its centre square, see `to_array`.

    said: where the picture is from, for messages.
    """
    import torch

    field = model.spec.fields[field_of(model, config)]
    channels, height, width = field.shape
    if height != width:
        raise UserError(f"this model's pictures are {width} x {height} pixels, and only squares are read: leave source= out")
    return field.to_model(torch.from_numpy(decoded(data, said, width, channels).copy()), model.dtype)


def read_mask(path: Path, size: int) -> Any:
    """A mask file as [1, size, size]: 1 where it is white, which is the hole, else 0."""
    import torch

    hole = decoded(bytes_of("mask", path), f"mask={path}", size, channels=1) >= WHITE
    if not hole.any():
        raise UserError(f"mask={path}: nothing in it is white, and the hole is what is white: invert it")
    return torch.from_numpy(hole.astype(np.float32))


def bytes_of(key: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{key}={path}: cannot read it ({error.strerror}): name another picture") from error


def decoded(data: bytes, said: str, size: int, channels: int) -> np.ndarray:
    """The bytes of a picture as uint8 [channels, size, size]; UserError, which begins with `said`, if they are none."""
    try:
        return to_array(data, size, channels)
    except Exception as error:  # Pillow raises nearly anything on damaged bytes
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"{said}: cannot read it as a picture ({reason}): name another, or remove it") from error


def names(files: Sequence[Path], config: Mapping[str, Any]) -> dict[str, Any]:
    """What samples.json says of the files: {"source_files": their names in the folder source=}; empty for a single file."""
    place = Path(config["source"] or ".")
    return {"source_files": [str(path.relative_to(place)) for path in files]} if files and place.is_dir() else {}
