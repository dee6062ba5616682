import json
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import Squares
from PIL import Image

from src.config.errors import Diverged, UserError
from src.data.spec import Spec
from src.data.video import resampled
from src.modalities.clips import read_marks
from src.modalities.modality import Films, Modality, Moves, ShowsInterpolations
from src.modalities.video import Video, frames_hash

DATA = Squares()
VIDEO = Video(DATA.spec)
PROVENANCE = {"model": "abc", "run": "here"}


def clips(count: int = 3, channels: int = 1) -> torch.Tensor:
    return torch.from_numpy(Squares(channels=channels).split("test")["x"][:count].copy())


def frames_of(path: Path, rate: float = 8.0) -> np.ndarray:
    """uint8 [T, H, W, 1]."""
    return np.stack(resampled(path.read_bytes(), rate, 16, 1)).transpose(0, 2, 3, 1)


def test_it_is_a_modality() -> None:
    modality: Modality = VIDEO
    assert all(isinstance(modality, kind) for kind in (Films, Moves, ShowsInterpolations))
    x = clips()
    assert torch.equal(VIDEO.finish(DATA.spec.x.to_model(x)), x)
    with pytest.raises(Diverged):
        VIDEO.finish(torch.full((1, 4, 1, 16, 16), torch.nan))


def test_a_folder_of_samples(tmp_path: Path) -> None:
    x = clips()
    VIDEO.save([x[:2], x[2:]], tmp_path / "out", [7, 8, 9], PROVENANCE)
    record = json.loads((tmp_path / "out" / "samples.json").read_text())
    assert record["seeds"] == {"000007.gif": 7, "000008.gif": 8, "000009.gif": 9}
    for name, clip in zip(record["seeds"], x, strict=True):
        path = tmp_path / "out" / name
        found = frames_of(path)
        np.testing.assert_array_equal(found, clip.permute(0, 2, 3, 1).numpy())  # grey GIFs are exact
        assert record["frames_sha256"][name] == frames_hash(found)
        assert read_marks(path) == {"Software": "AIGC Lab", "generated": "true", "model": "abc", "seed": str(int(name[:6]))}
    VIDEO.save([x[:1]], tmp_path / "out", [1], PROVENANCE)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000001.gif", "samples.json"]
    with pytest.raises(UserError, match="a seed occurs twice"):
        VIDEO.save([x[:2]], tmp_path / "out", [1, 1], PROVENANCE)


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_one_sample_in_one_file(suffix: str, tmp_path: Path) -> None:
    (x,), path = clips(1), tmp_path / f"clip{suffix}"
    VIDEO.save_one(x, path, 5, PROVENANCE)
    assert read_marks(path)["seed"] == "5"
    sidecar = json.loads((tmp_path / "clip.json").read_text())
    assert sidecar["provenance"]["frames_sha256"] == frames_hash(x.permute(0, 2, 3, 1).numpy())
    difference = np.abs(frames_of(path).astype(int) - x.permute(0, 2, 3, 1).numpy())
    assert difference.mean() < (1 if suffix == ".gif" else 6)  # H.264 is lossy
    (tmp_path / "other.mp4").write_bytes(b"mine")
    with pytest.raises(UserError, match="would be overwritten"):
        VIDEO.save_one(x, tmp_path / "other.mp4", 5, PROVENANCE)


def test_an_archive(tmp_path: Path) -> None:
    VIDEO.save_archive(clips(), tmp_path / "clips.npz", [0, 1, 2], PROVENANCE)
    with np.load(tmp_path / "clips.npz") as found:
        np.testing.assert_array_equal(found["frames"], clips().permute(0, 1, 3, 4, 2).numpy())
        assert found["rate"] == 8


def test_previews(tmp_path: Path) -> None:
    VIDEO.preview(clips(), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (2 + 4 * 66, 2 + 3 * 66)  # a row of four frames for each clip, enlarged to 64 pixels
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    VIDEO.preview(clips(), tmp_path / "b.png", PROVENANCE)
    assert json.loads((tmp_path / "b.json").read_text())["beside"] == ["b.gif"]
    with Image.open(tmp_path / "b.gif") as image:
        assert image.size == (2 + 2 * 66, 2 + 2 * 66)
        assert image.n_frames == 4
        assert image.info["duration"] == pytest.approx(125, abs=10)
    assert VIDEO.move(clips(), tmp_path / "moving") == tmp_path / "moving.gif"
    assert read_marks(tmp_path / "moving.gif") == {}
    VIDEO.strip(torch.stack([clips(), clips()]), tmp_path / "strip.png")
    with Image.open(tmp_path / "strip.gif") as image:
        assert image.size == (2 + 3 * 66, 2 + 2 * 66)


def test_colours(tmp_path: Path) -> None:
    colour = Video(Squares(channels=3).spec)
    colour.save_one(clips(1, 3)[0], tmp_path / "a.gif", 0, PROVENANCE)
    colour.preview(clips(2, 3), tmp_path / "b.png")
    assert frames_of(tmp_path / "a.gif").shape == (4, 16, 16, 1)


def test_what_is_refused() -> None:
    with pytest.raises(UserError, match=r"video is \[T, C, H, W\]"):
        Video(Spec.of("image", (1, 8, 8)))
    with pytest.raises(UserError, match="no clips to show"):
        VIDEO.preview(clips(0), "nowhere.png")
    with pytest.raises(UserError, match=r"not \[3, 16, 16\]"):
        VIDEO.preview(torch.zeros(3, 16, 16), "nowhere.png")
