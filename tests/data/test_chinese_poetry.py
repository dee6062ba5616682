"""Chinese poetry: what is derived from an archive in the package's format, and the data sets, from a few real poems.

The real derived files are tested where data/chinese_poetry has them: they come from a download of 85 MB, too much for each
run of the tests. python -m src.prepare data=poems gets them.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from src.config.errors import UserError
from src.data.chinese_poetry import ChinesePoetry, Poems, Songs, Titles
from src.data.chinese_poetry_archive import COUNTS, SONGS, Row, derive, to_lines
from src.data.dataset import SPLITS, Dataset, check_dataset
from src.data.held_out import digest, split_of
from src.data.sources import Derived, SourceError
from src.data.vocabulary import PAD

ROOT = Path(__file__).parents[2]
STORK = "白日依山盡，黃河入海流。欲窮千里目，更上一層樓。"
NIGHT = "牀前看月光，疑是地上霜。舉頭望山月，低頭思故鄉。"
DEER = "空山不見人，但聞人語響。返景入深林，復照青苔上。"
LOVE = "紅豆生南國，秋來發故枝。願君多采擷，此物最相思。"
SNOW = "千山鳥飛絕，萬徑人蹤滅。孤舟簑笠翁，獨釣寒江雪。"
SPRING = "春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少。"
PLUM = "牆角數枝梅，凌寒獨自開。遙知不是雪，爲有暗香來。"
BRIDGE = "月落烏啼霜滿天，江楓漁火對愁眠。姑蘇城外寒山寺，夜半鐘聲到客船。"
FALLS = "日照香爐生紫煙，遙看瀑布挂前川。飛流直下三千尺，疑是銀河落九天。"
HIGH = "朝辭白帝彩雲間，千里江陵一日還。兩岸猿聲啼不住，輕舟已過萬重山。"
DREAM = "常记溪亭日暮。沉醉不知归路。兴尽晚回舟，误入藕花深处。争渡。争渡。惊起一滩鸥鹭。"
RAIN = "昨夜雨疏风骤。浓睡不消残酒。试问卷帘人，却道海棠依旧。知否。知否。应是绿肥红瘦。"


def lines(text: str) -> list[str]:
    """As in the package: one entry for each sentence."""
    return [f"{sentence}。" for sentence in text.removesuffix("。").split("。")]


def poem(text: str, title: str = "無題", author: str = "無名氏") -> dict[str, Any]:
    return {"author": author, "paragraphs": lines(text), "title": title, "id": "0"}


def song(text: str, pattern: str) -> dict[str, Any]:
    return {"author": "李清照", "paragraphs": lines(text), "rhythmic": pattern}


def archive(path: Path, files: Mapping[str, list[dict[str, Any]]]) -> Path:
    """A package with these JSON files below dist/, and with others, which are not read."""
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, content in {
            **files,
            "quantangshi/error/poet.tang.9.json": None,
            "quantangshi/authors.tang.json": None,
        }.items():
            data = json.dumps(content).encode() if content is not None else b"no JSON"
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


PACKAGE = {
    "quantangshi/poet.tang.1000.json": [poem(STORK, "again"), poem(HIGH), poem(STORK.replace("日", "□"))],
    "quantangshi/poet.song.0.json": [poem(PLUM), poem(SNOW, "of the other dynasty"), poem(SNOW.replace("絕", "絶"))],
    "quantangshi/poet.tang.0.json": [
        poem(STORK.replace("流。", "流，"), "登鸛雀樓", "王之渙"),
        poem(NIGHT),
        poem(SNOW, "江雪"),
        poem(NIGHT + DEER),
        poem(""),
    ],
    "songci/ci.song.0.json": [
        song(DREAM, "如梦令"),
        song(RAIN, "如梦令"),
        song(DREAM, "again"),
        song("（缺词文）。", "水龙吟"),
    ],
    "songci/ci.song.2019y.json": [song("知否□", "如梦令"), song("知否", "失调名"), song("け知否", "如梦令")],
}


def read(data: bytes) -> list[Row]:
    return [Row(*json.loads(line)) for line in data.decode().splitlines()]


def test_what_is_derived_and_what_is_left_out(tmp_path: Path) -> None:
    files = derive(archive(tmp_path / "package.tgz", PACKAGE))
    counts = json.loads(files[COUNTS])
    tang = {text.text: text for text in read(files["tang_5.jsonl"])}
    assert tang.keys() == {STORK, NIGHT, SNOW}
    assert tang[STORK][1:3] == ("登鸛雀樓", "王之渙")  # the first by the number of the file, not by its place in the archive
    assert {text.text for text in read(files["song_5.jsonl"])} == {PLUM, SNOW, SNOW.replace("絕", "絶")}
    assert [text.text for text in read(files["tang_7.jsonl"])] == [HIGH]
    assert {text.text for text in read(files[SONGS])} == {DREAM, RAIN}
    left = {"poems": 8, "other_form": 3, "missing_characters": 1, "repeated": 1, "punctuation_normalised": 1, "kept": 3}
    assert {name: counts["tang_5.jsonl"][name] for name in left} == left
    left = {"songs": 7, "missing_characters": 1, "other_characters": 2, "no_pattern": 1, "repeated": 1, "kept": 2}
    assert {name: counts[SONGS][name] for name in left} == left


def test_versions_of_one_poem_are_in_one_split(tmp_path: Path) -> None:
    """Of 200 pairs of versions, which differ in one character, some are held out; and their order changes nothing."""
    four = [
        f"{chr(0x4E00 + n)}日依山盡，黃{chr(0x5E00 + n)}入海流。欲窮{chr(0x6E00 + n)}里目，更上一{chr(0x7E00 + n)}樓。"
        for n in range(200)
    ]
    other = [text.replace("樓", "楼") for text in four]
    first = derive(
        archive(
            tmp_path / "a.tgz",
            {"quantangshi/poet.tang.0.json": [*map(poem, four)], "quantangshi/poet.song.0.json": [*map(poem, other)]},
        )
    )
    second = derive(
        archive(
            tmp_path / "b.tgz",
            {"quantangshi/poet.tang.0.json": [*map(poem, four[::-1])], "quantangshi/poet.song.0.json": [*map(poem, other)]},
        )
    )
    assert first == second
    tang = {text.text: text.split for text in read(first["tang_5.jsonl"])}
    song = {text.text: text.split for text in read(first["song_5.jsonl"])}
    assert (
        [tang[text] for text in four]
        == [song[text] for text in other]
        == [split_of(min(pair)) for pair in zip(four, other, strict=True)]
    )
    assert set(tang.values()) == set(SPLITS)
    assert list(tang) == sorted(tang, key=digest)


EXCERPT = {
    "tang_5.jsonl": [
        Row("train", "登鸛雀樓", "王之渙", STORK),
        Row("validation", "相思", "王維", LOVE),
        Row("train", "靜夜思", "李白", NIGHT),
        Row("train", "鹿柴", "王維", DEER),
        Row("test", "春曉", "孟浩然", SPRING),
        Row("train", "江雪", "柳宗元", SNOW),
    ],
    "song_5.jsonl": [Row("train", "梅花", "王安石", PLUM), Row("train", "雪", "無名氏", SNOW)],
    "tang_7.jsonl": [Row(split, "無題", "無名氏", text) for split, text in zip(SPLITS, (HIGH, BRIDGE, FALLS), strict=True)],
    "song_7.jsonl": [],
    SONGS: [
        Row("train", "如梦令", "李清照", DREAM),
        Row("validation", "如梦令", "李清照", RAIN),
        Row("test", "如梦令", "李清照", RAIN.replace("昨", "前")),
        Row("train", "十六字令", "蔡伸", "天。休使圆蟾照客眠。人何在，桂影自婵娟。"),
        Row("train", "十六字令", "周玉晨", "眠。月影穿窗白玉钱。无人弄，移过枕函边。"),
        Row("train", "长调", "无名氏", DREAM + RAIN),
        Row("train", "孤调", "无名氏", "知否。"),
    ],
}
FILES = {name: to_lines(texts) for name, texts in EXCERPT.items()}
FILES[COUNTS] = json.dumps({name: {"poems": 9, "kept": len(texts), "train": 4} for name, texts in EXCERPT.items()}).encode()
PINS = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}


class SmallPoems(Poems):
    files: ClassVar = PINS


class SmallTitles(Titles):
    files: ClassVar = PINS


class SmallSongs(Songs):
    files: ClassVar = PINS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def strings(data: Any, split: str, field: str = "x") -> list[str]:
    vocabulary = data._sequences.vocabulary
    assert vocabulary.names == data.spec.fields[field].names
    return [vocabulary.decode(row) for row in data.split(split)[field].tolist()]


def test_poems(folder: Path) -> None:
    data: Dataset = SmallPoems(folder)
    data.prepare()
    check_dataset(data)
    assert (data.name, data.spec.shape) == ("poems", (25,))
    assert strings(data, "train") == [STORK, NIGHT, DEER, SNOW]
    assert data.split("train")["length"].tolist() == [25] * 4
    assert PAD not in [data.spec.x.names[token] for token in data.split("train")["x"].flat]
    assert data.hashes() == {"tang_5.jsonl": PINS["tang_5.jsonl"]}
    assert [len(data.split(name)) for name in SPLITS] == [4, 1, 1]
    assert SmallPoems(folder, characters=7, name="poems_seven").spec.shape == (33,)


def test_a_poem_of_both_dynasties_is_there_once(folder: Path) -> None:
    data = SmallPoems(folder, dynasty="both")
    assert strings(data, "train") == sorted([STORK, NIGHT, DEER, SNOW, PLUM], key=digest)
    assert data.notes()["in_both_dynasties"] == 1
    assert (data.notes()["poems"], data.notes()["kept"]) == (18, 8)
    assert "train" not in data.notes()
    assert data.hashes().keys() == {"tang_5.jsonl", "song_5.jsonl"}


def test_titles_in_both_directions(folder: Path) -> None:
    data = SmallTitles(folder, title_length=4)
    check_dataset(data)
    assert strings(data, "train")[0] == STORK
    assert strings(data, "train", "source") == ["登鸛雀樓", "靜夜思", "鹿柴", "江雪"]
    assert data.split("train")["source_length"].tolist() == [5, 4, 3, 3]
    turned = SmallTitles(folder, direction="poem_to_title", title_length=3)
    check_dataset(turned)
    assert strings(turned, "train") == ["靜夜思", "鹿柴", "江雪"]
    assert strings(turned, "train", "source")[0] == NIGHT
    assert turned.notes()["too_long"] == 1


def test_songs_and_their_patterns(folder: Path) -> None:
    data = SmallSongs(folder, length=60, pattern_songs=2)
    check_dataset(data)
    assert data.spec.classes == ("如梦令", "十六字令")  # by their number of songs
    assert data.split("train")["y"].tolist() == [0, 1, 1]
    assert strings(data, "train")[0] == DREAM
    assert data.split("train")["length"].tolist() == [len(text) + 1 for text in strings(data, "train")]
    assert {key: data.notes()[key] for key in ("longer", "rare_pattern", "patterns")} == {
        "longer": 1,
        "rare_pattern": 1,
        "patterns": 2,
    }


def test_two_readings_are_the_same(folder: Path) -> None:
    a, b = SmallPoems(folder), SmallPoems(folder)
    assert a.spec == b.spec
    assert np.array_equal(a.split("train")["x"], b.split("train")["x"])


def test_errors_are_one_line(folder: Path) -> None:
    for settings, words in {"characters=6": "have 5 or 7", "dynasty=ming": "tang, song or both"}.items():
        key, _, value = settings.partition("=")
        with pytest.raises(UserError, match=words):
            SmallPoems(folder, **{key: int(value) if value.isdigit() else value})
    with pytest.raises(UserError, match="title_to_poem or poem_to_title"):
        SmallTitles(folder, direction="up")
    with pytest.raises(UserError, match="fewer than two patterns"):
        _ = SmallSongs(folder, pattern_songs=100).spec
    with pytest.raises(UserError, match="no text is left for train and validation and test"):
        _ = SmallPoems(folder, characters=7, dynasty="song").spec
    (folder / "tang_5.jsonl").write_text("mine")
    with pytest.raises(UserError, match="is damaged or another file"):
        SmallPoems(folder).prepare()


class Nowhere:
    def fetch(self, folder: Path, files: Mapping[str, str]) -> None:
        raise SourceError("no network")


def test_the_archive_may_lie_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "chinese_poetry"
    folder.mkdir()
    path = archive(folder / "package.tgz", PACKAGE)
    made = derive(path)

    class Small(Poems):
        files: ClassVar = {name: hashlib.sha256(data).hexdigest() for name, data in made.items()}

    source = Derived(Nowhere(), "package.tgz", hashlib.sha256(path.read_bytes()).hexdigest(), derive)
    Small(folder, sources=[source]).prepare()
    assert {name: (folder / name).read_bytes() for name in made} == made
    assert path.is_file()


def test_the_real_files() -> None:
    """Counts of the whole data set, and that no held-out poem shares half of its lines with a training poem."""
    folder = ROOT / "data" / "chinese_poetry"
    if not all((folder / name).is_file() for name in ChinesePoetry.files):
        pytest.skip("data/chinese_poetry is not there: python -m src.prepare data=poems gets it (85 MB)")
    tang, both = Poems(folder), Poems(folder, dynasty="both")
    tang.prepare()
    check_dataset(tang)
    assert [len(tang.split(name)) for name in SPLITS] == [3429, 177, 185]
    assert STORK in strings(tang, "train") + strings(tang, "validation") + strings(tang, "test")
    notes = both.notes()
    assert (notes["kept"], notes["in_both_dynasties"], notes["too_long"]) == (3791 + 13078, 27, 0)
    texts = {name: strings(both, name) for name in SPLITS}
    halves: dict[str, set[int]] = {}
    for number, text in enumerate(texts["train"]):
        for line in text.replace("。", "，").split("，")[:4]:
            halves.setdefault(line, set()).add(number)
    for text in texts["validation"] + texts["test"]:
        found = [number for line in text.replace("。", "，").split("，")[:4] for number in halves.get(line, ())]
        assert len(found) == len(set(found)) or text.count(text[:6]) > 1, text
    songs = Songs(folder)
    check_dataset(songs)
    assert (len(songs.spec.classes), len(songs.split("train"))) == (112, 13347)
