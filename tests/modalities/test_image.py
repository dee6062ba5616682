"""Pixels, PNG files, grids, strips and films: exact, marked, whole."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from src.config.errors import UserError
from src.data.pixels import from_uint8
from src.data.spec import Field, Spec
from src.modalities import pictures
from src.modalities.image import Image as ImageModality
from src.modalities.modality import Films, Modality, ShowsInterpolations, ShowsNeighbours
from src.modalities.pictures import read_provenance

PROVENANCE = {"model": "0123abcd" * 8, "run": "runs/mlp_gan-digits-1a2b/0", "step": 400, "ema": True}
image = ImageModality(Spec.of("image", (1, 8, 8)))
MARKS = {"Software": "AIGC Lab", "generated": "true", "model": PROVENANCE["model"]}


def pixels(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_quantisation_by_hand() -> None:
    """Ties go to the even neighbour; what lies beyond [-1, 1] is clamped."""
    x = torch.tensor([-1.0, 0.0, 1.0, -3.0, 7.0, float("-inf"), float("inf")])
    assert image.finish(x).tolist() == [0, 128, 255, 0, 255, 0, 255]  # 0.0 is the tie 127.5
    tie = torch.tensor(128.5 / 127.5 - 1)
    assert (tie + 1) * 127.5 == 128.5
    assert image.finish(tie) == 128
    assert image.finish(torch.tensor([0.49, 0.51, 254.49, 254.51]) / 127.5 - 1).tolist() == [0, 1, 254, 255]
    assert image.finish(x).dtype == torch.uint8


def test_every_pixel_comes_back() -> None:
    grid = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(image.finish(from_uint8(grid)), grid)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_float_types(dtype) -> None:
    x = torch.tensor([-1, -0.25, 0.5, 1], dtype=dtype)
    assert image.finish(x).tolist() == [0, 96, 191, 255]  # in bfloat16 arithmetic 95.625 and 191.25 would go astray


def test_samples_are_left_alone() -> None:
    x = torch.tensor([0.5, -0.5])
    image.finish(x)
    assert x.tolist() == [0.5, -0.5]


def test_nan_is_never_a_black_picture() -> None:
    with pytest.raises(UserError, match="NaN"):
        image.finish(torch.tensor([0.0, float("nan")]))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_saved_samples_are_the_pixels_with_marks(tmp_path, channels, mode) -> None:
    x = pixels(3, channels, 8, 6)
    folder = tmp_path / "new" / "samples"
    image.save([from_uint8(x)], folder, [7, 0, 123], PROVENANCE)
    for name, sample, seed in zip(["000007.png", "000000.png", "000123.png"], x, ["7", "0", "123"], strict=True):
        path = folder / name
        with Image.open(path) as picture:
            assert (picture.format, picture.mode) == ("PNG", mode)
            assert np.array_equal(np.atleast_3d(np.asarray(picture)), sample.permute(1, 2, 0).numpy())
        assert read_provenance(path) == {**MARKS, "seed": seed}
    record = json.loads((folder / "samples.json").read_text())
    assert record == {
        **MARKS,
        "quantisation": image.quantisation,
        "provenance": PROVENANCE,
        "seeds": {"000007.png": 7, "000000.png": 0, "000123.png": 123},
    }
    assert names(folder) == ["000000.png", "000007.png", "000123.png", "samples.json"]


def test_saving_again_gives_the_same_bytes(tmp_path) -> None:
    x = pixels(2, 1, 8, 8)
    image.save([x], tmp_path / "a", [0, 1], PROVENANCE)
    image.save([from_uint8(x)], tmp_path / "b", [0, 1], PROVENANCE)
    for name in names(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_long_seeds_are_padded_alike(tmp_path) -> None:
    image.save([pixels(2, 1, 4, 4)], tmp_path, [5, 2**33], PROVENANCE)
    assert names(tmp_path) == ["0000000005.png", "8589934592.png", "samples.json"]


def test_an_interrupted_save_leaves_nothing_half_written(tmp_path, monkeypatch) -> None:
    image.save([pixels(2, 1, 8, 8)], tmp_path, [0, 1], PROVENANCE)
    replace, calls = os.replace, []

    def interrupt_third(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 3:  # the list, one picture, and this one
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupt_third)
    with pytest.raises(KeyboardInterrupt):
        image.save([pixels(2, 1, 8, 8, seed=1)], tmp_path, [0, 1], PROVENANCE)
    assert names(tmp_path) == ["000000.png", "unfinished.json"]  # whole and new; the older ones are gone with their list


@pytest.mark.parametrize("shape", [(2, 2, 8, 8), (2, 4, 8, 8), (8, 8), (1, 8, 8), (0, 1, 8, 8)])
def test_what_is_no_image_is_the_users_to_mend(tmp_path, shape) -> None:
    x = torch.zeros(shape)
    with pytest.raises(UserError) as error:
        image.preview(x, tmp_path / "grid.png")
    assert "\n" not in str(error.value)
    with pytest.raises(UserError):
        image.save([x], tmp_path, list(range(shape[0])), PROVENANCE)
    assert names(tmp_path) == []


def test_seeds_name_samples_one_to_one(tmp_path) -> None:
    with pytest.raises(UserError, match="seed occurs twice"):
        image.save([pixels(2, 1, 8, 8)], tmp_path, [3, 3], PROVENANCE)
    with pytest.raises(ValueError, match="2 samples, but 1 seeds"):
        image.save([pixels(2, 1, 8, 8)], tmp_path, [3], PROVENANCE)
    with pytest.raises(ValueError, match="2 samples, but 3 seeds"):
        image.save(iter([pixels(2, 1, 8, 8)]), tmp_path, [3, 4, 5], PROVENANCE)
    assert "samples.json" not in names(tmp_path)


def test_portions_are_saved_as_the_whole(tmp_path) -> None:
    x = pixels(5, 1, 8, 8)
    image.save([x], tmp_path / "whole", range(5), PROVENANCE)
    image.save(iter([x[:2], x[2:3], x[3:]]), tmp_path / "portions", range(5), PROVENANCE)
    assert len(names(tmp_path / "whole")) == 6
    for name in names(tmp_path / "whole"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "portions" / name).read_bytes()


def test_a_portion_that_fails_leaves_whole_pictures_that_the_next_save_deletes(tmp_path) -> None:
    def portions() -> Iterator[Tensor]:
        yield pixels(2, 1, 8, 8)
        raise UserError("the samples contain NaN")

    with pytest.raises(UserError, match="NaN"):
        image.save(portions(), tmp_path, range(4), PROVENANCE)
    assert names(tmp_path) == ["000000.png", "000001.png", "unfinished.json"]
    image.save([pixels(1, 1, 8, 8)], tmp_path, [9], PROVENANCE)
    assert names(tmp_path) == ["000009.png", "samples.json"]


def test_an_archive_for_other_evaluators(tmp_path) -> None:
    x = pixels(3, 3, 8, 6)
    path = tmp_path / "new" / "samples.npz"
    image.save_archive(from_uint8(x), path, range(5, 8), PROVENANCE)
    with np.load(path) as archive:
        assert np.array_equal(archive["arr_0"], x.permute(0, 2, 3, 1).numpy())
        assert archive["arr_0"].dtype == np.uint8
        assert archive["seeds"].tolist() == [5, 6, 7]
        assert json.loads(str(archive["marks"])) == MARKS
    assert json.loads(path.with_suffix(".json").read_text())["provenance"] == PROVENANCE
    before = path.read_bytes()
    image.save_archive(x, path, range(5, 8), PROVENANCE)
    assert path.read_bytes() == before


def test_a_grid_by_hand(tmp_path) -> None:
    """Three 1 x 2 images, two columns, no enlargement; 128 is the ground."""
    x = torch.tensor([[10, 20], [30, 40], [50, 60]], dtype=torch.uint8).view(3, 1, 1, 2)
    image.preview(x, tmp_path / "grid.png", columns=2, scale=1)
    g = 128
    assert read(tmp_path / "grid.png").tolist() == [
        [g] * 10,
        [g] * 10,
        [g, g, 10, 20, g, g, 30, 40, g, g],
        [g] * 10,
        [g] * 10,
        [g, g, 50, 60, g, g, g, g, g, g],
        [g] * 10,
        [g] * 10,
    ]
    assert names(tmp_path) == ["grid.png"]


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((64, 1, 8, 8), (2 + 8 * 66, 2 + 8 * 66)),
        ((60, 1, 28, 28), (2 + 8 * 58, 2 + 8 * 58)),
        ((10, 3, 32, 32), (2 + 4 * 66, 2 + 3 * 66)),
        ((2, 3, 128, 128), (2 + 2 * 130, 2 + 130)),
        ((1, 1, 8, 8), (68, 68)),
    ],
)
def test_grids_are_near_square_and_large_enough_to_see(tmp_path, shape, size) -> None:
    image.preview(pixels(*shape), tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.size == size


def test_of_very_many_images_a_grid_shows_the_first(tmp_path) -> None:
    samples = pixels(500, 1, 4, 4)
    image.preview(samples, tmp_path / "many.png", scale=1)
    image.preview(samples[:400], tmp_path / "first.png", scale=1)
    assert (tmp_path / "many.png").read_bytes() == (tmp_path / "first.png").read_bytes()


def test_enlarged_pixels_are_the_nearest_ones(tmp_path) -> None:
    x = pixels(1, 3, 8, 8)
    image.preview(from_uint8(x), tmp_path / "grid.png")
    cell = read(tmp_path / "grid.png")[2:66, 2:66]
    assert np.array_equal(cell, np.kron(x[0].permute(1, 2, 0).numpy(), np.ones((8, 8, 1), np.uint8)))


def test_a_preview_of_generated_samples_carries_marks_and_a_sidecar(tmp_path) -> None:
    path = tmp_path / "deep" / "000400.png"
    image.preview(pixels(4, 1, 8, 8), path, provenance=PROVENANCE)
    assert read_provenance(path) == MARKS
    assert json.loads(path.with_suffix(".json").read_text()) == {
        **MARKS,
        "file": "000400.png",
        "provenance": PROVENANCE,
    }
    image.preview(pixels(4, 1, 8, 8), path)  # real images in its place: they are not called generated
    assert read_provenance(path) == {}
    assert names(path.parent) == ["000400.png"]


def test_a_strip_has_a_row_for_each_pair(tmp_path) -> None:
    x = pixels(2, 5, 1, 64, 64)
    image.strip(x, tmp_path / "strip.png", PROVENANCE)
    picture = read(tmp_path / "strip.png")
    assert picture.shape == (2 + 2 * 66, 2 + 5 * 66)
    assert np.array_equal(picture[68:132, 2 + 3 * 66 : 66 + 3 * 66], x[1, 3, 0].numpy())
    assert read_provenance(tmp_path / "strip.png") == MARKS


def test_neighbours_stand_right_of_their_sample(tmp_path) -> None:
    x, nearest = pixels(2, 3, 64, 64), pixels(2, 4, 3, 64, 64, seed=1)
    image.neighbours(from_uint8(x), nearest, tmp_path / "neighbours.png")
    picture = read(tmp_path / "neighbours.png")
    assert picture.shape == (2 + 2 * 66, 68 + 4 + 2 + 4 * 66, 3)
    assert (picture[:, 68:72] == 255).all()
    assert np.array_equal(picture[68:132, 2:66], x[1].permute(1, 2, 0).numpy())
    left = 72 + 2 + 3 * 66
    assert np.array_equal(picture[68:132, left : left + 64], nearest[1, 3].permute(1, 2, 0).numpy())


def gif(path: Path) -> tuple[list[np.ndarray], list[int]]:
    """The frames [H, W, 3] and their durations in milliseconds."""
    frames, durations = [], []
    with Image.open(path) as picture:
        assert picture.info["loop"] == 0
        for i in range(picture.n_frames):
            picture.seek(i)
            frames.append(np.asarray(picture.convert("RGB")))
            durations.append(picture.info["duration"])
    return frames, durations


def test_a_film_of_preview_files(tmp_path) -> None:
    paths = [tmp_path / f"{step:06d}.png" for step in range(3)]
    for step, path in enumerate(paths):
        image.preview(pixels(4, 1, 8, 8, seed=step), path, provenance=PROVENANCE)
    image.film(paths, tmp_path / "film.gif", milliseconds=150, provenance=PROVENANCE)
    frames, durations = gif(tmp_path / "film.gif")
    assert durations == [150, 150, 2000]
    for frame, path in zip(frames, paths, strict=True):
        difference = frame.astype(int) - read(path)[:, :, None]
        assert np.abs(difference).max() <= 5  # 32 greys: steps of 8.2, and their own rounding
    assert read_provenance(tmp_path / "film.gif") == MARKS
    assert json.loads((tmp_path / "film.json").read_text())["provenance"] == PROVENANCE


def test_a_film_in_colour_with_captions(tmp_path) -> None:
    frames = [np.full((64, 80, 3), colour, np.uint8) for colour in ((200, 30, 30), (30, 30, 200))]
    image.film(frames, tmp_path / "film.gif", captions=["step 0", "step 1,000"])
    shown, _ = gif(tmp_path / "film.gif")
    assert [frame.shape for frame in shown] == [(64 + pictures.CAPTION, 80, 3)] * 2
    for before, after in zip(frames, shown, strict=True):
        assert np.abs(after[:64].astype(int) - before).max() <= 2
    captions = [frame[64:] for frame in shown]
    assert all(caption.min() < 80 and caption.max() > 200 for caption in captions)
    assert not np.array_equal(*captions)
    assert read_provenance(tmp_path / "film.gif") == {}


def test_a_long_film_keeps_its_first_and_last_frame(tmp_path) -> None:
    frames = [np.full((4, 4), 255 if i == 499 else 8 * (i % 16), np.uint8) for i in range(500)]
    frames[0] = np.full((4, 4), 222, np.uint8)
    image.film(frames, tmp_path / "film.gif", milliseconds=100, captions=[f"step {i}" for i in range(500)])
    shown, durations = gif(tmp_path / "film.gif")
    assert len(shown) == pictures.FILM_FRAMES
    assert abs(int(shown[0][0, 0, 0]) - 222) <= 5
    assert shown[-1][0, 0, 0] == 255
    assert sum(durations) == 59 * 100 + 2000


def test_films_that_cannot_be(tmp_path) -> None:
    with pytest.raises(UserError, match="no frame"):
        image.film([], tmp_path / "film.gif")
    with pytest.raises(UserError, match="differ in size or colour"):
        image.film([np.zeros((8, 8), np.uint8), np.zeros((8, 9), np.uint8)], tmp_path / "film.gif")
    assert names(tmp_path) == []


@pytest.mark.parametrize("shape", [(1, 1, 1), (28, 28, 1), (5, 300, 1), (1, 1, 3), (32, 32, 3), (300, 5, 3)])
def test_every_pixel_of_a_png_comes_back(tmp_path: Path, shape: tuple[int, ...]) -> None:
    drawn = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / "drawn.png"
    path.write_bytes(pictures.png(drawn, {"seed": "7"}))
    with Image.open(path) as found:
        assert found.mode == ("L" if shape[2] == 1 else "RGB")
        assert np.array_equal(np.asarray(found).reshape(shape), drawn)
    assert read_provenance(path) == {"seed": "7"}


def test_the_protocol_and_every_capability() -> None:
    modality: Modality = image
    assert modality.suffix == ".png"
    for capability in (Films, ShowsInterpolations, ShowsNeighbours):
        assert isinstance(image, capability)


@pytest.mark.parametrize("shape", [(2, 8, 8), (8, 8), (2,)])
def test_data_without_images_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="choose another modality"):
        ImageModality(Spec.of("image", shape))


def test_images_of_floats_stay_floats(tmp_path: Path) -> None:
    floats = ImageModality(Spec({"x": Field("image", (1, 8, 8), "float32")}))
    x = from_uint8(pixels(1, 1, 8, 8))
    assert torch.equal(floats.finish(x), x)
    floats.preview(floats.finish(x), tmp_path / "floats.png")
    image.preview(image.finish(x), tmp_path / "bytes.png")
    assert np.array_equal(read(tmp_path / "floats.png"), read(tmp_path / "bytes.png"))


@pytest.mark.parametrize("theirs", ['{"seeds": {"holiday.png": 1}}', "[1]", "no JSON"])
@pytest.mark.parametrize("name", ["samples.json", "unfinished.json"])
def test_lists_of_other_programs_are_left_alone(tmp_path: Path, name: str, theirs: str) -> None:
    (tmp_path / name).write_text(theirs)
    (tmp_path / "holiday.png").write_text("mine")
    with pytest.raises(UserError, match=f"{name} was not written by AIGC Lab") as error:
        image.save([pixels(1, 1, 8, 8)], tmp_path, [1], PROVENANCE)
    assert "\n" not in str(error.value)
    assert names(tmp_path) == sorted(["holiday.png", name])
    assert (tmp_path / name).read_text() == theirs


def test_pictures_of_other_programs_are_left_alone(tmp_path: Path) -> None:
    image.save([pixels(1, 1, 8, 8)], tmp_path, [1], PROVENANCE)
    (tmp_path / "000002.png").write_text("mine")
    with pytest.raises(UserError, match=r"000002.png was not written by AIGC Lab"):
        image.save([pixels(2, 1, 8, 8)], tmp_path, [2, 3], PROVENANCE)
    assert names(tmp_path) == ["000001.png", "000002.png", "samples.json"]
    image.save([pixels(2, 1, 8, 8)], tmp_path, [3, 4], PROVENANCE)
    assert names(tmp_path) == ["000002.png", "000003.png", "000004.png", "samples.json"]
    assert (tmp_path / "000002.png").read_text() == "mine"


def test_a_list_names_no_file_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_text("")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "samples.json").write_text(json.dumps({**MARKS, "seeds": {"../outside.png": 1}}))
    image.save([pixels(1, 1, 8, 8)], tmp_path / "in", [1], PROVENANCE)
    assert (tmp_path / "outside.png").exists()


def test_a_sidecar_of_another_program_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "grid.json").write_text('{"rows": 3}')
    with pytest.raises(UserError, match=r"grid.json was not written by AIGC Lab"):
        image.preview(pixels(1, 1, 8, 8), tmp_path / "grid.png", PROVENANCE)
    assert names(tmp_path) == ["grid.json"]
    assert (tmp_path / "grid.json").read_text() == '{"rows": 3}'


def test_sources_lie_beside_their_samples(tmp_path: Path) -> None:
    colour, x, sources = ImageModality(Spec.of("image", (3, 8, 8))), pixels(3, 3, 8, 8), pixels(3, 1, 8, 8, seed=1)
    colour.save([x[:2], x[2:]], tmp_path, [0, 1, 2], PROVENANCE, sources=sources)
    written = [f"00000{seed}{end}.png" for seed in range(3) for end in ("-source", "")]
    assert names(tmp_path) == sorted([*written, "samples.json"])
    assert np.array_equal(read(tmp_path / "000002-source.png"), sources[2, 0].numpy())
    assert np.array_equal(read(tmp_path / "000002.png"), x[2].permute(1, 2, 0).numpy())
    assert read_provenance(tmp_path / "000002-source.png") == {}  # it is not generated
    record = json.loads((tmp_path / "samples.json").read_text())
    assert record["sources"]["000002.png"] == "000002-source.png"
    colour.save([x[:1]], tmp_path, [7], PROVENANCE)  # replaces all of them
    assert names(tmp_path) == ["000007.png", "samples.json"]


def test_a_source_of_someone_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "000000-source.png").write_bytes(b"mine")
    with pytest.raises(UserError, match="was not written by"):
        image.save([pixels(1, 1, 8, 8)], tmp_path, [0], PROVENANCE, sources=pixels(1, 1, 8, 8))
    assert names(tmp_path) == ["000000-source.png"]


def test_a_preview_has_each_source_left_of_its_sample(tmp_path: Path) -> None:
    """Two rows of one cell, 16 pixels wide, with 2 pixels of background around them; the source is grey, the sample not."""
    colour, x, sources = ImageModality(Spec.of("image", (3, 8, 8))), pixels(2, 3, 8, 8), pixels(2, 1, 8, 8, seed=1)
    colour.preview(x, tmp_path / "a.png", columns=1, scale=1, sources=from_uint8(sources))  # as models have them
    grid = read(tmp_path / "a.png")
    assert grid.shape == (2 + 2 * 10, 2 + 18, 3)
    for row in range(2):
        cell = grid[2 + 10 * row :][:8, 2:18]
        assert np.array_equal(cell[:, :8], sources[row].expand(3, 8, 8).permute(1, 2, 0).numpy())
        assert np.array_equal(cell[:, 8:], x[row].permute(1, 2, 0).numpy())
    colour.preview(pixels(64, 3, 8, 8), tmp_path / "b.png", scale=1, sources=pixels(64, 3, 8, 8))
    assert read(tmp_path / "b.png").shape == (2 + 11 * 10, 2 + 6 * 18, 3)
