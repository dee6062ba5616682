"""Folders of real clips, made here."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from src.config.errors import UserError
from src.data.dataset import check_dataset
from src.data.video import Videos, resampled
from src.modalities.clips import gif, mp4


def counting(frames: int, number: int = 0, side: int = 16) -> np.ndarray:
    """uint8 [T, H, W, 1]: frame t has the grey level 10 t + number, and a wider edge that is cut off."""
    levels = (10 * np.arange(frames) + number).astype(np.uint8)
    clip = np.broadcast_to(levels[:, None, None, None], (frames, side, side + 4, 1)).copy()
    clip[:, :, :2] = clip[:, :, -2:] = 255
    return clip


def fill(folder: Path, count: int, frames: int = 8) -> Path:
    for number in range(count):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.gif").write_bytes(gif(counting(frames, number), 10, {}))
    return folder


def levels(frames: list[np.ndarray]) -> list[int]:
    return [round(float(frame[:, 3:5, 3:5].mean())) for frame in frames]


def test_a_folder_becomes_windows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = fill(tmp_path / "clips", 90)
    fill(folder / "short", 3, frames=3)
    (folder / "notes.txt").write_text("no clip")
    (folder / "broken.mp4").write_bytes(b"no clip")
    data = Videos(folder, tmp_path / "cache", size=8, channels=1, frames=4)
    data.prepare()
    check_dataset(data)
    said = capsys.readouterr().out
    assert "left out: 1 .txt" in said
    assert "broken, left out: 'broken.mp4'" in said
    assert data.notes() == {"clips shorter than 0.4 seconds, left out": 3}
    x = {name: data.split(name).batch(np.arange(len(data.split(name))))["x"] for name in ("train", "validation", "test")}
    assert sum(map(len, x.values())) == 2 * 90  # two windows of each
    assert data.spec.x.rate == 10
    for windows in x.values():
        numbers = windows[:, :, 0, 3, 3].astype(int)  # [N, 4]
        assert (np.diff(numbers) == 10).all()  # frames in order
        begins = (numbers[:, 0] - numbers[:, 0] % 40).tolist()
        assert len(numbers) % 2 == 0, begins  # both windows of a clip are in one split
    again = Videos(folder, tmp_path / "cache", size=8, channels=1, frames=4)
    again.prepare()
    assert again.hashes() == data.hashes()
    assert "decoding" not in capsys.readouterr().out


@pytest.mark.parametrize("rate", [5.0, 10.0, 20.0])
def test_time_is_resampled(rate: float) -> None:
    found = levels(resampled(gif(counting(8), 10, {}), rate, 8, 1))
    assert found == [10 * int((k + 0.5) / rate * 10) for k in range(int(0.8 * rate))]


def test_frames_last_as_long_as_their_file_says() -> None:
    images = [Image.fromarray(np.full((8, 8), level, np.uint8)) for level in (0, 100, 200)]
    buffer = io.BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=[300, 100, 200], loop=0)
    assert levels(resampled(buffer.getvalue(), 10, 8, 1)) == [0, 0, 0, 100, 200, 200]


def test_colours_of_mp4_and_webm() -> None:
    clip = np.zeros((6, 16, 16, 3), np.uint8)
    clip[:, :, :, 0], clip[3:, :, :, 2] = 200, 100
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=10)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        for frame in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())
    for data in (mp4(clip, 10, {}), buffer.getvalue()):
        found = np.stack(resampled(data, 10, 8, 3))
        assert found.shape == (6, 3, 8, 8)
        assert np.abs(found.astype(int) - clip[:, :8, :8].transpose(0, 3, 1, 2)).max() < 16


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="frames per second"):
        Videos(tmp_path, tmp_path, rate=0)
    with pytest.raises(UserError, match="at least 2"):
        Videos(tmp_path, tmp_path, frames=1)
    with pytest.raises(UserError, match="there are no clips in it"):
        Videos(tmp_path, tmp_path / "cache").prepare()
    with pytest.raises(UserError, match="say where the clips are now"):
        Videos(tmp_path / "gone", tmp_path / "cache").prepare()
    folder = fill(tmp_path / "few", 4)
    with pytest.raises(UserError, match=r"windows of 4 frames are too few"):
        Videos(folder, tmp_path / "cache", size=8, frames=4).prepare()
    for number in range(4):
        (folder / f"{number}.webm").write_bytes(b"")
    with pytest.raises(UserError, match="4 of 8 clips are broken"):
        Videos(folder, tmp_path / "cache", size=8, frames=4).prepare()
