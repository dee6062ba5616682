"""Music: files that people hear and read, and MIDI files that they give."""

import json
import wave
from pathlib import Path

import mido
import numpy as np
import pytest
import torch
from torch import Tensor

from src.config.errors import Diverged, UserError
from src.data.music.keys import Key, estimate_key
from src.data.music.notes import HOLD, REST, Note, Symbols
from src.data.music.rolls import symbols_to_roll
from src.data.spec import Field, Spec
from src.data.vocabulary import END, PAD
from src.modalities.modality import Films, Modality, Plays, ReadsText, ShowsInterpolations
from src.modalities.music.lyrics import read_lyrics
from src.modalities.music.music import Music
from src.modalities.music.synth import read_marks
from src.modalities.pictures import read_provenance

PROVENANCE = {"model": "0123abcd" * 8, "run": "runs/gpt-chorales-1a2b/0"}
MARKS = {"Software": "AIGC Lab", "generated": "true", "model": PROVENANCE["model"]}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def tune_spec(steps: int = 65, classes: tuple[str, ...] = ()) -> Spec:
    """Melodies that end where END is."""
    fields = {"x": Field("tokens", (steps, 1), "int64", names=Symbols.of(range(48, 85), ends=True).names, rate=8.0)}
    return Spec(fields | ({"y": Field("class", (), "int64", names=classes)} if classes else {}))


def test_the_protocol(spec: Spec) -> None:
    modality: Modality = Music(spec)
    assert modality.suffix == ".png"
    assert isinstance(modality, Plays)
    assert isinstance(modality, ShowsInterpolations)
    assert not isinstance(modality, Films | ReadsText)


def test_piano_rolls_become_symbols(spec: Spec, pieces: Tensor) -> None:
    """Of a network, floats in [-1, 1], or of the data, 0 or 255."""
    roll = torch.from_numpy(symbols_to_roll(pieces.numpy(), spec.x.names))
    names = tuple(name for name in spec.x.names if name not in (HOLD, REST))
    music = Music(Spec({"x": Field("roll", tuple(roll.shape[1:]), "uint8", names=names, rate=8.0, levels=2)}))
    heard = [music.symbols.decode(piece) for piece in music.finish(roll / 127.5 - 1).numpy()]
    assert heard == [Symbols(spec.x.names).decode(piece) for piece in pieces.numpy()]
    assert torch.equal(music.finish(roll), music.finish(roll / 127.5 - 1))
    with pytest.raises(Diverged):
        music.finish(torch.full(roll.shape, torch.nan))


def test_a_sample_is_five_files(spec: Spec, pieces: Tensor, tmp_path: Path) -> None:
    music = Music(spec, tempo=90)
    music.save([pieces[:1], pieces[1:]], tmp_path, [3, 4, 9], PROVENANCE)
    suffixes = ".mid", ".musicxml", ".png", ".svg", ".wav"
    stems = "000003", "000004", "000009"
    assert names(tmp_path) == [*(stem + suffix for stem in stems for suffix in suffixes), "samples.json"]
    record = json.loads((tmp_path / "samples.json").read_text())
    assert MARKS.items() <= record.items()
    assert record["provenance"] == PROVENANCE
    assert record["tunes"][0] == {"seed": 3, "key": "C major", "metre": "4/4", "bars": 2, "notes": 16}
    assert record["tunes"][2]["notes"] == 0

    file = mido.MidiFile(tmp_path / "000003.mid")
    texts = {message.text for message in file.tracks[0] if message.type == "text"}
    assert texts == {"Software: AIGC Lab", "generated: true", f"model: {MARKS['model']}", "seed: 3"}
    assert file.length == pytest.approx(8 * 60 / 90)
    found = music.read(tmp_path / "000003.mid", "prompt")
    assert np.array_equal(found.symbols, pieces[0])
    assert (found.shift, found.metre, round(found.tempo, 3)) == (0, "4/4", 90)

    with wave.open(str(tmp_path / "000003.wav")) as sound:
        assert sound.getparams()[:3] == (1, 2, 22_050)
        assert sound.getnframes() / 22_050 == pytest.approx(8 * 60 / 90, abs=0.2)
    assert read_marks((tmp_path / "000003.wav").read_bytes()) == {**MARKS, "seed": "3"}
    assert read_provenance(tmp_path / "000003.png") == {**MARKS, "seed": "3"}
    for suffix in (".musicxml", ".svg"):
        assert MARKS["model"] in (tmp_path / f"000003{suffix}").read_text()

    music.save([pieces[:1]], tmp_path, [0], PROVENANCE)
    assert names(tmp_path) == [*(f"000000{suffix}" for suffix in suffixes), "samples.json"]


def test_files_of_other_programs_are_left_alone(spec: Spec, pieces: Tensor, tmp_path: Path) -> None:
    (tmp_path / "000001.wav").write_text("mine")
    (tmp_path / "strip.mid").write_text("mine")
    with pytest.raises(
        UserError, match=r"000001.wav was not written by AIGC Lab, or the JSON file .* is gone, .* move it, delete it, or"
    ):
        Music(spec).save([pieces[:2]], tmp_path, [0, 1], PROVENANCE)
    with pytest.raises(UserError, match=r"strip.mid was not written by AIGC Lab"):
        Music(spec).strip(pieces[None], tmp_path / "strip.png", PROVENANCE)
    assert names(tmp_path) == ["000001.wav", "strip.mid"]


def test_previews_and_interpolations(spec: Spec, pieces: Tensor, tmp_path: Path) -> None:
    music = Music(spec)
    music.preview(pieces, tmp_path / "plain.png")
    assert names(tmp_path) == ["plain.png"]
    for _ in range(2):  # the second time over its own files
        music.strip(pieces[None], tmp_path / "strip.png", PROVENANCE)
    assert names(tmp_path) == ["plain.png", "strip.json", "strip.mid", "strip.png", "strip.wav"]
    assert mido.MidiFile(tmp_path / "strip.mid").length == pytest.approx(3 * 4 + 2 * 2)  # bars of silence between
    music.preview(pieces, tmp_path / "strip.png", PROVENANCE)
    assert names(tmp_path) == ["plain.png", "strip.json", "strip.png"]
    assert music.listen(pieces, tmp_path / "step-7.png") == [tmp_path / "step-7.wav", tmp_path / "step-7.svg"]


def test_one_file_and_an_archive(spec: Spec, pieces: Tensor, tmp_path: Path) -> None:
    music = Music(spec)
    music.save_one(pieces[0], tmp_path / "one.mid", 5, PROVENANCE)
    assert np.array_equal(music.read(tmp_path / "one.mid", "prompt").symbols, pieces[0])
    assert json.loads((tmp_path / "one.json").read_text())["provenance"] == PROVENANCE
    music.save_archive(pieces, tmp_path / "all.npz", range(3), PROVENANCE)
    with np.load(tmp_path / "all.npz") as archive:
        assert np.array_equal(archive["tokens"], pieces)
        assert tuple(archive["names"]) == spec.x.names
        assert archive["seeds"].tolist() == [0, 1, 2]


def test_a_tune_ends_at_its_end_in_whole_bars() -> None:
    spec = tune_spec(classes=("4/4 major", "6/8 minor"))
    number = {name: place for place, name in enumerate(spec.x.names)}
    row = torch.full((65, 1), number[PAD])
    row[:21, 0] = torch.tensor([number["A4"], *[number[HOLD]] * 12, number[REST], *[number[HOLD]] * 6, number[END]])
    four, six = Music(spec).tunes(torch.stack([row, row]), torch.tensor([0, 1]))
    assert (four.metre, four.steps) == ("4/4", 32)
    assert (six.metre, six.steps) == ("6/8", 24)
    assert four.notes == (Note(0, 69, 0, 13),)
    empty = Music(spec).tune(torch.full((65, 1), number[END]).numpy())
    assert (empty.notes, empty.steps) == ((), 16)


def test_normalised_data_have_no_signature() -> None:
    """D dorian, which the estimate takes for D minor, is written without a flat."""
    spec = tune_spec(classes=("4/4 major", "4/4 minor"))
    music = Music(spec, normalised=True)
    scale = [Note(0, pitch, 4 * place, 4) for place, pitch in enumerate((62, 65, 69, 62, 65, 69, 71, 62))]
    x = torch.from_numpy(music.symbols.encode(scale, 65))
    assert [tune.key.fifths for tune in music.tunes(torch.stack([x, x]), torch.tensor([0, 1]))] == [0, 0]
    assert music.tunes(x[None])[0].title == "A minor, 4/4"
    assert music.with_settings(shift=2).tunes(x[None])[0].key == Key.of("Bm")


def test_tempo_key_and_words(spec: Spec, pieces: Tensor, tmp_path: Path) -> None:
    words = [syllable for line in read_lyrics("春眠不觉") for syllable in line]
    music = Music(spec).with_settings(tempo=60.0, key=Key.of("Bb"), words=words)
    assert music.tempo == 60
    (tune,) = music.tunes(pieces[:1])
    assert tune.title == "Bb major, 4/4"
    assert [note.pitch for note in tune.notes[:4]] == [70, 65, 62, 46]
    music.save_one(pieces[0], tmp_path / "song.mid", 0, PROVENANCE)
    file = mido.MidiFile(tmp_path / "song.mid", charset="utf-8")
    assert [message.text.strip() for message in file.tracks[1] if message.type == "lyrics"] == ["春", "眠", "不", "觉"]
    assert "Bb" in {message.key for message in file.tracks[0] if message.type == "key_signature"}
    (relative,) = Music(spec).with_settings(key=Key.of("Em")).tunes(pieces[:1])
    assert estimate_key(relative.notes) == Key.of("G")


def test_transposed_notes_stay_within_midi() -> None:
    symbols = Symbols.of(range(120, 128))
    music = Music(Spec({"x": Field("tokens", (16, 1), "int64", names=symbols.names)})).with_settings(shift=5)
    assert music.tune(symbols.encode([Note(0, 127, 0, 16)], 16)).notes[0].pitch == 120


def test_a_given_tune_is_moved_where_the_data_have_it(tmp_path: Path) -> None:
    """D major, above the data's pitches, to C major within them; and back by the shift."""
    high = Symbols.of(range(48, 110))
    other = Music(Spec({"x": Field("tokens", (32, 1), "int64", names=high.names)}))
    notes = [Note(0, 86 + step, 4 * place, 4) for place, step in enumerate((0, 4, 7, 4, 5, 2, 11, 0))]
    other.save_one(torch.from_numpy(high.encode(notes, 32)), tmp_path / "d.mid", 0, PROVENANCE)
    found = Music(tune_spec(), normalised=True).read(tmp_path / "d.mid", "prompt")
    assert found.shift == -14
    assert [note.pitch for note in Symbols(tune_spec().x.names).decode(found.symbols)] == [note.pitch - 14 for note in notes]
    narrow = Music(Spec({"x": Field("tokens", (32, 1), "int64", names=Symbols.of(range(60, 65)).names)}))
    with pytest.raises(UserError, match=r"melody=.*d.mid goes from D6 to C#7, and the data's pitches from C4 to E4") as error:
        narrow.read(tmp_path / "d.mid", "melody")
    assert "\n" not in str(error.value)


def test_a_given_tune_as_a_sample() -> None:
    music = Music(tune_spec(17))
    column = music.symbols.encode([Note(0, 60, 0, 8)], 8)
    assert [music.symbols.names[number] for number in music.fitted(column, "from=a.mid")[7:10, 0]] == [HOLD, END, PAD]
    with pytest.raises(UserError, match=r"from=a.mid has 17 sixteenths, and samples of this model 16: shorten it"):
        music.fitted(np.zeros((17, 1), np.int64), "from=a.mid")


@pytest.mark.parametrize("field", [Field("image", (1, 8, 8), "uint8"), Field("tokens", (5,), "int64", names=("a", "b"))])
def test_data_without_musical_symbols_are_refused(field: Field) -> None:
    with pytest.raises(UserError, match="choose another modality"):
        Music(Spec({"x": field}))


@pytest.mark.parametrize("x", [torch.zeros(2, 5, 1), torch.zeros(5, 1, dtype=torch.int64), torch.zeros(0, 5, 1).long()])
def test_what_is_no_music_is_refused(spec: Spec, tmp_path: Path, x: Tensor) -> None:
    with pytest.raises(UserError):
        Music(spec).preview(x, tmp_path / "x.png")
    assert names(tmp_path) == []
