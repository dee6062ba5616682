"""People's own pictures as sources: which files are read and how, and what `src.generate` makes of them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from src.config.errors import UserError
from src.data.spec import Batch, Field, Spec
from src.runs import picture_sources
from src.train import train

WORDS = [
    "stop.samples=4",
    "data.batch_size=2",
    "data.size=16",
    "samples=null",
    "validation=null",
    "logger=none",
    "evaluate=false",
]
SMALL = ["model.generator.widths=[8,8]", "model.discriminator.width=8", "model.discriminator.layers=1", "trainer.threads=1"]
FIELDS = {"x": Field("image", (3, 4, 4), "uint8"), "source": Field("image", (1, 4, 4), "uint8")}


def save(path: Path, pixels: Any, **settings: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path, **settings)
    return path


class Translates:
    """Reads grey pictures, and makes colour ones."""

    spec, dtype = Spec(FIELDS), torch.float32

    def conditions(self, seeds: Any) -> Batch:
        return {"source": torch.ones(len(seeds), 1, 4, 4)}


class Fills(Translates):
    """Fills holes in pictures; by itself, in their left column."""

    def conditions(self, seeds: Any) -> Batch:
        return self.conditions_from({"x": torch.ones(len(seeds), 3, 4, 4)}, seeds)

    def conditions_from(self, batch: Batch, seeds: Any) -> Batch:
        mask = torch.zeros(len(seeds), 1, 4, 4)
        mask[..., 0] = 1
        return {"source": batch["x"] * (1 - mask), "mask": mask}


class Writes:
    """Reads texts."""

    def conditions(self, seeds: Any) -> dict[str, Tensor]:
        return {"source": torch.zeros(len(seeds), 7, dtype=torch.int64)}


def config(**given: Any) -> dict[str, Any]:
    return {"source": None, "mask": None, "direction": None, "n": None} | {key: str(value) for key, value in given.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures: grey, of colour and wide, with a transparent half; and a note."""
    folder = tmp_path / "mine"
    save(folder / "b.png", np.full((4, 4), 51))
    wide = np.zeros((4, 12, 3))
    wide[:, 4:8] = (255, 0, 0)
    save(folder / "a" / "wide.bmp", wide)
    save(folder / "c.png", np.dstack([np.zeros((4, 4, 3)), np.repeat([[0], [0], [255], [255]], 4, axis=1)]))
    (folder / "note.txt").write_text("no picture")
    return folder


def read(model: Any, given: dict[str, Any], seeds: range) -> Batch:
    files = picture_sources.asked(model, given)
    batch = picture_sources.read(files, model, given) if files else {"x": torch.ones(len(seeds), 3, 4, 4)}
    return picture_sources.conditions(model, given, batch, seeds)


def test_pictures_become_the_models_sources(folder: Path) -> None:
    given = config(source=folder)
    files = picture_sources.asked(Translates(), given)
    assert picture_sources.names(files, given) == {"source_files": ["a/wide.bmp", "b.png", "c.png"]}
    source = read(Translates(), given, range(3))["source"]
    assert source.shape == (3, 1, 4, 4)
    grey = (source * 127.5 + 127.5).round()
    assert grey[0].unique().tolist() == [76]  # red, the centre square
    assert grey[1].unique().tolist() == [51]
    assert grey[2, 0, :, 0].tolist() == [255, 255, 0, 0]  # transparent is white


def test_a_camera_picture_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    path = save(tmp_path / "x.png", [[0, 0, 0, 0], [0] * 4, [255] * 4, [255] * 4], exif=exif)
    source = read(Translates(), config(source=path), range(1))["source"]
    assert source[0, 0, 0].tolist() == [1, 1, -1, -1]


def test_a_single_picture_has_as_many_samples_as_asked(folder: Path) -> None:
    given = config(source=folder / "b.png") | {"n": 3}
    assert len(picture_sources.asked(Translates(), given)) == 3
    assert picture_sources.names(picture_sources.asked(Translates(), given), given) == {}
    assert read(Translates(), given, range(3))["source"].shape == (3, 1, 4, 4)


def test_backward_reads_what_is_made_forward(folder: Path) -> None:
    assert read(Translates(), config(source=folder, direction="backward"), range(3))["source"].shape == (3, 3, 4, 4)


def test_a_hole_is_where_the_mask_is_white_or_the_models_own(folder: Path, tmp_path: Path) -> None:
    own = read(Fills(), config(source=folder / "b.png"), range(1))
    assert own["mask"][0, 0].tolist() == [[1, 0, 0, 0]] * 4
    mask = save(tmp_path / "mask.png", [[0, 0, 0, 255]] * 4)
    given = read(Fills(), config(source=folder, mask=mask), range(3))
    assert given["mask"].tolist() == [[[[0, 0, 0, 1]] * 4]] * 3
    assert given["source"].shape == (3, 3, 4, 4)
    assert not given["source"][..., 3].any()
    assert (given["source"][1, :, :, :3] * 127.5 + 127.5).round().unique().tolist() == [51]
    assert read(Fills(), config(mask=mask), range(2))["source"].sum() == 2 * 3 * 12  # of white test pictures


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        (Translates, {"source": "mine/b.jpg"}, "source=mine/b.jpg: there is no such picture: name one, or a folder"),
        (Translates, {"source": "Hello " * 40}, "source='Hello .*'...: there is no such picture"),
        (Translates, {"source": "mine", "n": 2}, "source=mine has 3 pictures, one for each sample: leave n= out"),
        (Translates, {"source": "texts"}, r"source=texts: there is no picture in it \(.*\); found: 1 .txt"),
        (Translates, {"source": "mine/note.txt"}, "source=mine/note.txt: cannot read it as a picture"),
        (Translates, {"source": "mine/b.png", "mask": "mine/b.png"}, "this model fills no holes: leave mask= out"),
        (Writes, {"source": "mine/b.png"}, "source=mine/b.png is a picture, and this model reads none"),
        (Writes, {"mask": "mine/b.png"}, "this model knows no mask="),
        (Fills, {"source": "mine/b.png", "mask": "mine/no.png"}, "mask=mine/no.png: cannot read it .No such file"),
        (Fills, {"source": "mine/b.png", "mask": "mine/b.png"}, "mask=mine/b.png: nothing in it is white"),
    ],
)
def test_errors_are_one_line(
    model: Any, given: dict[str, Any], message: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    (folder.parent / "texts").mkdir()
    (folder.parent / "texts" / "a.txt").write_text("no picture")
    with pytest.raises(UserError, match=message) as error:
        read(model(), config() | given, range(1))
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, compose: Any) -> Path:
    """Two updates of pix2pix on pairs in files."""
    root = tmp_path_factory.mktemp("pairs")
    random = np.random.default_rng(0)
    for number in range(36):
        name = f"{('train', 'val', 'test')[number % 3]}/{number}.png"
        save(root / "a" / name, random.integers(256, size=(16, 16)))
        save(root / "b" / name, random.integers(256, size=(16, 16, 3)))
    data = ["data=pairs", f"data.path={root / 'a'}", f"data.path_b={root / 'b'}", "data.source_channels=1"]
    data += [f"paths.data={root / 'data'}", f"run_dir={root / 'run'}", "evaluation=images", "evaluation.extractor=digits"]
    train(compose("model=pix2pix", *data, *WORDS, *SMALL))
    return root / "run"


def test_generate_translates_a_folder(run: Path, folder: Path, in_process: Any, tmp_path: Path) -> None:
    def generate(*words: str) -> subprocess.CompletedProcess:
        return in_process("generate", f"run={run}", f"out={tmp_path / 'out'}", *words)

    answer = generate(f"source={folder}", "seed=5")
    assert answer.returncode == 0, answer.stderr
    record = json.loads((tmp_path / "out" / "samples.json").read_text())
    assert record["provenance"]["source_files"] == ["a/wide.bmp", "b.png", "c.png"]
    assert record["sources"] == {f"00000{seed}.png": f"00000{seed}-source.png" for seed in (5, 6, 7)}
    with Image.open(tmp_path / "out" / "000006-source.png") as source, Image.open(tmp_path / "out" / "000006.png") as sample:
        assert (source.mode, source.getextrema(), sample.mode, sample.size) == ("L", (51, 51), "RGB", (16, 16))
    with Image.open(tmp_path / "out" / "grid.png") as grid:
        assert grid.mode == "RGB"
    alone = generate(f"source={folder / 'b.png'}", "seed=6", f"out={tmp_path / 'alone'}")
    assert alone.returncode == 0, alone.stderr
    assert (tmp_path / "alone" / "000006.png").read_bytes() == (tmp_path / "out" / "000006.png").read_bytes()

    without = generate("n=2")  # test sources
    assert without.returncode == 0, without.stderr
    assert sorted(path.name for path in (tmp_path / "out").glob("0*")) == sorted(
        f"00000{seed}{end}.png" for seed in (0, 1) for end in ("", "-source")
    )
    wrong = generate("direction=backward")
    assert (wrong.returncode, wrong.stderr) == (2, "error: this model knows no direction=: leave it out\n")
