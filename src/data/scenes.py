"""Scenes of two to five emoji on a plain or graded ground, with their layout: what is where."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from src.config.errors import UserError, nearest
from src.data.dataset import SPLITS, Arrays
from src.data.decoded import Decoded, map_parallel, write_images
from src.data.emoji import EmojiPairs
from src.data.emoji_archive import EMOJI, Emoji, rasterise
from src.data.moving_mnist import uniform
from src.data.sources import Source
from src.data.spec import Field, Spec

STREAMS = {"train": 1, "validation": 2, "test": 3}
GROUPS = (  # of OpenMoji: the classes of objects
    *("activities", "animals-nature", "extras-openmoji", "food-drink", "objects", "people-body", "smileys-emotion", "symbols"),
    "travel-places",
)
FEWEST, MOST = 2, 5  # objects of a scene
SIDES = 0.25, 0.3125, 0.375  # of an object, as shares of the picture's
TRIES = 20  # places that are tried for an object
OVERLAP = 0.1  # of the smaller of two objects, at most
LIGHTEST = 96  # a ground's colour values are at least 255 minus this
REVISION = 1  # increase it when drawing changes the pixels: older caches are then not used
BOX = 5  # numbers: class, x, y, width, height
DRAWS = 2 + 2 * TRIES  # random numbers of an object: which one, its side, places


class Scenes(EmojiPairs):
    """Pictures `x` uint8 [N, 3, size, size] and their `layout` float32 [N, 5, 5], of which `layout_length` [N] rows count.

    A row of a layout is one object, those behind first: number of its group (GROUPS), and x and y of its upper left corner,
    width and height as shares of the picture's side, all of its square, whether the drawing fills it or not. The other rows
    are zero. Scene i of a split depends on i alone; its objects are emoji of the same split of EmojiPairs, so that no object of
    a test scene, nor one of its subgroup, is seen in training. Not every group has emoji in each split.
    See EmojiPairs for the arguments.
    """

    own_name = "scenes"
    sizes: ClassVar[dict[str, int]] = {"train": 5_000, "validation": 500, "test": 500}
    pixels: ClassVar[dict[str, str]] = {
        "layout.npy": "9a64ec254e7856768dd4331f6ee1bcab1824b047c092e9dc63d93256ef3ccbb2",
        "layout_length.npy": "a99396207f43d61698dda75d199dae629230feb394e15c2dfde2c53b13a4b11d",
        "x.npy": "9ede57e57b2adfcae08e1d341da81929b0b41258d62b76798116cad7a8636f0c",
    }

    def __init__(
        self,
        folder: str | Path,
        cache: str | Path,
        size: int = 64,
        name: str | None = None,
        sources: Sequence[Source] | None = None,
    ) -> None:
        super().__init__(folder, cache, size, name, sources)
        fields = {"x": self.spec.x, "layout": Field("boxes", (MOST, BOX), "float32", GROUPS)}
        self.spec = Spec(fields | {"layout_length": Field("length", (), "int64")})
        self._decoded = Decoded(Path(cache) / str(size), {EMOJI: self.files[EMOJI], "size": size, "revision": REVISION})

    def split(self, name: str) -> Arrays:
        """ "train" (5,000), "validation" (500) or "test" (500); memory maps."""
        first = sum(self.sizes[other] for other in SPLITS[: SPLITS.index(name)])
        rows = slice(first, first + self.sizes[name])
        return Arrays(**{field: self._decoded.array(field)[rows] for field in self.spec.fields})

    def _objects(self, emoji: list[Emoji]) -> dict[str, list[tuple[Emoji, int]]]:
        """The emoji that the scenes of each split are made of, with their classes."""
        known = [one for one in emoji if group_of(one) in GROUPS]
        return {name: [(one, GROUPS.index(group_of(one))) for one in known if one.split == name] for name in SPLITS}

    def _write(self, folder: Path) -> dict[str, Any]:
        objects = self._objects([Emoji(*row) for row in self._rows_of_file()])
        drawings = list(dict.fromkeys(one.colour for own in objects.values() for one, _ in own))
        drawn = []  # for each side, pictures by their drawing
        for side in (round(share * self.size) for share in SIDES):
            draw = partial(rasterise, size=side, channels=4)
            drawn.append(dict(zip(drawings, map_parallel(f"{self.folder}: drawing", draw, drawings), strict=True)))
        scenes = []
        for name in SPLITS:
            pictures = [[found[one.colour] for one, _ in objects[name]] for found in drawn]
            classes = [number for _, number in objects[name]]
            numbers = uniform(STREAMS[name], np.arange(self.sizes[name]), 8 + MOST * DRAWS)
            scenes += [scene(row, pictures, classes, self.size) for row in numbers]
        write_images(folder / "x.npy", (picture for picture, _ in scenes), (3, self.size, self.size))
        np.save(folder / "layout.npy", np.stack([padded(boxes) for _, boxes in scenes]))
        np.save(folder / "layout_length.npy", np.array([len(boxes) for _, boxes in scenes], np.int64))
        return {}


class NamedScenes(Scenes):
    """Scenes, see there, of a few emoji that are a class each, by name. All splits have the same emoji: the layouts are new.

    objects: names of emoji of EmojiPairs, in the order of the classes; UserError for others when the scenes are drawn.
    """

    own_name = "named_scenes"
    pixels: ClassVar[dict[str, str]] = {}  # not pinned: they depend on `objects`

    def __init__(
        self,
        folder: str | Path,
        cache: str | Path,
        objects: Sequence[str],
        size: int = 64,
        name: str | None = None,
        sources: Sequence[Source] | None = None,
    ) -> None:
        super().__init__(folder, cache, size, name, sources)
        self.objects = tuple(objects)
        if len(set(self.objects)) != len(objects) or len(objects) < FEWEST:
            raise UserError(f"data.objects={list(objects)}: name at least two emoji, each once")
        layout = Field("boxes", (MOST, BOX), "float32", self.objects)
        self.spec = Spec({**self.spec.fields, "layout": layout})
        self._decoded = Decoded(self._decoded.folder, self._decoded.source | {"objects": list(self.objects)})

    def _objects(self, emoji: list[Emoji]) -> dict[str, list[tuple[Emoji, int]]]:
        known = {one.name: one for one in reversed(emoji)}  # the first of a name
        for name in self.objects:
            if name not in known:
                raise UserError(f"data.objects: no emoji has the name {name!r}: {nearest(name, known)}")
        objects = [(known[name], number) for number, name in enumerate(self.objects)]
        return dict.fromkeys(SPLITS, objects)


def group_of(one: Emoji) -> str:
    return one.subgroup.partition("/")[0]


def padded(boxes: list[tuple[float, ...]]) -> np.ndarray:
    """Boxes as float32 [MOST, BOX], zero after the last."""
    found = np.zeros((MOST, BOX), np.float32)
    found[: len(boxes)] = boxes
    return found


def scene(
    numbers: np.ndarray, pictures: Sequence[Sequence[np.ndarray]], classes: Sequence[int], size: int
) -> tuple[np.ndarray, list[tuple[float, ...]]]:
    """A scene uint8 [3, size, size] and its boxes (class, x, y, width, height), those behind first.

    numbers: in [0, 1), [8 + MOST * DRAWS]. pictures: of each emoji, uint8 [4, side, side], one list for each side. classes: of
    each emoji. An object for which no place is free is left out, if there are two others.
    """
    top, bottom = 255 - LIGHTEST * numbers[2:8].reshape(2, 3, 1, 1)  # two colours [3, 1, 1]
    shares = np.linspace(0, 1, size)[:, None] if numbers[1] < 0.5 else np.zeros((size, 1))  # graded, or plain
    canvas = np.broadcast_to((1 - shares) * top + shares * bottom, (3, size, size)).copy()
    count = FEWEST + int(numbers[0] * (MOST - FEWEST + 1))
    placed: list[tuple[int, int, int, int]] = []  # which emoji, x, y, side
    for which, side, *places in numbers[8:].reshape(MOST, DRAWS)[:count].tolist():
        number, alternatives = int(which * len(classes)), pictures[int(side * len(pictures))]
        width = alternatives[number].shape[1]
        room = size - width + 1
        corners = [(int(x * room), int(y * room)) for x, y in zip(places[::2], places[1::2], strict=True)]
        free = [corner for corner in corners if all(overlap(*corner, width, *other[1:]) <= OVERLAP for other in placed)]
        if not free and len(placed) >= FEWEST:
            continue
        x, y = (free or corners)[0]
        picture = alternatives[number]
        alpha = picture[3] / 255
        window = canvas[:, y : y + width, x : x + width]
        window[:] = alpha * picture[:3] + (1 - alpha) * window
        placed.append((number, x, y, width))
    boxes: list[tuple[float, ...]] = [
        (classes[number], x / size, y / size, width / size, width / size) for number, x, y, width in placed
    ]
    return np.round(canvas).astype(np.uint8), boxes


def overlap(x: int, y: int, side: int, other_x: int, other_y: int, other_side: int) -> float:
    """The area that two squares share, as a share of the smaller one's."""
    across = min(x + side, other_x + other_side) - max(x, other_x)
    down = min(y + side, other_y + other_side) - max(y, other_y)
    return max(across, 0) * max(down, 0) / min(side, other_side) ** 2
