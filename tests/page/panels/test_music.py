"""The music panel, on a small model with random weights."""

import base64
import io
import json
import wave
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import mido
import pytest
import torch

from src.config.errors import UserError
from src.data.music.keys import estimate_key
from src.data.spec import Field, Spec
from src.modalities.music.music import Music
from src.models.autoregressive import Autoregressive
from src.networks.decoder import decoder
from src.page.panels import music
from src.page.panels.panel import Item, LoadedRun, panel_of, shown
from tunes import Walks


@pytest.fixture(scope="module")
def run() -> LoadedRun:
    fields = dict(Walks(49, ends=True).spec.fields)
    spec = Spec(fields | {"y": Field("class", (), "int64", ("4/4 major", "3/4 minor"))})
    network = partial(decoder, width=8, depth=1, heads=1)
    model = Autoregressive(spec, 0, network, partial(torch.optim.AdamW, lr=1e-2), conditional=True)
    return LoadedRun(SimpleNamespace(), "a", model, Music(spec, tempo=90.0), {"model": "0" * 64})  # type: ignore[arg-type]


def parts(item: Item) -> dict[str, str]:
    return json.loads(item.data)


def heard(item: Item) -> bytes:
    with wave.open(io.BytesIO(base64.b64decode(parts(item)["sound"].partition(",")[2]))) as sound:
        return sound.readframes(sound.getnframes())


def test_tunes_are_composed_seen_heard_and_taken_home(run: LoadedRun, tmp_path: Path) -> None:
    assert panel_of(run).__name__ == music.__name__
    tab = music.tabs(run, 8)["compose"]
    assert {control.name: control.high for control in tab.controls}["bars"] == 4  # of 3/4
    settings = tab.read({"n": 2, "bars": 2, "class": "3/4 minor", "tempo": 60, "key": "G", "seed": 3})
    first, second = music.draw(run, "compose", settings).items
    assert first.settings == {"class": "3/4 minor", "bars": 2, "tempo": 60, "key": "G", "temperature": 1.0, "seed": 3}
    found = parts(second)
    assert found["file"] == "tune-4.mid"
    assert [found[name].partition(";")[0] for name in ("sound", "roll", "score", "midi")] == [
        "data:audio/wav", "data:image/png", "data:image/svg+xml", "data:audio/midi",
    ]  # fmt: skip
    file = mido.MidiFile(file=io.BytesIO(base64.b64decode(found["midi"].partition(",")[2])))
    assert file.length == pytest.approx(6)  # two bars of three seconds
    again = music.item(run, music.samples(run, [4], second.settings or {})[0], second.settings)
    assert heard(again) == heard(second)
    music.save(run, "compose", settings, tmp_path)
    record = json.loads((tmp_path / "samples.json").read_text())
    assert {tune["bars"] for tune in record["tunes"]} == {2}
    assert record["provenance"].items() >= {"bars": 2, "tempo": 60, "key": "G", "class": "3/4 minor"}.items()
    (tune,) = shown(run, settings).tunes(music.samples(run, [4], settings))
    assert (tune.metre, tune.tempo, estimate_key(tune.notes).fifths) == ("3/4", 60, 1)


def test_the_blind_test_has_no_marks(run: LoadedRun) -> None:
    real = torch.from_numpy(Walks(49, ends=True).split("test").batch([0])["x"])[0]
    found = parts(music.item(run, real))
    assert found["file"] == "tune.mid"
    assert b"AIGC" not in base64.b64decode(found["midi"].partition(",")[2])


def test_a_length_that_is_not_possible(run: LoadedRun) -> None:
    tab = music.tabs(run, 8)["compose"]
    with pytest.raises(UserError, match="bars=4: this model's tunes have 3 at most"):
        music.draw(run, "compose", tab.read({"bars": 4, "class": "4/4 major"}))
