"""Classes that a person asks for by words in their names."""

import pytest
import torch

from src.config.errors import UserError
from src.data.spec import Spec
from src.models.conditions import conditions_of
from src.runs.sampling import condition_asked, with_words

CLASSES = ("plain", "glasses", "beard", "glasses beard")


class Model:
    """What the functions read of a model."""

    spec = Spec.of("image", (3, 8, 8), CLASSES)

    def __init__(self, classes: int = len(CLASSES)) -> None:
        self.classes = classes

    def conditions(self, seeds: list[int]) -> dict[str, torch.Tensor]:
        return conditions_of(seeds, self.classes)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("glasses", [1, 3]),
        ("-beard", [0, 1]),
        ("glasses, -beard", [1]),
        ("beard,glasses", [3]),
        ("plain", [0]),
        ("-glasses,-beard", [0]),
    ],
)
def test_classes_by_words(asked: str, found: list[int]) -> None:
    assert with_words(CLASSES, asked) == found


def test_each_seed_gets_one_of_them() -> None:
    asked = {"class": None, "attributes": "glasses"}
    assert condition_asked(Model(), asked, range(3, 7))["y"].tolist() == [3, 1, 3, 1]
    assert condition_asked(Model(), {"class": "beard", "attributes": None}, range(2))["y"].tolist() == [2, 2]
    assert condition_asked(Model(), {"class": None, "attributes": None}, range(2)) is None


@pytest.mark.parametrize(
    ("model", "asked", "message"),
    [
        (
            Model(),
            {"class": None, "attributes": "glases"},
            "'glases' is no word .*: did you mean glasses",
        ),
        (Model(), {"class": None, "attributes": "beard,-beard"}, "no class fits"),
        (Model(), {"class": 1, "attributes": "beard"}, "leave one of them out"),
        (Model(0), {"class": None, "attributes": "beard"}, "not class-conditional: leave attributes= out"),
    ],
)
def test_what_cannot_be_asked(model: Model, asked: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        condition_asked(model, asked, range(2))
