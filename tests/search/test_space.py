from typing import Any

import pytest

from src.config.errors import UserError
from src.search.space import corners, literal, read_space, words

SPACE = {
    "model.g_optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
    "model.generator.z_dim": {"type": "int", "low": 8, "high": 64, "step": 8},
    "model.discriminator.widths": {"type": "categorical", "choices": [[512, 256], [256, 256], [64]]},
    "model.augment": {"type": "categorical", "choices": [None, "it's a word"]},
}


def test_every_end_and_every_choice_is_in_a_corner() -> None:
    points = corners(read_space(SPACE))
    assert len(points) == 3
    assert {point["model.g_optimizer.lr"] for point in points} == {1e-4, 1e-2}
    assert {point["model.generator.z_dim"] for point in points} == {8, 64}
    assert {point["model.discriminator.widths"] for point in points} == {"[512,256]", "[256,256]", "[64]"}


def test_words_come_back_as_the_values_they_were(compose: Any) -> None:
    space = read_space({key: SPACE[key] for key in [*SPACE][:3]})
    for point, widths in zip(corners(space), SPACE["model.discriminator.widths"]["choices"], strict=True):  # type: ignore
        model = compose("model=mlp_gan", *words(space, point))["model"]
        assert model["g_optimizer"]["lr"] == point["model.g_optimizer.lr"]
        assert model["generator"]["z_dim"] == point["model.generator.z_dim"]
        assert model["discriminator"]["widths"] == widths


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 3, 1e-05, 0.1 + 0.2, [1, None, "x y"]),
        *("word", "a b", "it's", "a=b,c", "back\\slash", "\\'", "end\\", "3", "true", "a/b.c-d"),
    ],
)
def test_literals_are_read_back(value: Any, compose: Any) -> None:
    assert compose(f"logger.wandb.project={literal(value)}")["logger"]["wandb"]["project"] == value


@pytest.mark.parametrize(
    ("key", "entry", "answer"),
    [
        ("model.d_steps", 3, "needs a type: float, int or categorical"),
        ("model.d_steps", {"type": "integer"}, "needs a type"),
        ("model.d_steps", {"type": "int", "low": 1, "hihg": 3}, "no setting 'hihg': did you mean high"),
        ("model.d_steps", {"type": "int", "low": 1}, "high=None must be a whole number"),
        ("model.d_steps", {"type": "int", "low": 1.5, "high": 3}, "low=1.5 must be a whole number"),
        ("model.d_steps", {"type": "int", "low": 4, "high": 3}, "low <= high"),
        ("model.d_steps", {"type": "int", "low": 0, "high": 8, "log": True}, "low"),
        ("model.slope", {"type": "float", "low": 0.0, "high": 8.0, "log": True}, "low"),
        ("model.slope", {"type": "float", "low": float("nan"), "high": 1.0}, "low=nan must be a number"),
        ("loss", {"type": "categorical", "choices": ["hinge"]}, "at least two"),
        ("loss", {"type": "categorical", "choices": "hinge,minimax"}, "at least two"),
        ("model.slope", {"type": ["float"], "low": 0.0, "high": 1.0}, "needs a type"),
        ("trainer", {"type": "categorical", "choices": ["default", "ddp"]}, "trainer cannot be searched"),
        ("debug", {"type": "categorical", "choices": ["tiny", None]}, "debug cannot be searched"),
        ("seed", {"type": "int", "low": 0, "high": 9}, "seed cannot be searched"),
        ("data", {"type": "categorical", "choices": ["mnist", "digits"]}, "data cannot be searched"),
        ("stop.samples", {"type": "int", "low": 1, "high": 9}, "stop.samples cannot be searched"),
        ("evaluation.samples", {"type": "int", "low": 1, "high": 9}, "cannot be searched"),
        ("trainer.threads", {"type": "int", "low": 1, "high": 9}, "cannot be searched"),
    ],
)
def test_mistakes(key: Any, entry: Any, answer: str) -> None:
    with pytest.raises(UserError) as error:
        read_space({key: entry})
    assert answer in str(error.value)
    assert str(key) in str(error.value)


def test_an_empty_space_is_a_mistake() -> None:
    with pytest.raises(UserError, match="empty"):
        read_space({})
