"""The suite on squares with layouts: models that draw what is asked or something else, controls, what is refused."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pictures import LaidOutShapes
from src.config.errors import UserError
from src.data.spec import Batch, Spec
from src.evaluation import layout_protocol
from src.evaluation.layout import LayoutSuite
from src.evaluation.layout_protocol import Objects, cells, covered, crops, outlines
from src.evaluation.suite import plain_record
from src.modalities.image import Image
from src.models.model import Model

DATA = LaidOutShapes()


class Draws(Model):
    """Squares in the colours that are asked, or the next ones, on grey."""

    def __init__(self, off: int = 0) -> None:
        super().__init__(DATA.spec, 0)
        self.off = off

    def network(self, weights: str = "ema") -> nn.Module:
        return nn.Identity()

    def conditions(self, seeds: Sequence[int]) -> Batch:
        return {"layout": torch.zeros(len(seeds), 3, 5)}

    def conditions_from(self, batch: Batch, seeds: Sequence[int]) -> Batch:
        return {"layout": batch["layout"]}

    def sample(self, seeds: Sequence[int], cond: Batch | None = None, weights: str = "ema") -> Tensor:
        found = torch.full((len(seeds), 3, 16, 16), 0.9)
        for x, layout in zip(found, (cond or self.conditions(seeds))["layout"], strict=True):
            for kind, *box in layout.tolist():
                left, top, width, height = (round(16 * part) for part in box)
                colour = torch.eye(3)[(int(kind) + self.off) % 3] * 1.8 - 1
                x[:, top : top + height, left : left + width] = colour[:, None, None]
        return found


@pytest.fixture(autouse=True, scope="module")
def few_steps() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout_protocol, "STEPS", 100)
        yield


def suite(cache: Path) -> LayoutSuite:
    made = LayoutSuite("digits", cache=cache)
    made.check(DATA.spec)
    return made


def test_a_model_that_draws_what_is_asked(tmp_path: Path) -> None:
    record = plain_record(suite(tmp_path).evaluate(Draws(), DATA, Image(DATA.spec), tmp_path))
    metrics, controls = record["metrics"], record["controls"]
    assert record["main"] == {"name": "found", "better": "higher"}
    assert record["columns"][0]["key"] == "found"
    assert metrics["found"] == controls["real"]["found"] == 1
    assert 0.1 < controls["nearest_layout"]["found"] < 1
    assert controls["shuffled_layouts"]["found"] < 0.5
    assert record["protocol"]["classifier"]["name"] == "layout-cnn-1"
    for name in ("pairs.png", "neighbours.png"):
        assert (tmp_path / name).is_file()
    assert suite(tmp_path).validate(Draws(), DATA) == 1
    assert suite(tmp_path).score(Draws(off=1), DATA) == 0


def test_crops_and_layouts() -> None:
    layouts = torch.tensor([[[1, 0.0, 0.0, 0.5, 0.5], [0, 0.5, 0.5, 0.25, 0.25]], [[2, 0.25, 0.0, 0.5, 0.5], [0, 0, 0, 0, 0]]])
    objects = Objects.of(layouts)
    assert objects.rows.tolist() == [0, 0, 1]
    assert objects.kinds.tolist() == [1, 0, 2]
    picture = torch.zeros(3, 1, 16, 16)
    picture[1, :, 8:12, 8:12] = 1
    assert crops(picture, objects.boxes)[1].mean() > 0.8
    assert crops(picture, objects.boxes)[[0, 2]].max() == 0
    assert covered(torch.tensor([[0.25, 0.0, 0.5, 0.5], [0.75, 0.75, 0.25, 0.25]]), layouts[[0, 0]]).tolist() == [0.5, 0]
    assert (cells(layouts)[0].view(16, 16)[:8, :8] == 1).all()
    assert (cells(layouts)[1] >= 0).float().mean() == 0.25
    shown = outlines(layouts, 16)
    assert shown[0, 0, 0, :8].max() == 0
    assert shown[0, 0, 1:7, 1:7].min() == 255


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="take such data"):
        LayoutSuite("digits").check(Spec.of("image", (1, 28, 28)))
    model = Draws()
    model.conditions = lambda seeds: {}  # type: ignore[method-assign]
    with pytest.raises(UserError, match="Draws reads none"):
        suite(tmp_path).check_model(model)
