"""Chinese poems and songs of the Tang and Song dynasties, with their titles or tune patterns.

They come from the npm package chinese-poetry 2.0.1 (MIT licence; the texts themselves are in the public domain). Its archive
has 85 MB. What these data sets use is derived from it once, into small files (20 MB) whose SHA-256 are pinned here.
"""

import json
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from src.config.errors import UserError
from src.data.chinese_poetry_archive import CHARACTERS, COUNTS, DYNASTIES, SONGS, Row, derive, quatrains_file
from src.data.clients import NpmArchive
from src.data.dataset import SPLITS, Arrays
from src.data.held_out import digest
from src.data.sequences import Entry, Sequences
from src.data.sources import Derived, Mirror, Source, get
from src.data.spec import Spec

PACKAGE, ARCHIVE = "chinese-poetry@2.0.1", "chinese-poetry-2.0.1.tgz"
ARCHIVE_SHA256 = "25b549e46919c3a0569db6b68ddc96956b04a484ea4518ad2bbd4f137e307e86"


class ChinesePoetry:
    """What these data sets share: the derived files in one folder.

    folder: for the derived files; prepare() fills it. The archive may be put there by hand where there is no network.
    sources: where prepare() looks for missing files, in this order; None means `default_sources`.
    """

    name: str
    files: ClassVar[dict[str, str]] = {
        "tang_5.jsonl": "6613fb9185d32bbce1da4ce9b60a70da984ba7ba97c73a4182df43fa74aebbaa",
        "tang_7.jsonl": "11d6e4d01749f082fafd24b95da851bd8af3579973e28204d0e03205e1082f35",
        "song_5.jsonl": "5bbe039614326b78911142648a33555fec1b9f5473701a52ac79132077658059",
        "song_7.jsonl": "0454ef7adc9f65a715ed955b499ce368689502bd83171ca9f76226541da81a0a",
        "ci.jsonl": "9b7f98a03d5ef86380e50416d93b31f6e34dc1ee6c0e6e7de132710c77e235fd",
        "counts.json": "fbb8f3736cbb7ab51fa32ae243d2a46876fdb546fdb2a9400a054b060f52510f",
    }
    default_sources: ClassVar[tuple[Source, ...]] = (
        Derived(Mirror("https://registry.npmjs.org/chinese-poetry/-/", suffix=""), ARCHIVE, ARCHIVE_SHA256, derive),
        Derived(NpmArchive(PACKAGE), ARCHIVE, ARCHIVE_SHA256, derive),
    )

    def __init__(self, folder: str | Path, sources: Sequence[Source] | None = None) -> None:
        self.folder = Path(folder)
        self.sources = self.default_sources if sources is None else sources

    @property
    def used(self) -> list[str]:
        """The names of the derived files that the samples come from."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Check the derived files; if one is missing, get the archive and derive it (half a minute); raises UserError."""
        get(self.folder, self.files, self.sources)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of the derived files, as pinned here."""
        return {name: self.files[name] for name in self.used}

    @property
    def spec(self) -> Spec:
        """The vocabulary is read from the derived files, which are got if they are missing."""
        return self._sequences.spec

    def split(self, name: str) -> Arrays:
        """ "train", "validation" or "test"."""
        return self._sequences.splits[name]

    @cached_property
    def _sequences(self) -> Sequences:
        raise NotImplementedError

    def _texts(self) -> list[Row]:
        """The texts of all used files in the order of their SHA-256; a text that is in two files is there once."""
        self.prepare()
        texts: dict[str, Row] = {}
        for name in self.used:
            with open(self.folder / name, encoding="utf-8") as file:
                for line in file:
                    text = Row(*json.loads(line))
                    texts.setdefault(text.text, text)
        return sorted(texts.values(), key=lambda text: digest(text.text)) if len(self.used) > 1 else list(texts.values())

    def _counts(self) -> dict[str, int]:
        """The counts of the derivation, summed over the used files, which must be there."""
        counts = json.loads((self.folder / COUNTS).read_text())
        total: Counter[str] = Counter()
        for name in self.used:
            total.update({key: count for key, count in counts[name].items() if key not in SPLITS})
        return dict(total)


class Poems(ChinesePoetry):
    """Quatrains of five or seven characters a line, such as "白日依山盡，黃河入海流。欲窮千里目，更上一層樓。"

    The characters are the traditional ones. `x` is int64 [N, 4 (characters + 1) + 1], see Sequences. The splits are by hash of
    the text, about 90, 5 and 5 %, versions of one poem in the same.

    characters: of a line. dynasty: "tang", "song" or "both". See ChinesePoetry for the rest.
    """

    def __init__(
        self,
        folder: str | Path,
        characters: int = 5,
        dynasty: str = "tang",
        name: str = "poems",
        sources: Sequence[Source] | None = None,
    ) -> None:
        super().__init__(folder, sources)
        if characters not in CHARACTERS:
            raise UserError(f"characters={characters}: the lines of a poem have 5 or 7")
        if dynasty not in (*DYNASTIES, "both"):
            raise UserError(f"dynasty={dynasty}: must be tang, song or both")
        self.name, self.characters = name, characters
        self.dynasties = DYNASTIES if dynasty == "both" else (dynasty,)

    @property
    def used(self) -> list[str]:
        return [quatrains_file(dynasty, self.characters) for dynasty in self.dynasties]

    def notes(self) -> dict[str, int]:
        """Counts: poems of the archive and what was left out or changed, vocabulary, unknown characters."""
        sequences, counts = self._sequences, self._counts()
        samples = sum(len(split) for split in sequences.splits.values())
        counts["in_both_dynasties"] = counts["kept"] - samples - sequences.too_long
        return counts | sequences.notes()

    @cached_property
    def _sequences(self) -> Sequences:
        return self._of(self._texts())

    def _of(self, texts: Sequence[Row]) -> Sequences:
        entries = {name: [Entry(text.text) for text in texts if text.split == name] for name in SPLITS}
        return Sequences(entries, 4 * (self.characters + 1))


class Titles(Poems):
    """Quatrains with their titles: a poem given its title, or a title given its poem.

    direction: "title_to_poem" or "poem_to_title". title_length: poems with longer titles, in characters, are left out and
    counted. See Poems for the rest.
    """

    def __init__(
        self,
        folder: str | Path,
        direction: str = "title_to_poem",
        characters: int = 5,
        dynasty: str = "tang",
        title_length: int = 20,
        name: str = "titles",
        sources: Sequence[Source] | None = None,
    ) -> None:
        super().__init__(folder, characters, dynasty, name, sources)
        if direction not in ("title_to_poem", "poem_to_title"):
            raise UserError(f"direction={direction}: must be title_to_poem or poem_to_title")
        self.to_title, self.title_length = direction == "poem_to_title", title_length

    def _of(self, texts: Sequence[Row]) -> Sequences:
        pairs = {name: [(text.text, text.title) for text in texts if text.split == name] for name in SPLITS}
        poem_length = 4 * (self.characters + 1)
        if self.to_title:
            entries = {name: [Entry(title, poem) for poem, title in pairs[name]] for name in SPLITS}
            return Sequences(entries, self.title_length, poem_length)
        entries = {name: [Entry(poem, title) for poem, title in pairs[name]] for name in SPLITS}
        return Sequences(entries, poem_length, self.title_length)


class Songs(ChinesePoetry):
    """Song lyrics (ci) with their tune pattern, which prescribes the number of characters of each line, as class `y`.

    The characters are simplified ones, as in the source. `x` is int64 [N, length + 1], see Sequences. The splits are by hash of
    the text, about 90, 5 and 5 %, versions of one song in the same.

    length: songs with more characters, punctuation included, are left out and counted. pattern_songs: patterns with fewer
    songs are left out and counted. See ChinesePoetry for the rest.
    """

    name = "ci"

    def __init__(
        self, folder: str | Path, length: int = 128, pattern_songs: int = 20, sources: Sequence[Source] | None = None
    ) -> None:
        super().__init__(folder, sources)
        self.length, self.pattern_songs = length, pattern_songs

    @property
    def used(self) -> list[str]:
        return [SONGS]

    def notes(self) -> dict[str, int]:
        """Counts: songs of the archive and what was left out, patterns, vocabulary, unknown characters."""
        sequences = self._sequences  # makes the counts too
        return self._counts() | self._left_out | sequences.notes()

    @cached_property
    def _sequences(self) -> Sequences:
        songs = self._texts()
        short = [song for song in songs if len(song.text) <= self.length]
        frequency = Counter(song.title for song in short)
        patterns = sorted(frequency, key=lambda pattern: (-frequency[pattern], pattern))
        classes = tuple(pattern for pattern in patterns if frequency[pattern] >= self.pattern_songs)
        numbers = {pattern: number for number, pattern in enumerate(classes)}
        if len(classes) < 2:
            raise UserError(f"pattern_songs={self.pattern_songs}: fewer than two patterns have so many songs: lower it")
        rare = sum(song.title not in numbers for song in short)
        self._left_out = {"longer": len(songs) - len(short), "rare_pattern": rare, "patterns": len(classes)}
        entries = {
            name: [Entry(song.text, y=numbers[song.title]) for song in short if song.split == name and song.title in numbers]
            for name in SPLITS
        }
        return Sequences(entries, self.length, classes=classes)
