"""The suite on shapes with captions: models that draw what is asked or something else, controls, what is refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_retrieval import Sees
from torch import Tensor, nn

from pictures import CaptionedShapes
from src.config.errors import UserError
from src.data.dataset import Arrays
from src.data.spec import Batch, Field, Spec
from src.data.vocabulary import UNKNOWN
from src.evaluation.caption_protocol import Captioned
from src.evaluation.suite import plain_record
from src.evaluation.text_to_image import TextToImageSuite
from src.modalities.image import Image
from src.models.conditions import FromCaptions
from src.models.model import Model

DATA = CaptionedShapes()
COLOURS = {"red": (230, 0, 0), "green": (0, 230, 0), "blue": (0, 0, 230)}


class Draws(FromCaptions, Model):
    """Draws a disc or a square in the colour of the caption, or always in red; its radius depends on the seed."""

    def __init__(self, reads: bool = True) -> None:
        super().__init__(DATA.spec, 0)
        self.reads = reads

    def network(self, weights: str = "ema") -> nn.Module:
        return nn.Identity()

    def sample(self, seeds: Sequence[int], cond: Batch | None = None, weights: str = "ema") -> Tensor:
        found = np.full((len(seeds), 3, 16, 16), 255, np.uint8)
        for x, seed, tokens in zip(found, seeds, (cond or self.conditions(seeds))["caption"].tolist(), strict=True):
            text = DATA.words.decode(tokens).split()
            colour = next((COLOURS[word] for word in text if word in COLOURS and self.reads), COLOURS["red"])
            down, right = np.abs(np.mgrid[:16, :16] - 8)
            distance = np.maximum(down, right) if "square" in text else np.hypot(down, right).round()
            x[:, distance < 3 + seed % 2] = np.array(colour)[:, None]
            x[:, distance == 3 + seed % 2] = 0
        return DATA.spec.x.to_model(torch.from_numpy(found))


def suite(cache: Path, judge: Model | None = None, **settings: Any) -> TextToImageSuite:
    settings = {"compositions": ["a red disc", "a blue disc"], "seeds": 4, **settings}
    made = TextToImageSuite("digits", cache=cache, **settings)
    made.judge = judge  # in place of a run folder's
    made.check(DATA.spec)
    return made


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("suite")
    record = suite(folder, Sees(kinds=True)).evaluate(Draws(), DATA, Image(DATA.spec), folder)
    return plain_record(record), folder


def test_a_model_that_reads_agrees_with_its_captions(found: tuple[dict[str, Any], Path]) -> None:
    record, folder = found
    metrics, controls = record["metrics"], record["controls"]
    assert record["main"] == {"name": "fd_digits", "better": "lower"}
    assert record["columns"][0]["key"] == "fd_digits"
    assert set(metrics) == {column["key"] for column in record["columns"]}
    assert metrics["colour"] == metrics["composition"] == 1
    assert controls["real"]["colour"] == controls["nearest_caption"]["colour"] == 1
    assert controls["shuffled_captions"]["colour"] < 0.7
    assert controls["shuffled_captions"]["composition"] == 0
    assert controls["unconditional"]["fd_digits"] > metrics["fd_digits"]  # always in red
    assert metrics["r_precision"] > 0.5 > controls["shuffled_captions"]["r_precision"]
    assert record["protocol"]["captions_with_a_hue"] == 32
    for name in ("captions.png", "neighbours.png"):
        assert (folder / name).is_file()


def test_a_model_that_does_not_read(tmp_path: Path) -> None:
    record = suite(tmp_path).evaluate(Draws(reads=False), DATA, Image(DATA.spec), tmp_path)
    assert record["metrics"]["colour"] < 0.6
    assert record["metrics"]["composition"] == 0
    assert "r_precision" not in record["metrics"]
    assert record["protocol"]["r_precision"] == "not measured: evaluation.clip names no run of model=clip"
    assert suite(tmp_path).validate(Draws(), DATA) < suite(tmp_path).validate(Draws(reads=False), DATA)


def test_a_judge_has_words_and_a_size_of_its_own(tmp_path: Path) -> None:
    """It reads all words of a caption, also those that the model does not know, and its pictures are larger."""

    class Told(CaptionedShapes):
        def captions(self, name: str) -> list[str]:
            return [self.words.decode(tokens).replace(UNKNOWN, "one") for tokens in self.split(name)["caption"]]

    data = Told()
    reference = Captioned(data, suite(tmp_path).extractor, "test", 32, judge := Sees())
    assert reference.texts[0].startswith("one ")
    judge.spec = CaptionedShapes(size=32).spec
    assert reference.agreement(reference.targets)["r_precision"] > 0.5
    assert "r_precision" in reference.described("text_to_image")


def test_the_distance_of_groups(tmp_path: Path) -> None:
    """Discs alone are far from squares, in a split with both."""

    class Many(CaptionedShapes):
        def split(self, name: str) -> Arrays:
            return super().split("train")

    reference = Captioned(Many(), suite(tmp_path).extractor, "test", 96, None)
    assert {name: len(rows) for name, rows in reference.groups.items()} == {"disc": 48, "square": 48}
    known = reference.features()
    found = reference.distances(torch.from_numpy(known["real"]), known)["group_kid_digits"]
    exchanged = np.arange(96).reshape(-1, 2)[:, ::-1].reshape(-1)
    other = reference.distances(torch.from_numpy(known["real"][exchanged]), known)["group_kid_digits"]
    assert other > 10 * abs(found)
    assert abs(reference.floor(known)["group_kid_digits"]) < other / 10


def test_captions_with_unknown_words_are_not_composed(tmp_path: Path) -> None:
    made = suite(tmp_path, compositions=["red heart", "blue heart"])
    assert "composition" not in made.evaluate(Draws(), DATA, Image(DATA.spec), tmp_path)["metrics"]


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="take such data"):
        TextToImageSuite("digits").check(Spec.of("image", (1, 28, 28)))
    with pytest.raises(UserError, match="two captions that name two colours"):
        suite(tmp_path, compositions=["red heart", "heart"])
    judge = Sees()
    judge.spec = Spec({**DATA.spec.fields, "x": Field("image", (1, 16, 16), "uint8")})
    with pytest.raises(UserError, match="was trained with pictures of other channels"):
        suite(tmp_path, judge)
    with pytest.raises(UserError, match="Sees reads none"):
        suite(tmp_path).check_model(Sees())
    with pytest.raises(UserError, match=r"evaluation\.clip=.*nowhere: .* is not a run folder"):
        TextToImageSuite("digits", clip=tmp_path / "nowhere").check(DATA.spec)
