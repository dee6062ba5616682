"""What people type for music: settings that fit together, music of their own, tunes of a length."""

from collections.abc import Sequence
from functools import partial, wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from src.config.checks import validate
from src.config.command_line import LITERAL
from src.config.errors import UserError
from src.data.dataset import Arrays
from src.data.music.attributes import attribute
from src.data.music.keys import Key, estimate_key, to_key
from src.data.music.notes import HOLD, REST, Note, Symbols
from src.data.spec import Field, Spec
from src.data.vocabulary import END
from src.evaluation.metrics.music.pieces import Pieces
from src.evaluation.metrics.music.voice_leading import errors, ranges
from src.modalities.image import Image
from src.modalities.music.music import Music
from src.models.autoregressive import Autoregressive
from src.models.constraints import Endings, combined
from src.models.music_vae import MusicVAE
from src.models.tune_length import Length
from src.networks.decoder import decoder
from src.networks.music_vae import MusicVAE as MusicVAENetworks
from src.runs import tunes
from src.runs.folder import RunFolder
from src.runs.outputs import output_path
from src.training import rng

SYMBOLS = Symbols.of(range(36, 85))
PROVENANCE = {"model": "0" * 64}
NULLABLE = "n", "paths.data", "data.path"


@pytest.fixture(scope="module")
def defaults(compose: Any) -> dict[str, Any]:
    return compose("run=a", name="generate", nullable=NULLABLE)


@pytest.fixture
def asked(defaults: dict[str, Any]) -> Any:
    """asked("tempo=90", ...): the config of `python -m src.generate`; composing each would take half a second."""

    def composed(*words: str) -> dict[str, Any]:
        pairs = (word.partition("=") for word in words)
        literal = LITERAL["generate"]
        config = defaults | {key: value if key in literal else yaml.safe_load(value) for key, _, value in pairs}
        validate(config, NULLABLE)
        return config

    return composed


@pytest.fixture(scope="module")
def tune(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MIDI file of six bars in D major, whose notes go on over every bar line."""
    path = tmp_path_factory.mktemp("midi") / "d.mid"
    notes = [Note(0, 62 + step, 6 + 8 * place, 8) for place, step in enumerate((0, 4, 7, 5, 4, 2, 0, 9, 7, 2, 0))]
    music = Music(Spec({"x": Field("tokens", (96, 1), "int64", names=SYMBOLS.names)}))
    music.save_one(torch.from_numpy(SYMBOLS.encode(notes, 96)), path, 0, PROVENANCE)
    return path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tempo=10"], "tempo=10: must be a number from 20 to 400"),
        (["tempo=fast"], "tempo='fast': must be a number from 20 to 400"),
        (["key=H"], "key=H: write a major key as G or Bb, a minor key as Em or F#m"),
        (["bars=0"], "bars=0: must be a whole number of at least 1"),
        (["synth=moog"], "synth=moog is not known: known: fluidsynth, own"),
        (["melody=x.mid"], "melody=x.mid: there is no such file: name a .mid file"),
        (["melody=README.md"], "melody=README.md: this is no MIDI file, by its name"),
        (["lyrics=none.txt"], r"lyrics=none.txt: cannot read it \(No such file or directory\)"),
        (["lyrics=..."], "lyrics: there is no word to sing"),
        (["from={tune}"], "from= is one end of an interpolation: give from= and to="),
        (["from={tune}", "to={tune}"], "from= and to= are the ends of an interpolation: add interpolate=8"),
        (["from={tune}", "to={tune}", "interpolate=4", "n=2"], "one row between them: leave n= out"),
        (["interpolate=4", "bars=2"], "bars= is for samples and interpolate= makes a picture"),
        (["melody={tune}", "bars=2"], "melody= says how long the tunes are, or what they sing: leave bars= out"),
        (["lyrics=a", "prompt={tune}"], "lyrics= and prompt= both say how the tunes begin"),
        (["strength=2"], "strength= says how much of an attribute: add attribute=, or leave strength= out"),
        (["strength=high"], "strength='high': must be a"),
        (["attribute=higher", "interpolate=4"], "attribute= changes samples, or the tune of from=: leave interpolate= out"),
        (["attribute=higher", "from={tune}", "to={tune}"], "or the tune of from=: leave to= out"),
        (["attribute=higher", "from={tune}", "n=2"], "from= and attribute= make one tune: leave n= out"),
        (["format=npz", "key=G"], "key= is for what people hear, and format=npz holds symbols"),
        (["format=onnx", "tempo=90"], "format=onnx exports the network and draws no samples: leave tempo= out"),
    ],
)
def test_what_cannot_be_is_said_first(words: list[str], message: str, asked: Any, tune: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as error:
        output_path(asked(*(word.format(tune=tune) for word in words)), RunFolder(tmp_path))
    assert "\n" not in str(error.value)


class Noting(Autoregressive):
    """Also notes the melodies that it is given, and has something between two tunes."""

    @wraps(Autoregressive.sample)
    def sample(self, seeds: Sequence[int], cond: Any = None, **how: Any) -> Tensor:
        self.given = [*getattr(self, "given", []), *([cond["melody"]] if cond and "melody" in cond else [])]
        return super().sample(seeds, cond, **how)

    def interpolate_between(self, a: Tensor, b: Tensor, steps: int) -> Tensor:
        return torch.stack([a] * (steps - 1) + [b])


def model_of(spec: Spec, **settings: Any) -> Noting:
    """With random weights."""
    rng.seed_layers(0, -1)
    network = partial(decoder, width=8, depth=1, heads=1)
    return Noting(spec, 0, network, partial(torch.optim.AdamW, lr=1e-2), **settings)


def spec_of(*shape: int, classes: tuple[str, ...] = (), ends: bool = False, melody: bool = False) -> Spec:
    names = Symbols.of(range(36, 85), ends).names
    fields = {"x": Field("tokens", shape, "int64", names=names, rate=8.0)}
    fields |= {"y": Field("class", (), "int64", names=classes)} if classes else {}
    return Spec(fields | ({"melody": Field("tokens", shape[:1], "int64", names=names)} if melody else {}))


def test_tempo_and_key_change_what_is_shown_and_not_what_is_drawn(asked: Any) -> None:
    spec = spec_of(32, 1)
    typed = tunes.typed(model_of(spec), Music(spec), asked("tempo=90", "key=F#m"))
    x = typed.sample([0])
    assert torch.equal(x, model_of(spec).sample([0]))
    (shown,) = typed.modality.tunes(x)
    assert (shown.tempo, typed.record) == (90, {"tempo": 90, "key": "F#m"})
    before = SYMBOLS.decode(x[0].numpy())
    assert shown.notes[0].pitch - before[0].pitch == to_key(estimate_key(before), Key.of("F#m"))


def test_images_have_no_tempo(asked: Any) -> None:
    image = Image(Spec({"x": Field("image", (1, 8, 8), "uint8")}))
    for task in (lambda: tunes.typed(None, image, asked("tempo=90")), lambda: tunes.shown(image, asked("tempo=90"))):
        with pytest.raises(UserError, match="this model knows no tempo=, which is for music: leave it out"):
            task()


def test_text_has_nothing_to_do_with_music(asked: Any) -> None:
    spec = spec_of(32, 1)
    with pytest.raises(UserError, match="this model knows no heads=, which is for text: leave it out"):
        tunes.typed(model_of(spec), Music(spec), asked("heads=春夏"))


def test_parallels_are_masked_in_samples_and_in_harmonies(asked: Any, tune: Path) -> None:
    spec = spec_of(32, 2, melody=True)
    typed = tunes.typed(model_of(spec), Music(spec), asked("parallels=false", "bars=1"))
    assert typed.record == {"parallels": False, "bars": 1, "forced": ["parallels=false"]}
    assert typed.sample([0]).shape == (1, 16, 2)
    harmonised = tunes.typed(model_of(spec), Music(spec), asked("parallels=false", f"melody={tune}")).sample([0])
    pieces = Pieces(harmonised[:, :32].numpy(), spec.x.names)
    assert errors(pieces, ranges(pieces))["parallels"] == 0
    with pytest.raises(UserError, match="this model's music has one voice and no parallels"):
        tunes.typed(model_of(spec_of(32, 1)), Music(spec_of(32, 1)), asked("parallels=false"))


def test_a_tune_is_continued_in_its_own_key(asked: Any, tune: Path) -> None:
    spec = spec_of(128, 1)
    typed = tunes.typed(model_of(spec), Music(spec, normalised=True), asked(f"prompt={tune}"))
    x = typed.sample([0, 1])
    given = Music(spec, normalised=True).read(tune, "prompt")
    assert given.shift == -2
    assert torch.equal(x[1, : len(given.symbols)], torch.from_numpy(given.symbols))
    assert typed.modality.tunes(x)[0].notes[0].pitch == 62  # as it is in the file


def test_a_melody_of_any_length_is_harmonised_from_bar_to_bar(asked: Any, tune: Path) -> None:
    """Six bars by a model of two: its other windows begin with the notes that go on from those before."""
    spec = spec_of(32, 2, melody=True)
    model = model_of(spec)
    typed = tunes.typed(model, Music(spec), asked(f"melody={tune}", "tempo=80"))
    x = typed.sample([0, 1])
    assert x.shape == (2, 96, 2)
    assert [tuple(given.shape) for given in model.given] == [(2, 32)] * 3
    assert [int(SYMBOLS.pitches[given[0, 0]]) for given in model.given[1:]] == [62 + 5, 62 + 9]
    (shown, _) = typed.modality.tunes(x)
    melody = [note for note in shown.notes if note.voice == 0]
    expected = SYMBOLS.decode(Music(spec_of(96, 1)).read(tune, "melody").symbols)
    assert [note[1:] for note in melody] == [note[1:] for note in expected]
    assert shown.tempo == 80
    x[:, :, 1] = torch.from_numpy(SYMBOLS.encode([Note(0, 61, 0, 96)], 96)[:, 0])  # C# all the time
    moved = tunes.typed(model, Music(spec), asked(f"melody={tune}", "key=E")).modality
    keys = [music.tunes(x)[0].key.name for music in (Music(spec), typed.modality, moved)]
    assert keys == ["C# minor", "D major", "E major"]  # that of all voices; that of the melody; that which is asked for
    assert {note.pitch for note in moved.tunes(x)[0].notes if note.voice} == {63}
    with pytest.raises(UserError, match="this model harmonises no melody"):
        tunes.typed(model_of(spec_of(32, 2)), Music(spec_of(32, 2)), asked(f"melody={tune}")).sample([0])


def test_between_two_tunes(asked: Any, tune: Path) -> None:
    spec = spec_of(100, 1)
    words = f"from={tune}", f"to={tune}", "interpolate=3", "tempo=70"
    x, modality = tunes.between(model_of(spec), Music(spec), asked(*words))
    assert x.shape == (1, 3, 100, 1)
    assert modality.tempo == 70
    with pytest.raises(UserError, match=r"from=.*d.mid has 94 sixteenths, and samples of this model 64: shorten it"):
        tunes.between(model_of(spec_of(64, 1)), Music(spec_of(64, 1)), asked(*words))


def test_an_attribute_of_samples_and_of_a_given_tune(asked: Any, tune: Path) -> None:
    spec, music = spec_of(96, 1, classes=("major", "minor")), Music(spec_of(96, 1), normalised=True)
    rng.seed_layers(0, -1)
    model = MusicVAE(spec, 0, partial(MusicVAENetworks, z_dim=4, width=8, bars=6), partial(torch.optim.AdamW, lr=1e-2))
    names = spec.x.names
    x = torch.randint(1, len(names), (12, 96, 1), generator=torch.Generator().manual_seed(0))
    training = Arrays(x=x.numpy(), y=np.arange(12) % 2)
    lower = model.attribute_vector(x, *map(torch.from_numpy, attribute("lower", x.numpy(), names)))
    typed = tunes.typed(model, music, asked("attribute=lower", "strength=-2"), lambda: training)
    z = model.conditions([3, 4])["z"] - 2 * lower
    assert torch.equal(typed.sample([3, 4], weights="ema"), model.sample([3, 4], {"z": z}))
    minor = model.attribute_vector(x, torch.arange(12) % 2 == 1, torch.arange(12) % 2 == 0)
    typed = tunes.typed(model, music, asked("attribute=minor", f"from={tune}"), lambda: training)
    given = music.read(tune, "from")
    changed = model.with_attribute({"x": music.fitted(given.symbols, "")[None]}, minor)
    assert torch.equal(typed.sample([0], weights="ema"), changed)
    assert typed.modality.shift == -given.shift == 2
    assert (typed.record["attribute"], typed.record["strength"]) == ("minor", 1.0)
    with pytest.raises(UserError, match=r"attribute=waltz: must be more_notes, .* classes: major, minor"):
        tunes.typed(model, music, asked("attribute=waltz"), lambda: training)
    with pytest.raises(UserError, match="this model has no attribute vectors: take model=music_vae"):
        tunes.typed(model_of(spec_of(32, 1)), music, asked("attribute=higher"), lambda: training)


def test_bars_of_data_of_one_length_are_the_first_ones(asked: Any) -> None:
    spec = spec_of(32, 1)
    assert tunes.typed(model_of(spec), Music(spec), asked("bars=1")).sample([0]).shape == (1, 16, 1)
    with pytest.raises(UserError, match="bars=3: this model's tunes have 2 at most: ask for fewer"):
        tunes.typed(model_of(spec), Music(spec), asked("bars=3"))


def test_bars_of_tunes_that_end(asked: Any) -> None:
    """A constraint says where, by the metre of the class."""
    spec = spec_of(65, 1, classes=("4/4 major", "6/8 minor"), ends=True)
    with pytest.raises(UserError, match="bars= counts bars, and the metre of this model's tunes is that of their class"):
        tunes.typed(model_of(spec, conditional=True), Music(spec), asked("bars=2"))
    model = model_of(spec, conditional=True)
    typed = tunes.typed(model, Music(spec), asked("bars=2", "class=6/8 minor"))
    (rule,) = typed.sample.keywords["constraints"]
    assert rule.symbols == 24
    assert typed.record["forced"] == ["6 quarter notes"]
    (shown,) = typed.modality.tunes(typed.sample([0], {"y": torch.tensor([1])}), torch.tensor([1]))
    assert (shown.metre, shown.steps) == ("6/8", 24)
    with pytest.raises(UserError, match="bars= needs a model that draws note by note"):
        tunes.typed(
            SimpleNamespace(spec=spec, sample=len, conditions=model.conditions), Music(spec), asked("bars=2", "class=0")
        )


def test_a_song_for_given_words(asked: Any) -> None:
    """Ten syllables, two lines of two bars; where tunes have one length, the silence after them is not shown."""
    for spec in (spec_of(129, 1, ends=True), spec_of(128, 1)):
        model = model_of(spec)
        typed = tunes.typed(model, Music(spec), asked("lyrics=春眠不觉晓，处处闻啼鸟。"))
        (shown,) = typed.modality.tunes(typed.sample([0], top_k=3))
        assert (len(shown.notes), shown.steps) == (10, 64)
        assert "".join(syllable.text for syllable in shown.words) == "春眠不觉晓，处处闻啼鸟。"
        assert shown.notes[-1].pitch % 12 == 0  # the tonic
        assert typed.record["forced"] == ["lyrics of 2 lines"]


def test_a_length_allows_the_end_there_alone() -> None:
    spec = spec_of(9, 1, ends=True)
    names, endings = spec.x.names, Endings(spec)
    for place in range(6):
        prefix = torch.full((1, place), names.index(REST))
        allowed = combined([Length(5, spec)], endings, prefix)[0]
        assert allowed[names.index(END)] == (place == 5)
        assert allowed[names.index(HOLD)] == (place < 5)
