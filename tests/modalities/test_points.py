"""Points: files that give back the exact numbers, pictures with the same axes each time."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from src.config.errors import Diverged, UserError
from src.data.spec import Spec
from src.modalities.modality import Films, Modality, ShowsInterpolations, ShowsNeighbours
from src.modalities.pictures import read_provenance
from src.modalities.points import GRID, HUES, INK, PAPER, SIZE, Points

points = Points(Spec.of("points", (2,)))
PROVENANCE = {"model": "0123abcd" * 8, "run": "runs/mlp_gan-gaussians-1a2b/0", "step": 400}
MARKS = {"Software": "AIGC Lab", "generated": "true", "model": PROVENANCE["model"]}
HALF = SIZE // 2


def some(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, 2, generator=torch.Generator().manual_seed(seed)) * 1.6 - 0.8


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


def changed(path: Path, empty: Path) -> np.ndarray:
    """[H, W]: where a picture differs from one whose only point lies in the corner below on the right."""
    different = np.abs(read(path) - read(empty)).sum(axis=2) > 60
    different[-5:, -5:] = False
    return different


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    points.preview(torch.tensor([[9.0, -9.0]]), tmp_path / "empty.png")
    return tmp_path / "empty.png"


def test_the_protocol_and_every_capability() -> None:
    modality: Modality = points
    assert modality.suffix == ".png"
    for capability in (Films, ShowsInterpolations, ShowsNeighbours):
        assert isinstance(points, capability)
    with pytest.raises(UserError, match="choose another modality"):
        Points(Spec.of("image", (1, 8, 8)))


def test_points_are_left_as_they_are() -> None:
    x = torch.tensor([[0.1234567, -3.0]])
    assert torch.equal(points.finish(x), x)
    assert points.finish(x.double()).dtype == torch.float32
    with pytest.raises(Diverged, match="NaN"):
        points.finish(torch.tensor([[0.0, float("nan")]]))


def test_a_table_gives_back_the_exact_points(tmp_path: Path) -> None:
    x = some(100)
    points.save(x.split(30), tmp_path / "new", range(7, 107), PROVENANCE)
    rows = list(csv.DictReader((tmp_path / "new" / "samples.csv").open()))
    assert [int(row["seed"]) for row in rows] == list(range(7, 107))
    assert np.array_equal(np.array([[row["x"], row["y"]] for row in rows], np.float32), x.numpy())
    record = json.loads((tmp_path / "new" / "samples.json").read_text())
    assert record == {
        **MARKS,
        "quantisation": points.quantisation,
        "provenance": PROVENANCE,
        "seeds": list(range(7, 107)),
    }
    with pytest.raises(ValueError, match="100 samples, but 1 seeds"):
        points.save([x], tmp_path, [3], PROVENANCE)


def test_an_archive(tmp_path: Path) -> None:
    x = some(5)
    points.save_archive(x, tmp_path / "x.npz", range(5), PROVENANCE)
    with np.load(tmp_path / "x.npz") as archive:
        assert np.array_equal(archive["arr_0"], x.numpy())
        assert archive["seeds"].tolist() == [0, 1, 2, 3, 4]
        assert json.loads(str(archive["marks"])) == MARKS


@pytest.mark.parametrize(
    ("point", "row", "column"),
    [
        ((0.0, 0.0), HALF, HALF),
        ((0.5, 0.25), HALF * 3 // 4, HALF * 3 // 2),  # y upwards
        ((-0.75, -0.5), HALF * 3 // 2, HALF // 4),
        ((7.0, 0.0), HALF, 2 * HALF - 1),  # beyond the frame: on its edge
    ],
)
def test_a_dot_lies_where_its_point_is(tmp_path: Path, empty: Path, point: tuple, row: int, column: int) -> None:
    points.preview(torch.tensor([point]), tmp_path / "dot.png")
    rows, columns = np.nonzero(changed(tmp_path / "dot.png", empty))
    assert 2 <= len(rows) <= 20
    assert abs(rows - row).max() <= 3
    assert abs(columns - column).max() <= 3


def test_more_points_are_darker(tmp_path: Path) -> None:
    darkest = []
    for n in (1, 2, 50):
        points.preview(torch.zeros(n, 2) + 0.3, tmp_path / f"{n}.png")
        darkest.append(read(tmp_path / f"{n}.png")[:, :, 0].min())
    assert darkest[0] > darkest[1] > darkest[2] >= INK[0] - 1


def test_modes_are_drawn_and_previews_carry_marks(tmp_path: Path, empty: Path) -> None:
    """A ring around (0.4, 0.8), a mode; nothing around (0.6, 0.6), which is none."""
    picture = read(empty)
    at = [round((1 + x) * HALF) for x in (0.4, 0.6)]
    up = [round((1 - y) * HALF) for y in (0.8, 0.6)]
    assert picture[up[0], at[0]].tolist() == list(GRID)
    assert picture[up[1], at[1]].tolist() == list(PAPER)
    points.preview(some(10), tmp_path / "p.png", provenance=PROVENANCE)
    assert read_provenance(tmp_path / "p.png") == MARKS
    assert read(tmp_path / "p.png").shape == (512, 512, 3)


def test_a_strip_goes_from_ring_to_dot(tmp_path: Path) -> None:
    path = torch.tensor([[[-0.5, 0.1], [0.0, 0.1], [0.5, 0.1]]])
    points.strip(path, tmp_path / "strip.png", PROVENANCE)
    picture, row = read(tmp_path / "strip.png"), round(0.9 * HALF)
    assert picture[row, HALF // 2].tolist() == list(PAPER), "the start is hollow"
    assert picture[row, HALF * 3 // 2].tolist() == list(HUES[0])
    along = picture[row - 1 : row + 2, HALF // 2 + 10 : HALF * 3 // 2 - 10].min(axis=(0, 2))
    assert (along < 150).all(), "and the line between them is whole"


def test_neighbours_are_joined_to_their_sample(tmp_path: Path, empty: Path) -> None:
    points.neighbours(torch.tensor([[0.5, 0.5]]), torch.tensor([[[-0.5, 0.5], [0.5, -0.5]]]), tmp_path / "n.png")
    picture = read(tmp_path / "n.png")
    assert picture[HALF // 2, HALF * 3 // 2].tolist() == list(HUES[1])
    assert picture[HALF // 2 - 1 : HALF // 2 + 2, HALF].min() < 220
    assert picture[HALF - 30, HALF * 3 // 2 - 1 : HALF * 3 // 2 + 2].min() < 220
    assert picture[HALF + HALF // 3, HALF + HALF // 3].tolist() == list(PAPER)


def test_a_film_of_previews(tmp_path: Path) -> None:
    paths = [tmp_path / f"{step}.png" for step in range(3)]
    for step, path in enumerate(paths):
        points.preview(some(200, seed=step) * step / 2, path)
    points.film(paths, tmp_path / "film.gif", captions=["a", "b", "c"])
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 3
        assert film.size == (512, 530)


@pytest.mark.parametrize("shape", [(2, 3), (2,), (0, 2), (1, 1, 2)])
def test_what_is_no_point_is_the_users_to_mend(tmp_path: Path, shape: tuple) -> None:
    with pytest.raises(UserError):
        points.preview(torch.zeros(shape), tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_a_table_of_other_programs_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "samples.csv").write_text("mine")
    with pytest.raises(UserError, match=r"samples.csv was not written by AIGC Lab"):
        points.save([some(2)], tmp_path, range(2), PROVENANCE)
    assert (tmp_path / "samples.csv").read_text() == "mine"
    (tmp_path / "samples.csv").unlink()
    for n in (2, 3):
        points.save([some(n)], tmp_path, range(n), PROVENANCE)
        assert len((tmp_path / "samples.csv").read_text().splitlines()) == n + 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["samples.csv", "samples.json"]
