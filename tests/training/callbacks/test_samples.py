"""Previews while training; of music also what is heard, of video what moves."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from clips import Squares

from src.data.spec import Field, Spec
from src.modalities.music.music import Music
from src.modalities.video import Video
from src.models.autoregressive import Autoregressive
from src.networks.decoder import decoder
from src.runs.sounds import newest_sound
from src.training.callbacks.samples import DrawSamples
from tunes import Walks


def test_music_is_seen_and_heard_in_the_metre_of_its_class(tmp_path: Path) -> None:
    fields = dict(Walks(17, ends=True).spec.fields)
    spec = Spec(fields | {"y": Field("class", (), "int64", ("4/4 major", "3/8 minor"))})
    network = partial(decoder, width=8, depth=1, heads=1)
    model = Autoregressive(spec, 0, network, partial(torch.optim.AdamW, lr=1e-2), conditional=True)
    told: list[Any] = []
    record: Any = SimpleNamespace(picture=lambda *what: told.append(what))
    folder = tmp_path / "samples"
    folder.mkdir()
    music = Music(spec)
    draw = DrawSamples(folder, record, SimpleNamespace(), music, range(2), per_decade=1)  # type: ignore[arg-type]
    for model.step in (0, 5):
        draw.draw(model)
    assert told == [
        (0, "sound", folder / "sound-000000000.wav"),
        (0, "samples", folder / "step-000000000.png"),
        (5, "sound", folder / "sound-000000005.wav"),
        (5, "samples", folder / "step-000000005.png"),
    ]
    assert newest_sound(tmp_path) == {name: folder / f"sound-000000005{name[5:]}" for name in ("sound.wav", "sound.svg")}
    model.step = 0
    draw.on_train_start(SimpleNamespace(is_global_zero=True), model)  # type: ignore[arg-type]
    assert sorted(path.name for path in folder.iterdir()) == [
        "sound-000000000.svg", "sound-000000000.wav", "step-000000000.png",
    ]  # fmt: skip


def test_clips_move(tmp_path: Path) -> None:
    told: list[Any] = []
    record: Any = SimpleNamespace(picture=lambda *what: told.append(what))
    spec, folder = Squares().spec, tmp_path / "samples"
    folder.mkdir()
    model: Any = SimpleNamespace(sample=lambda seeds: torch.zeros(len(seeds), *spec.shape), step=0)
    draw = DrawSamples(folder, record, SimpleNamespace(), Video(spec), range(2), per_decade=1)  # type: ignore[arg-type]
    for model.step in (0, 5):
        draw.draw(model)
    assert [(step, name, path.name) for step, name, path in told[2:]] == [
        (5, "moving", "moving-000000005.gif"),
        (5, "samples", "step-000000005.png"),
    ]
    assert newest_sound(tmp_path) == {"moving.gif": folder / "moving-000000005.gif"}
    model.step = 0
    draw.on_train_start(SimpleNamespace(is_global_zero=True), model)  # type: ignore[arg-type]
    assert sorted(path.name for path in folder.iterdir()) == ["moving-000000000.gif", "step-000000000.png"]
