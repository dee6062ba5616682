"""Drawn faces whose attributes are all known, put together from the CC0 styles of DiceBear (https://www.dicebear.com)."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from src.config.errors import UserError
from src.data.avatar_styles import STYLES, Options, choose, definition
from src.data.dataset import SPLITS, Arrays
from src.data.decoded import Decoded, map_parallel, write_images
from src.data.emoji_archive import rasterise
from src.data.spec import Field, Spec

PLAIN = "plain"  # the class that has none of the attributes
REVISION = 1  # increase it when drawing changes the pixels: older caches are then not used
PINNED_SIZE = 64  # of the published results
PIXELS = {  # SHA-256 of the pixels of each style at PINNED_SIZE
    "lorelei": "3ad3cdf2673952f97cc5fef142121c8ffebd45297088d48784976ed15e0133e6",
    "notionists": "f7406f8f356d0a2ea7298d2058ed63351cd1ae85a106716e273b79d1e1f2a567",
    "open-peeps": "2514ce1c1ee17def2b869a8a03083155659822a4cdce714c0a010a7193bfef26",
    "pixel-art": "2cd795a4b6b6c6d1d343b05def4af3c6ead9ef48ccb59357c0e6b2082d271f41",
}


class Avatars:
    """Faces of one style: `x` uint8 [N, 3, size, size] on white, `attributes` int64 [N, K], 0 or 1, and their class `y`.

    A class is a combination of the attributes that are seen best; its name has the words of those that a face has, as "glasses
    long_hair", or "plain". All classes are equally frequent. The names of `attributes` are all of the style's.
    The training part has 5,000 faces, validation and test 500; no two are made of the same parts in the same colours.

    cache: folder for the pixels, which prepare() draws by resvg. style: one of STYLES. size: side in pixels.
    """

    sizes: ClassVar[dict[str, int]] = {"train": 5_000, "validation": 500, "test": 500}

    def __init__(self, cache: str | Path, style: str = "lorelei", size: int = 64, name: str = "avatars") -> None:
        self.style, self.size, self.name = style, size, name
        definition(style)  # UserError for an unknown style, before anything is written
        attributes = tuple(attribute.name for attribute in STYLES[style].attributes)
        self.spec = Spec(
            {
                "x": Field("image", (3, size, size), "uint8"),
                "attributes": Field("attributes", (len(attributes),), "int64", attributes),
                "y": Field("class", (), "int64", combinations(attributes[: STYLES[style].combined])),
            }
        )
        source = {"style": STYLES[style].sha256, "size": size, "revision": REVISION}
        self._decoded = Decoded(Path(cache) / f"{style}-{size}", source)

    def prepare(self) -> None:
        """Draw the faces (half a minute), or check their pixels; raises UserError with the remedy."""
        if not self._decoded.is_intact():
            self._decoded.make(self._write)
            if self.size == PINNED_SIZE and self._decoded.hashes()["x.npy"] != PIXELS[self.style]:
                print(
                    f"{self._decoded.folder}: these pixels are not those of the published results: another resvg-py, another "
                    "dicebear-core or another kind of processor draws them (pip install -c requirements.lock -e .)"
                )

    def hashes(self) -> dict[str, str]:
        """SHA-256 of the style's definition, and of the arrays."""
        return {f"{self.style}.json": STYLES[self.style].sha256} | self._decoded.hashes()

    def split(self, name: str) -> Arrays:
        """ "train" (5,000), "validation" (500) or "test" (500); memory maps."""
        first = sum(self.sizes[other] for other in SPLITS[: SPLITS.index(name)])
        rows = slice(first, first + self.sizes[name])
        return Arrays(**{field: self._decoded.array(field)[rows] for field in self.spec.fields})

    def _write(self, folder: Path) -> dict[str, Any]:
        attributes, faces = choose(self.style, sum(self.sizes.values()))
        combined = STYLES[self.style].combined
        np.save(folder / "attributes.npy", attributes)
        np.save(folder / "y.npy", attributes[:, :combined] @ (1 << np.arange(combined)))  # [N]
        draw = partial(draw_face, style=dicebear_style(self.style), fixed=STYLES[self.style].fixed, size=self.size)
        write_images(folder / "x.npy", map_parallel(f"data={self.name}: drawing", draw, faces), (3, self.size, self.size))
        return {}


def combinations(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of 2^K classes: in class c are the faces that have attribute k where bit k of c is 1."""
    words = [[name for k, name in enumerate(names) if c >> k & 1] for c in range(1 << len(names))]
    return tuple(" ".join(found) or PLAIN for found in words)


def dicebear_style(name: str) -> Any:
    """DiceBear's object for a style; UserError if the package is missing."""
    try:
        from dicebear import Style
    except ModuleNotFoundError as error:
        raise UserError("data=avatars needs dicebear-core: pip install -c requirements.lock -e .") from error
    return Style(definition(name))


def draw_face(options: Options, style: Any, fixed: Mapping[str, Any], size: int) -> np.ndarray:
    """A face with these options, uint8 [3, size, size]; nothing is left for DiceBear's own random numbers to choose."""
    from dicebear import Avatar

    given = {"seed": "0", **fixed}
    for option, value in options.items():
        if option.endswith("Variant"):
            given[f"{option.removesuffix('Variant')}Probability"] = 0 if value is None else 100
        if value is not None:
            given[option] = value
    return rasterise(Avatar(style, given).to_string(), size, channels=3)
