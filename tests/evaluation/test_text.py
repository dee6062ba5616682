"""The suite with data small enough to check by hand."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from src.config.errors import UserError
from src.data.dataset import SPLITS, Arrays
from src.data.sequences import Entry, Sequences
from src.data.spec import Batch, Spec
from src.evaluation.suite import plain_record
from src.evaluation.text import TextSuite
from src.evaluation.text_columns import CONTROL_NAMES
from src.evaluation.text_protocol import Reference, split_texts, texts_of
from src.models.model import Model

STORKS = "白日依山盡，黃河入海流。欲窮千里目，更上一層樓。"
DEER = "空山不見人，但聞人語響。返景入深林，復照青苔上。"
MOON = "床前明月光，疑是地上霜。舉頭望明月，低頭思故鄉。"
BIRDS = "春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少。"


class Four:
    """Four poems, with a source each."""

    name = "four"

    def __init__(self, sources: bool = False) -> None:
        parts = {"train": [STORKS, DEER], "validation": [MOON], "test": [MOON, BIRDS]}
        entries = {
            name: [Entry(text, source if sources else None) for text, source in zip(texts, ("甲乙", "乙甲"), strict=False)]
            for name, texts in parts.items()
        }
        self.sequences = Sequences(entries, 24, 2 if sources else None)
        self.spec = self.sequences.spec

    def prepare(self) -> None: ...

    def hashes(self) -> dict[str, str]:
        return {}

    def split(self, name: str) -> Arrays:
        return self.sequences.splits[name]


class Copier(Model):
    """2 nats for ends, 3 for other symbols; samples are the training texts, or the text whose source is asked for."""

    def __init__(self, data: Four) -> None:
        super().__init__(data.spec, 0)
        self.data = data

    def nll_by_symbol(self, batch: Batch) -> tuple[Tensor, Tensor]:
        x = batch["x"]
        counted = torch.arange(x.shape[1]) < batch["length"][:, None]
        return torch.where(x == 1, 2.0, 3.0) * counted, counted

    def nll(self, batch: Batch) -> tuple[Tensor, Tensor]:
        nats, counted = self.nll_by_symbol(batch)
        return nats.sum(1), counted.sum(1)

    def conditions(self, seeds: Any) -> Batch:
        names = [name for name in ("source", "source_length") if name in self.spec.fields]
        return {name: torch.zeros(len(seeds), *self.spec.fields[name].shape, dtype=torch.int64) for name in names}

    def sample(self, seeds: Any, cond: Batch | None = None, weights: str = "ema") -> Tensor:
        if cond:
            test = self.data.split("test")
            rows = [test["source"].tolist().index(source) for source in cond["source"].tolist()]
            return torch.from_numpy(test["x"][rows])
        return torch.from_numpy(self.data.split("train")["x"][np.array(seeds) % 2])


def evaluate(data: Four, cache: Path, **settings: Any) -> dict[str, Any]:
    record = TextSuite(samples=6, cache=cache, **settings).evaluate(Copier(data), data, None, Path("unused"))
    return json.loads(json.dumps(plain_record(record)))


def test_texts_of_tokens() -> None:
    names = ("<pad>", "<end>", "<unknown>", "a", "bc")
    x = np.array([[3, 4, 1, 3], [0, 2, 4, 3], [3, 3, 3, 3]])
    assert texts_of(x, names) == ["abc", "\ufffdbca", "aaaa"]
    assert texts_of(x, names, np.array([1, 4, 2])) == ["a", "\ufffdbca", "aa"]
    assert split_texts(Four().split("train"), Four().spec.x.names) == [STORKS, DEER]


def test_nats_per_character(tmp_path: Path) -> None:
    data = Four()
    record = evaluate(data, tmp_path)
    x = data.split("test")["x"]
    scored = int((x > 2).sum())  # training does not have most characters of the unseen poems: they are read, but not scored
    assert (x == 2).sum() == 48 - scored > 0
    assert record["metrics"]["nats"] == pytest.approx((3 * scored + 2 * 2) / (scored + 2))
    assert record["metrics"]["perplexity"] == pytest.approx(math.exp(record["metrics"]["nats"]))
    assert record["protocol"]["characters_scored"] == scored + 2
    assert TextSuite().validate(Copier(data), data) == pytest.approx(record["metrics"]["nats"], abs=0.1)


def test_copies_are_found_and_controls_are_there(tmp_path: Path) -> None:
    record = evaluate(Four(), tmp_path)
    found, controls = record["metrics"], record["controls"]
    assert (found["copied"], found["near_copies"], found["copied_ngram"], found["structure"], found["rhyme"]) == (
        1,
        1,
        24,
        1,
        1,
    )
    assert found["tones"] == 0.5
    assert found["self_bleu"] < 0.5  # in groups of two, as many as there are unseen texts: not of six that repeat each other
    assert list(controls) == ["real", "ngram_4", "bigram", "unigram", "lines_shuffled", "shuffled", "training_copies"]
    assert set(controls) <= set(CONTROL_NAMES)
    assert controls["real"]["copied"] == controls["real"]["near_copies"] == controls["shuffled"]["structure"] == 0
    assert controls["training_copies"]["copied"] == controls["real"]["structure"] == 1
    assert controls["shuffled"]["distinct_1"] == controls["real"]["distinct_1"]
    assert all(math.isfinite(controls[name]["nats"]) for name in ("ngram_4", "bigram", "unigram"))
    keys = {column["key"] for column in record["columns"]}
    assert {"fd_quatrain-cnn-1", "mauve_quatrain-cnn-1", "mauve_range_quatrain-cnn-1", "fd_pairs"} < keys <= set(found)
    assert all(keys <= set(controls[name]) for name in ("ngram_4", "bigram", "unigram"))
    assert record["protocol"]["features"].startswith("quatrain-cnn-1 (SHA-256 ")


def test_other_texts_are_compared_by_pairs_of_characters(tmp_path: Path) -> None:
    simplified = Four()
    simplified.sequences = Sequences({name: [Entry("黄龙见鸟乡，" * 2 + "两门东马车。" * 2)] * 2 for name in SPLITS}, 24)
    simplified.spec = simplified.sequences.spec
    record = evaluate(simplified, tmp_path)
    assert (
        record["protocol"]["features"] == "pairs of characters: the encoder of quatrains knows less than 98% of the characters"
    )
    keys = [column["key"] for column in record["columns"]]
    assert keys[:5] == ["nats", "perplexity", "mauve_pairs", "mauve_range_pairs", "fd_pairs"]
    assert keys.count("fd_pairs") == 1


def test_the_controls_are_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    first = evaluate(Four(), tmp_path)
    assert "first, once for all runs" in capsys.readouterr().out
    assert evaluate(Four(), tmp_path) == first
    assert not capsys.readouterr().out
    assert Reference(Four(), "test", 6, 10, 500).described != Reference(Four(), "validation", 6, 10, 500).described


def test_samples_for_given_sources(tmp_path: Path) -> None:
    """The copier writes the very text of the source, which the controls do not."""
    record = evaluate(Four(sources=True), tmp_path)
    found, controls = record["metrics"], record["controls"]
    assert (found["rouge_1"], found["rouge_l"]) == (1, 1)
    assert found["bleu"] == pytest.approx(100)
    assert controls["lead"]["rouge_l"] < 0.2
    assert controls["nearest"].keys() == controls["lead"].keys() == {"bleu", "chrf", "rouge_1", "rouge_2", "rouge_l"}
    assert controls["ngram_4"].keys() > controls["lead"].keys()
    assert controls["shuffled"]["rouge_1"] == 1 > controls["shuffled"]["rouge_l"]  # which tells that ROUGE-1 knows no order


class Drawer(Model):
    """Draws the training texts in turn, or the first one alone, and has no likelihood."""

    def __init__(self, data: Four, variety: int) -> None:
        super().__init__(data.spec, 0)
        self.data, self.variety = data, variety

    def conditions(self, seeds: Any) -> Batch:
        return {}

    def sample(self, seeds: Any, cond: Batch | None = None, weights: str = "ema") -> Tensor:
        return torch.from_numpy(self.data.split("train")["x"][np.array(seeds) % self.variety])


def test_a_model_without_likelihood(tmp_path: Path) -> None:
    """Its main metric is the distance of samples."""
    data, suite = Four(), TextSuite(samples=6, validation_samples=6, cache=tmp_path)
    suite.check_model(Drawer(data, 2))
    assert suite.main == ("fd_pairs", "lower")
    found = plain_record(suite.evaluate(Drawer(data, 2), data, None, Path("unused")))
    assert found["main"]["name"] == "fd_pairs"
    assert "nats" not in found["metrics"]
    assert suite.validate(Drawer(data, 2), data) < suite.validate(Drawer(data, 1), data)
    with pytest.raises(UserError, match="and draws no samples"):
        TextSuite().check_model(Model(data.spec, 0))


def test_what_it_refuses() -> None:
    with pytest.raises(UserError, match="tokens with a vocabulary, not image"):
        TextSuite().check(Spec.of("image", (1, 4, 4)))
    with pytest.raises(UserError, match="at least 2"):
        TextSuite(samples=1)
