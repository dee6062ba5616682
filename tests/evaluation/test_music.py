"""The suite with random walks, whose metrics are known or can be computed by loops."""

import json
import math
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from music_data import Walks, rolls
from torch import Tensor

from src.config.errors import UserError
from src.data.music.notes import Symbols
from src.data.spec import Batch, Field, Spec
from src.data.vocabulary import END
from src.evaluation.extractors.tunes import NAME
from src.evaluation.metrics.music.interpolation import crossfade
from src.evaluation.metrics.music.pieces import Pieces
from src.evaluation.music import MusicSuite
from src.evaluation.music_columns import CONTROL_NAMES
from src.evaluation.music_protocol import Reference, beat_steps, held_notes, noise, pieces_of, shuffled_bars
from src.evaluation.suite import plain_record
from src.models.model import Model

FD = f"fd_{NAME}"


class Copier(Model):
    """Draws training pieces in turn, or unseen ones whose melody is asked for. No likelihood."""

    def __init__(self, data: Any) -> None:
        super().__init__(data.spec, 0)
        self.data = data

    def conditions(self, seeds: Any) -> Batch:
        if "melody" not in self.spec.fields:
            return {}
        return {"melody": torch.full((len(seeds), *self.spec.fields["melody"].shape), -1)}

    def sample(self, seeds: Any, cond: Batch | None = None, weights: str = "ema") -> Tensor:
        split = self.data.split("train")
        rows = np.array(seeds) % len(split)
        if cond and (cond["melody"] >= 0).all():
            split = self.data.split("test")
            rows = np.array([split["melody"].tolist().index(melody) for melody in cond["melody"].tolist()])
        return self.spec.to_model({"x": torch.from_numpy(split.batch(rows)["x"])}, torch.float32)["x"]


class Scorer(Copier):
    """1 nat for HOLD, 2 for notes and END, 3 for other symbols; half of that where a melody is given."""

    def nll_by_symbol(self, batch: Batch) -> tuple[Tensor, Tensor]:
        x = batch["x"]
        names = self.spec.x.names
        of_symbol = torch.tensor([1.0 if name == "hold" else 3.0 if name in ("rest", "<pad>") else 2.0 for name in names])
        steps = torch.arange(x.shape[1]) < batch.get("length", torch.full((len(x),), x.shape[1]))[:, None]
        counted = steps[:, :, None].expand(x.shape)
        if "melody" in batch:
            counted = counted & (torch.arange(x.shape[2]) > 0)
        return of_symbol[x] * counted * (0.5 if "melody" in batch else 1), counted

    def nll(self, batch: Batch) -> tuple[Tensor, Tensor]:
        nats, counted = self.nll_by_symbol(batch)
        return nats.sum((1, 2)), counted.sum((1, 2))


def evaluate(model: Model, data: Any, cache: Path, **settings: Any) -> dict[str, Any]:
    record = MusicSuite(samples=12, cache=cache, **settings).evaluate(model, data, None, Path("unused"))
    return json.loads(json.dumps(plain_record(record)))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_a_melody(cache: Path) -> None:
    data = Walks()
    record = evaluate(Scorer(data), data, cache)
    found, controls = record["metrics"], record["controls"]
    x, names = data.split("test")["x"], data.spec.x.names
    hold, end = (names.index(name) for name in ("hold", END))
    notes = int((data.symbols.pitches[x] >= 0).sum())
    total = (x == hold).sum() + 2 * notes + 2 * (x == end).sum()
    steps = data.split("test")["length"].sum()
    assert found["nats"] == found["nats_frame"] == pytest.approx(total / steps)
    assert found["nats_onset"] == pytest.approx(total / notes)
    assert (record["protocol"]["voice_steps"], record["protocol"]["onsets"]) == (steps, notes)
    assert "parallels" not in found
    assert found["copied"] == 1 > controls["real"]["copied"]
    assert list(controls) == ["real", "ngram", "hold", "shuffled_bars", "uniform", "training_copies"]
    assert controls["ngram"]["nats"] < controls["hold"]["nats"] < controls["uniform"]["nats"]
    assert controls["uniform"]["nats"] == pytest.approx(math.log(len(names) - 1))
    assert controls["training_copies"]["copied"] == 1
    assert controls["real"][FD] < min(controls[name][FD] for name in ("hold", "uniform"))
    assert controls["real"]["overlap"] > controls["hold"]["overlap"]
    assert controls["shuffled_bars"]["overlap_duration"] == pytest.approx(controls["real"]["overlap_duration"], abs=0.01)
    keys = {column["key"] for column in record["columns"]}
    assert {"nats", "nats_frame", "nats_onset", FD, "overlap", "oa", "motif", "copied"} < keys <= set(found)
    assert MusicSuite().validate(Scorer(data), data) == pytest.approx(found["nats"], abs=0.1)
    assert set(controls) <= set(CONTROL_NAMES)


def test_four_voices(cache: Path) -> None:
    data = Walks(4, ends=False)
    record = evaluate(Scorer(data), data, cache)
    found, controls = record["metrics"], record["controls"]
    x, names = data.split("test")["x"], data.spec.x.names
    nats = np.where(x == names.index("hold"), 1, 2)
    assert found["nats"] == pytest.approx(nats.mean())
    assert found["nats_frame"] == pytest.approx(4 * nats.mean())
    assert found["harmony_nats"] == pytest.approx(nats[:, :, 1:].mean() / 2)
    assert found["harmony_nats_frame"] == pytest.approx(3 * found["harmony_nats"])
    assert controls["real"]["parallels"] > 0  # random walks know no rules
    rows = Reference(data, "test", 12, 10, "4/4").rows
    assert set(rows) <= set(range(16))
    for key in ("parallels", "crossings", "ranges", "ctnctr", "pcs", "mctd"):  # harmonies of the copier are the real ones
        assert 0.5 * controls["real"][key] <= found[f"harmony_{key}"] <= 2 * controls["real"][key]
        assert controls["real"][f"harmony_{key}"] == controls["real"][key]
    assert controls["other_bass"].keys() == controls["real"].keys()
    assert controls["ngram"]["harmony_nats"] < controls["uniform"]["harmony_nats"] == pytest.approx(math.log(len(names)))
    assert {"harmony_nats", "harmony_parallels", "harmony_ctnctr"} <= {column["key"] for column in record["columns"]}


def test_the_controls_are_cached(cache: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = Walks()
    first = evaluate(Scorer(data), data, tmp_path)
    assert "first, once for all runs" in capsys.readouterr().out
    assert evaluate(Scorer(data), data, tmp_path) == first
    assert not capsys.readouterr().out
    assert Reference(data, "test", 6, 10, "4/4").described != Reference(data, "test", 6, 10, "6/8").described


def test_data_in_all_keys_are_compared_in_one() -> None:
    data = Walks(4, ends=False)
    found = {}
    for transpose in (False, True):
        data.transpose = transpose  # type: ignore[attr-defined]
        reference = Reference(data, "test", 16, 10, "4/4")
        x = reference.unseen.x
        lower = Pieces(np.where(data.symbols.pitches[x] >= 0, x - 1, x), data.symbols.names)
        found[transpose] = [reference.measure(pieces) for pieces in (reference.unseen, lower)]
        assert ("C major" in reference.described["keys"]) == transpose
    as_they_are, in_one_key = ([metrics["overlap_pitch_class"] for metrics in found[key]] for key in (False, True))
    assert in_one_key[0] == pytest.approx(in_one_key[1])
    assert as_they_are[1] < 0.7 * as_they_are[0]


def test_bounds_are_marked(cache: Path) -> None:
    data = Walks(4, ends=False)

    class Bounded(Copier):
        bound = "ELBO"

        def tight_nll(self, batch: Batch) -> tuple[Tensor, Tensor]:
            return 100.0 * torch.ones(len(batch["x"])), torch.full((len(batch["x"]),), 256)

        nll = tight_nll

    record = evaluate(Bounded(data), data, cache)
    assert record["metrics"]["nats"] == pytest.approx(100 / 256)
    assert record["metrics"]["nats_frame"] == pytest.approx(100 / 64)
    assert "harmony_nats" not in record["metrics"]
    assert record["bounds"] == dict.fromkeys(("nats", "nats_frame", "nats_onset"), "ELBO")


def test_piano_rolls(cache: Path) -> None:
    """They have no likelihood: the main metric is the distance. The same music as symbols has the same metrics."""
    data, suite = rolls(), MusicSuite(samples=12, validation_samples=12, cache=cache)
    suite.check(data.spec)
    suite.check_model(Copier(data))
    assert suite.main == (FD, "lower")
    found = plain_record(suite.evaluate(Copier(data), data, None, Path("unused")))
    assert "ngram" not in found["controls"]
    assert "nats" not in found["metrics"]
    assert found["metrics"]["copied"] == 1
    assert suite.validate(Copier(data), data) > 0
    np.testing.assert_array_equal(
        pieces_of(data.split("test").batch(np.arange(4))["x"], data.spec).sounds,
        pieces_of(data.music.split("test")["x"][:4], data.music.spec).sounds,
    )


def test_interpolations(cache: Path) -> None:
    """Of a model that replaces one piece by the other."""
    data = Walks()

    class Between(Copier):
        def interpolate_between(self, a: Tensor, b: Tensor, steps: int, weights: str = "ema") -> Tensor:
            return torch.from_numpy(crossfade(a[None].numpy(), b[None].numpy(), steps)[0])

    record = evaluate(Between(data), data, cache)
    found, controls = record["metrics"], record["controls"]
    assert found["monotone"] == controls["crossfade"]["monotone"] == 1 > controls["crossfade_shuffled"]["monotone"]
    assert {"monotone", "monotone_steps", "changing_steps"} <= {column["key"] for column in record["columns"]}
    assert set(controls) <= set(CONTROL_NAMES)


def test_controls_of_one_piece() -> None:
    symbols = Symbols.of([60, 62], ends=True)
    hold, rest, c, d, end = (symbols.names.index(name) for name in ("hold", "rest", "C4", "D4", "<end>"))
    pieces = Pieces(np.array([[rest, c, hold, d, c, hold, rest, end]])[..., None], symbols.names)
    assert held_notes(pieces).x.ravel().tolist() == [rest, c, *[hold] * 5, end]
    random = np.random.default_rng(0)
    assert {tuple(shuffled_bars(pieces, 2, random).x.ravel()) for _ in range(99)} == {
        (*first, *second, *third, rest, end) for first, second, third in permutations([(rest, c), (hold, d), (c, hold)])
    }
    drawn = noise(pieces, random).x.ravel()
    assert drawn[-1] == end
    assert end not in drawn[:-1]


def test_what_it_refuses() -> None:
    with pytest.raises(UserError, match="measures music, not image"):
        MusicSuite().check(Spec.of("image", (1, 4, 4)))
    with pytest.raises(UserError, match="windows of two bars"):
        MusicSuite().check(Spec({"x": Field("tokens", (31, 1), "int64", names=("hold", "rest", "C4"))}))
    with pytest.raises(UserError, match="at least 2"):
        MusicSuite(samples=1)
    with pytest.raises(UserError, match="write it as"):
        MusicSuite(metre="waltz")
    with pytest.raises(UserError, match="and draws no samples"):
        MusicSuite().check_model(Model(Walks().spec, 0))
    assert [beat_steps(metre) for metre in ("4/4", "3/4", "6/8")] == [4, 4, 6]
