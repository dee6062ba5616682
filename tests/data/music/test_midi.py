from pathlib import Path

import mido
import numpy as np
import pytest

from src.config.errors import UserError
from src.data.dataset import SPLITS, check_dataset
from src.data.music.midi import Midi
from src.data.music.notes import Symbols


def write(path: Path, pitches: list[int], *extra: mido.MetaMessage) -> None:
    """A melody of eighths, after `extra`."""
    track = mido.MidiTrack(extra)
    for pitch in pitches:
        track += [mido.Message("note_on", note=pitch), mido.Message("note_off", note=pitch, time=240)]
    path.parent.mkdir(exist_ok=True)
    mido.MidiFile(tracks=[track], ticks_per_beat=480).save(path)


def pitches(seed: int) -> list[int]:
    return np.random.default_rng(seed).integers(60, 80, 40).tolist()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """30 melodies of five bars, some of them in a folder below; and what is left out."""
    folder = tmp_path / "midi"
    folder.mkdir()
    for number in range(30):
        write(folder / ("more" if number % 2 else "") / f"{number}.mid", pitches(number))
    write(folder / "again.MIDI", [pitch + 3 for pitch in pitches(0)])
    write(folder / "waltz.mid", pitches(40), mido.MetaMessage("time_signature", numerator=3, denominator=4))
    write(folder / "silent.mid", [])
    (folder / "broken.mid").write_bytes(b"MThd")
    (folder / "notes.txt").write_text("no music")
    return folder


def test_a_folder(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = Midi(folder, tmp_path / "cache")
    data.prepare()
    check_dataset(data)
    out = capsys.readouterr().out
    assert "broken, left out: 'broken.mid' (is no intact MIDI file: it is cut short)" in out
    assert "'silent.mid' (there are no notes in it)" in out
    counts = {"files": 34, "broken": 2, "other_metre": 1, "repeated": 1, "kept": 30}
    assert {name: data.notes()[name] for name in counts} == counts
    assert data.spec.shape == (32, 1)
    assert [len(data.split(name)) for name in SPLITS] == [26 * 4, 2 * 2, 2 * 2]
    assert len(data.hashes()) == 34
    symbols = Symbols(data.spec.x.names)
    first = [[note.pitch for note in symbols.decode(x)] for x in data.split("train")["x"]]
    melodies = [pitches(number) for number in range(30)] + [[pitch + 3 for pitch in pitches(0)]]
    assert all(any(window == m[at : at + 16] for m in melodies for at in range(0, 40, 8)) for window in first)


def test_files_are_read_once(folder: Path, tmp_path: Path) -> None:
    data = Midi(folder, tmp_path / "cache")
    entries = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("*")} if data.notes() else {}
    assert len(entries) == 32
    again = Midi(folder, tmp_path / "cache")
    assert np.array_equal(again.split("train")["x"], data.split("train")["x"])
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("*")} == entries


def test_voices_and_metres(folder: Path, tmp_path: Path) -> None:
    assert Midi(folder, tmp_path / "cache", voices=4, bars=1).split("test")["x"].shape[1:] == (16, 4)
    with pytest.raises(UserError, match=r"pieces in 3/4 are needed.*other metre 31"):
        Midi(folder, tmp_path / "cache", metre="3/4").prepare()
    with pytest.raises(UserError, match="too few windows of 9 bars"):
        Midi(folder, tmp_path / "cache", bars=9).prepare()


def test_wrong_folders_and_settings(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        Midi(tmp_path / "absent", tmp_path / "cache").prepare()
    (tmp_path / "notes.txt").write_text("no music")
    with pytest.raises(UserError, match=r"no MIDI files in it \(.mid, .midi\); found: 1 .txt"):
        Midi(tmp_path, tmp_path / "cache").prepare()
    for settings, words in (({"voices": 5}, "1 .* to 4"), ({"bars": 0}, "at least 1 bar"), ({"metre": "four"}, "write it as")):
        with pytest.raises(UserError, match=words):
            Midi(tmp_path, tmp_path, **settings)
