"""The data sets of the music21 package, from a few pieces, and from the real derived files where data/music has them.

The derivation takes a minute and a package that only it needs: python -m src.prepare data=folk makes the files.
"""

import hashlib
import io
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from src.config.errors import UserError
from src.data.dataset import SPLITS, Dataset, check_dataset
from src.data.music.archive import derive_chorales
from src.data.music.chorales import Chorales
from src.data.music.folk import Collection, Essen, Folk
from src.data.music.notes import Note, Symbols, pitch_name, sounding
from src.data.music.pieces import Piece, bar_windows, described, melody_windows, placed, read_pieces, to_lines
from src.data.music.rolls import Rolls
from src.data.music.windows import shifted, windows

ROOT = Path(__file__).parents[3]
REST_OF_A_BAR = 12


def melody(pitches: list[int], metre: str = "4/4", mode: str = "major", split: str = "train", step: int = 4) -> Piece:
    """A note for each pitch, one every `step` steps, after an anacrusis of one."""
    notes = [Note(0, pitch, REST_OF_A_BAR + step * n, step) for n, pitch in enumerate(pitches)]
    end = REST_OF_A_BAR + step * len(pitches)
    return Piece(split, "mine", "title", metre, "C", mode, 0, end + -end % (12 if metre == "6/8" else 16), notes)


def random_pitches(seed: int, count: int = 33) -> list[int]:
    return np.random.default_rng(seed).integers(60, 76, count).tolist()


TUNES = [
    melody(random_pitches(seed), metre, mode, split)
    for seed, (metre, mode, split) in enumerate(
        [(metre, mode, split) for metre in ("4/4", "2/2", "6/8") for mode in ("major", "minor") for split in SPLITS]
    )
]
LONG = melody(random_pitches(99, 80))
RARE = melody(random_pitches(98), "3/4")


def quartet(seed: int, split: str, low: int = 40) -> Piece:
    notes = []
    for voice in range(4):
        melody_notes = melody([p + 12 * (2 - voice) for p in random_pitches(10 * seed + voice, 25)]).notes
        notes += [note._replace(voice=voice) for note in melody_notes]
    return Piece(split, "bach", f"BWV {seed}", "4/4", "C major", "major", 0, 112, sorted(notes, key=lambda note: note.start))


FILES = {
    "folk.jsonl": to_lines([*TUNES, LONG, RARE]),
    "folk_counts.json": json.dumps({"tunes": 99, "train": 1}).encode(),
    "chorales.jsonl": to_lines([quartet(seed, split) for seed, split in enumerate(("train", "train", *SPLITS))]),
    "chorales_counts.json": json.dumps({"chorales": 9}).encode(),
}
PINS = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}


class SmallFolk(Folk):
    files: ClassVar = PINS


class SmallChorales(Chorales):
    files: ClassVar = PINS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_whole_tunes(folder: Path) -> None:
    data: Dataset = SmallFolk(folder, fewest=1, length=160)
    data.prepare()
    check_dataset(data)
    assert data.spec.classes == ("4/4 major", "4/4 minor", "3/4 major", "6/8 major", "6/8 minor")
    assert data.spec.shape == (161, 1)
    assert data.hashes() == {"folk.jsonl": PINS["folk.jsonl"]}
    train = data.split("train")
    symbols = Symbols(data.spec.x.names)
    expected = [piece for piece in [*TUNES, RARE] if piece.split == "train"]
    assert len(train) == len(expected)
    for x, length, y, piece in zip(train["x"], train["length"], train["y"], expected, strict=True):
        assert symbols.decode(x) == piece.notes
        assert symbols.length(x) == length - 1 == piece.steps
        assert [symbols.names[n] for n in x[length - 1 : length + 1, 0]] == ["<end>", "<pad>"]
        assert data.spec.classes[y].endswith(piece.mode)
    assert {name: data.notes()[name] for name in ("tunes", "too_long", "rare_metre_or_mode")} == {  # type: ignore[attr-defined]
        "tunes": 99,
        "too_long": 1,
        "rare_metre_or_mode": 0,
    }


def test_a_rare_metre_is_left_out(folder: Path) -> None:
    data = SmallFolk(folder, fewest=2, length=160)
    assert data.spec.classes == ("4/4 major", "4/4 minor")
    assert (data.notes()["rare_metre_or_mode"], len(data.split("test"))) == (7, 4)


def test_windows_of_bars(folder: Path) -> None:
    data = SmallFolk(folder, bars=2)
    check_dataset(data)
    assert data.spec.shape == (32, 1)
    assert data.spec.classes == ("major", "minor")
    assert not {"<pad>", "<end>"} & set(data.spec.x.names)
    sizes = [len(data.split(name)) for name in SPLITS]
    assert sizes == [4 * 8 + 20, 4 * 4, 4 * 4]  # 9 bars: 8 windows of training, 4 others; the long tune has 21 bars
    assert data.split("train")["y"].tolist() == [0] * 8 + [1] * 8 + [0] * 8 + [1] * 8 + [0] * 20
    assert SmallFolk(folder, bars=2, metre="6/8").spec.shape == (24, 1)
    for wrong, words in (
        ({"bars": 30}, "no tune of 30 bars"),
        ({"bars": 1, "metre": "5/4"}, "choose 4/4"),
        ({"bars": -1}, "0 for"),
    ):
        with pytest.raises(UserError, match=words):
            _ = SmallFolk(folder, **wrong).spec


def test_windows_by_brute_force() -> None:
    """Each window sounds as the piece does there, and its notes begin where those of the piece do, or at its first step."""
    piece = melody(random_pitches(5), step=6)
    symbols = Symbols.of(range(60, 76))
    encoded = symbols.encode(piece.notes, piece.steps)
    for stride in (1, 2, 3):
        found = windows(piece, symbols, 2, 1, stride)
        starts = [*range(0, piece.steps - 31, 16 * stride)]
        assert len(found) == len(starts)
        for window, start in zip(found, starts, strict=True):
            assert np.array_equal(sounding(window, symbols.names), sounding(encoded, symbols.names)[start : start + 32])
            assert np.array_equal(window[1:], encoded[start + 1 : start + 32])
            assert symbols.names[window[0, 0]] != "hold"
    assert len(windows(piece, symbols, 20, 1, 1)) == 0


def test_transposition() -> None:
    symbols = Symbols.of([60, 70])
    x = symbols.encode([Note(0, 60, 2, 2), Note(0, 64, 8, 3)], 16)
    assert symbols.decode(shifted(x, symbols, 3)) == [Note(0, 63, 2, 2), Note(0, 67, 8, 3)]
    assert np.array_equal(shifted(shifted(x, symbols, 6), symbols, -6), x)
    with pytest.raises(ValueError, match="out of the vocabulary"):
        shifted(x, symbols, 7)


def test_chorales(folder: Path) -> None:
    data: Any = SmallChorales(folder)
    data.prepare()
    check_dataset(data)
    assert data.spec.shape == (64, 4)
    for name in SPLITS:
        assert np.array_equal(data.split(name)["x"][:, :, 0], data.split(name)["melody"])
    assert len(data.split("test")) == 1  # 7 bars: one window of four
    symbols = Symbols(data.spec.x.names)
    plain = SmallChorales(folder, transpose=False).split("train")["x"]
    assert len(plain) == 3 * 4
    train = data.split("train")["x"]
    heard = sounding(train.transpose(1, 0, 2).reshape(64, -1), symbols.names).reshape(64, -1, 4)
    for voice, (low, high) in enumerate(data.ranges):
        pitches = heard[:, :, voice][heard[:, :, voice] >= 0]
        assert low <= pitches.min() <= pitches.max() <= high
    # Every window is an untransposed one, moved by one number of semitones.
    bases = {described(_as_piece(symbols.decode(x))) for x in plain}
    assert {described(_as_piece(symbols.decode(x))) for x in train} == bases
    assert len(train) >= len(plain)


def _as_piece(notes: list[Note]) -> Piece:
    return Piece("", "", "", "4/4", "", "", 0, 64, notes)


def test_versions_are_in_one_split() -> None:
    tunes = [melody(random_pitches(seed)) for seed in range(60)]
    moved = [tune._replace(notes=[note._replace(pitch=note.pitch + 2) for note in tune.notes]) for tune in tunes]
    edited = [tune._replace(notes=[*tune.notes[:12], tune.notes[12]._replace(pitch=80), *tune.notes[13:]]) for tune in moved]
    named = [piece._replace(title=f"{n % 60}") for n, piece in enumerate(tunes + edited)]
    counts = Counter[str]()
    found = placed(named, bar_windows, counts)
    split = {}
    for piece in found:
        assert split.setdefault(piece.title, piece.split) == piece.split
    assert (counts["repeated"], counts["related"], counts["kept"]) == (0, 60, 120)
    assert [counts[name] for name in SPLITS] == [108, 6, 6]
    assert placed(named[::-1], bar_windows, Counter()) == found
    again = Counter[str]()
    placed(tunes + moved, bar_windows, again)
    assert again["repeated"] == 60
    assert melody_windows(tunes[0]) & melody_windows(edited[0])
    assert not melody_windows(tunes[0]) & melody_windows(tunes[1])


def test_files_keep_pieces(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(FILES["folk.jsonl"])
    assert read_pieces(tmp_path / "a.jsonl") == [*TUNES, LONG, RARE]


def score(parts: int = 4) -> bytes:
    """An .mxl file: an anacrusis, a tied note, a rest and a complete bar in each part."""
    note = "<note><pitch><step>{}</step>{}<octave>4</octave></pitch><duration>{}</duration>{}</note>"
    part = (
        '<part id="P"><measure number="0"><attributes><divisions>2</divisions><key><fifths>-1</fifths><mode>minor</mode></key>'
        "<time><beats>4</beats><beat-type>4</beat-type></time></attributes>"
        + note.format("D", "", 2, "")
        + '</measure><measure number="1">'
        + note.format("B", "<alter>-1</alter>", 8, '<tie type="start"/>')
        + '</measure><measure number="2">'
        + note.format("B", "<alter>-1</alter>", 3, '<tie type="stop"/>')
        + note.format("B", "<alter>-1</alter>", 1, "")
        + "<note><rest/><duration>2</duration></note></measure></part>"
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("META-INF/container.xml", '<container><rootfile full-path="a.xml"/></container>')
        archive.writestr("a.xml", f"<score-partwise>{part * parts}</score-partwise>")
    return buffer.getvalue()


def test_chorales_of_a_wheel(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr("music21/corpus/bach/bwv1.6.mxl", score())
        archive.writestr("music21/corpus/bach/bwv2.6.mxl", score(5))
        archive.writestr("music21/corpus/bach/bwv3.krn", "another format")
    files = derive_chorales(tmp_path / "a.whl")
    (tmp_path / "chorales.jsonl").write_bytes(files["chorales.jsonl"])
    assert json.loads(files["chorales_counts.json"])["other_numbers_of_parts"] == 1
    (piece,) = read_pieces(tmp_path / "chorales.jsonl")
    assert piece[1:8] == ("bach", "BWV 1.6", "4/4", "D minor", "minor", 0, 48)
    soprano = [note for note in piece.notes if note.voice == 0]
    assert soprano == [Note(0, 62, 12, 4), Note(0, 70, 16, 22), Note(0, 70, 38, 2)]
    assert [note.voice for note in piece.notes[:4]] == [0, 1, 2, 3]


def test_rolls_of_folk(folder: Path) -> None:
    data: Dataset = Rolls(SmallFolk(folder, bars=2))
    data.prepare()
    check_dataset(data)
    pitches = len(data.spec.x.names)
    assert data.spec.shape == (2, 32, pitches)
    assert (data.spec.x.levels, data.spec.x.names[0]) == (2, pitch_name(60))
    assert data.spec.classes == ("major", "minor")
    with pytest.raises(UserError, match="one length"):
        Rolls(SmallFolk(folder))


def real(kind: type[Collection], name: str, **settings: Any) -> Any:
    data = kind(ROOT / "data" / name, sources=[], **settings)  # type: ignore[call-arg]
    try:
        data.prepare()
    except UserError as error:
        pytest.skip(str(error))
    return data


def test_the_real_tunes() -> None:
    data = real(Folk, "music")
    check_dataset(data)
    assert {piece.source for piece in data.pieces} == {"O'Neill", "Aird", "Ryan"}
    lengths = data.split("train")["length"]
    assert lengths.max() <= 289
    for piece in data.pieces:
        first = min(note.start for note in piece.notes)
        assert first < 24, piece  # a note begins in the first bar
    shares = [len(data.split(name)) / sum(len(data.split(other)) for other in SPLITS) for name in SPLITS]
    assert 0.87 < shares[0] < 0.93


def test_the_real_chorales() -> None:
    data = real(Chorales, "music")
    check_dataset(data)
    assert data.ranges.tolist() == sorted(data.ranges.tolist(), reverse=True)  # soprano to bass
    heard = sounding(data.split("test")["x"].transpose(1, 0, 2).reshape(64, -1), data.spec.x.names)
    assert (heard < 0).mean() < 0.1  # anacruses and ends are silent


def test_essen_says_its_licence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError):
        Essen(tmp_path, sources=[]).prepare()
    assert capsys.readouterr().out.startswith("NON-COMMERCIAL")
