"""What a data set says of its samples, and how they look to a model."""

import json

import pytest
import torch

from src.data.spec import Field, Spec

TEXT = Spec({"x": Field("tokens", (16,), "int64", ("a", "b", " ")), "length": Field("length", (), "int64")})
MUSIC = Spec({"x": Field("piano roll", (64, 88), "float32", rate=8.0)})
DIGITS = Spec.of("image", (1, 28, 28), tuple("0123456789"))


def test_images_and_points_with_and_without_classes() -> None:
    assert (DIGITS.kind, DIGITS.shape, DIGITS.classes) == ("image", (1, 28, 28), tuple("0123456789"))
    assert DIGITS.fields["y"] == Field("class", (), "int64", tuple("0123456789"))
    points = Spec.of("points", (2,))
    assert (points.x.dtype, DIGITS.x.dtype) == ("float32", "uint8")
    assert list(points.fields) == ["x"]
    assert points.classes == ()


@pytest.mark.parametrize(
    ("field", "data"),
    [
        (Field("image", (256,), "uint8"), torch.arange(256, dtype=torch.uint8)[None]),
        (Field("points", (2,)), torch.tensor([[0.25, -3.0]])),
        (Field("tokens", (3,), "int64"), torch.tensor([[5, 0, 2]])),
    ],
)
def test_there_and_back(field: Field, data: torch.Tensor) -> None:
    seen = field.to_model(data)
    assert torch.equal(field.to_data(seen), data)
    assert field.to_data(seen).dtype == data.dtype
    assert seen.dtype == (torch.int64 if field.kind == "tokens" else torch.float32)
    if field.kind == "image":
        assert (seen.min(), seen.max()) == (-1, 1)


def test_a_batch_as_a_model_of_another_precision_sees_it() -> None:
    batch = {
        "x": torch.zeros(2, 1, 28, 28, dtype=torch.uint8),
        "y": torch.tensor([3, 4]),
        "more": torch.tensor([1, 2], dtype=torch.uint8),
    }
    seen = DIGITS.to_model(batch, torch.float64)
    assert seen["x"].dtype == torch.float64
    assert (seen["x"] == -1).all()
    assert seen["y"] is batch["y"]
    assert seen["more"] is batch["more"]  # no field of it
    assert DIGITS.x.to_data(seen["x"]).dtype == torch.uint8


@pytest.mark.parametrize("spec", [DIGITS, TEXT, MUSIC])
def test_a_spec_from_its_record(spec: Spec) -> None:
    assert Spec.from_record(json.loads(json.dumps(spec.record()))) == spec
