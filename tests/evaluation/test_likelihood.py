"""Against counts and copies found by hand."""

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from src.config.errors import UserError
from src.data.dataset import Arrays
from src.data.loader import Blocks
from src.data.spec import Batch, Field, Spec
from src.data.text import Text
from src.evaluation import likelihood, scoring
from src.evaluation.likelihood import LikelihoodSuite
from src.evaluation.scoring import subset
from src.models.autoregressive import Autoregressive
from src.models.model import Model
from src.networks.decoder import Decoder
from src.training import rng


class Tokens:
    """A data set of given arrays."""

    name = "tokens"

    def __init__(self, names: str, length: int, **splits: dict[str, np.ndarray]) -> None:
        self.spec = Spec({"x": Field("tokens", (length,), "int64", tuple(names))})
        self.splits = splits

    def prepare(self) -> None: ...

    def hashes(self) -> dict[str, str]:
        return {}

    def split(self, name: str) -> Arrays:
        return Arrays(**self.splits[name])


class OneOrTwo(Model):
    """1 nat for every 0, 2 for other symbols."""

    def nll(self, batch: Batch) -> tuple[Tensor, Tensor]:
        assert not batch["x"].is_floating_point()
        nats = torch.where(batch["x"] == 0, 1.0, 2.0)
        length = batch.get("length", torch.full_like(batch["x"][:, 0], batch["x"].shape[1]))
        counted = torch.arange(batch["x"].shape[1]) < length[:, None]
        return (nats * counted).sum(1), length


def tiny() -> Tokens:
    x = np.array([[0, 1, 0], [1, 1, 0]])
    test = np.array([[0, 1, 2], [0, 0, 0]])
    return Tokens("abc", 3, train={"x": x}, validation={"x": test[1:]}, test={"x": test})


def evaluate(suite: LikelihoodSuite, model: Model, data: Any) -> dict[str, Any]:
    record = suite.evaluate(model, data, None, Path("unused"))
    return json.loads(json.dumps(record))


def test_a_sum_divided_by_a_sum() -> None:
    x = np.array([[0, 0, 0], [1, 1, 1]])
    data = Tokens("ab", 3, train={"x": x}, validation={"x": x}, test={"x": x, "length": np.array([3, 1])})
    record = evaluate(LikelihoodSuite(), OneOrTwo(data.spec, 0), data)
    assert record["metrics"]["nats"] == 5 / 4  # not (1 + 2) / 2
    assert math.isclose(record["metrics"]["bits"], 1.25 / math.log(2))
    assert math.isclose(record["metrics"]["perplexity"], math.exp(1.25))
    assert (record["protocol"]["samples"], record["protocol"]["symbols"]) == (2, 4)
    assert LikelihoodSuite().validate(OneOrTwo(data.spec, 0), data) == 1.5


def test_baselines_by_hand() -> None:
    """Training is aba, bba: c(a) = c(b) = 3; starts: a, b; after a: b; after b: a, b, a."""
    record = evaluate(LikelihoodSuite(), OneOrTwo(tiny().spec, 0), tiny())
    p = {"a": 4 / 9, "b": 4 / 9, "c": 1 / 9}
    start = {s: (n + 2 * p[s]) / (2 + 2) for s, n in {"a": 1, "b": 1, "c": 0}.items()}
    after_a = {s: (n + p[s]) / (1 + 1) for s, n in {"a": 0, "b": 1, "c": 0}.items()}
    after_b = {s: (n + 2 * p[s]) / (3 + 2) for s, n in {"a": 2, "b": 1, "c": 0}.items()}
    for model in (p, start, after_a, after_b):
        assert math.isclose(sum(model.values()), 1)
    bigram = [start["a"], after_a["b"], after_b["c"], start["a"], after_a["a"], after_a["a"]]
    unigram = [p["a"], p["b"], p["c"], p["a"], p["a"], p["a"]]
    controls = record["controls"]
    assert list(controls) == ["bigram", "unigram", "uniform"]
    assert set(record["control_names"]) == set(controls)
    assert math.isclose(controls["bigram"]["nats"], -np.log(bigram).mean())
    assert math.isclose(controls["unigram"]["nats"], -np.log(unigram).mean())
    assert math.isclose(controls["uniform"]["nats"], math.log(3))
    assert math.isclose(controls["uniform"]["perplexity"], 3)
    assert [column["key"] for column in record["columns"]] == ["nats", "bits", "perplexity"]
    assert record["main"] == {"name": "nats", "better": "lower"}


def test_after_a_symbol_that_training_lacks_the_bigram_model_is_the_unigram_model() -> None:
    data = tiny()
    data.splits["test"] = {"x": np.array([[2, 2, 2]])}
    controls = evaluate(LikelihoodSuite(), OneOrTwo(data.spec, 0), data)["controls"]
    expected = -(math.log(2 / 9 / 4) + 2 * math.log(1 / 9)) / 3
    assert math.isclose(controls["bigram"]["nats"], expected)


def test_padding_changes_no_number() -> None:
    def record(beyond: int) -> dict[str, Any]:
        x, length = np.array([[0, 1, beyond], [1, beyond, beyond]]), np.array([2, 1])
        fields = {"x": x, "length": length}
        data = Tokens("abc", 3, train=fields, validation=fields, test=fields)
        return evaluate(LikelihoodSuite(copies=2), Drawn(data.spec, data.splits["train"]["x"]), data)

    assert record(2) == record(0) | {"metrics": record(2)["metrics"]}
    assert record(2)["controls"]["training_copies"]["copied_ngram"] == 1.5


class Drawn(OneOrTwo):
    """Samples are rows of an array."""

    def __init__(self, spec: Spec, x: np.ndarray) -> None:
        super().__init__(spec, 0)
        self.x = torch.from_numpy(x)

    def conditions(self, seeds: Any) -> Batch:
        return {}

    def sample(self, seeds: Any, cond: Batch | None = None, weights: str = "ema") -> Tensor:
        return self.x[[seed % len(self.x) for seed in seeds]]


def test_a_model_that_copies_is_found_out() -> None:
    stream = np.random.RandomState(0)
    train, test, new = (stream.randint(5, size=(40, 12)) for _ in range(3))
    data = Tokens("abcde", 12, train={"x": train}, validation={"x": test}, test={"x": test})
    suite = LikelihoodSuite(copies=30)
    copier, honest = (evaluate(suite, Drawn(data.spec, x), data) for x in (train, new))
    assert copier["metrics"]["copied_ngram"] == 12
    assert copier["metrics"]["copied_half"] == 1
    assert copier["controls"]["training_copies"] == {"copied_ngram": 12, "copied_half": 1}
    assert copier["controls"]["real"]["copied_ngram"] < 5
    assert abs(honest["metrics"]["copied_ngram"] - honest["controls"]["real"]["copied_ngram"]) < 1
    assert list(copier["controls"]) == ["bigram", "unigram", "uniform", "real", "training_copies"]
    assert [column["key"] for column in copier["columns"]][3:] == ["copied_ngram", "copied_half"]
    assert "copied_ngram" not in evaluate(LikelihoodSuite(copies=0), Drawn(data.spec, train), data)["metrics"]


def test_batches_are_no_part_of_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.RandomState(0).randint(3, size=(11, 3))
    data = Tokens("abc", 3, train={"x": x}, validation={"x": x}, test={"x": x})
    one = LikelihoodSuite().validate(OneOrTwo(data.spec, 0), data)
    assert math.isclose(one, 2 - (x == 0).mean())
    monkeypatch.setattr(scoring, "BATCH", 4)
    assert LikelihoodSuite().validate(OneOrTwo(data.spec, 0), data) == one


def rank(number: int, folder: str, data: Tokens) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=number, world_size=2)
    likelihood.BATCH = scoring.BATCH = 4
    record = evaluate(LikelihoodSuite(copies=6), Drawn(data.spec, data.splits["test"]["x"]), data)
    Path(folder, f"{number}.json").write_text(json.dumps(record))
    dist.destroy_process_group()


def test_ranks_share_the_work_and_agree(tmp_path: Path) -> None:
    x = np.random.RandomState(0).randint(3, size=(11, 3))
    data = Tokens("abc", 3, train={"x": x[:6]}, validation={"x": x}, test={"x": x})
    mp.start_processes(rank, (str(tmp_path), data), nprocs=2, start_method="fork")
    alone = evaluate(LikelihoodSuite(copies=6), Drawn(data.spec, x), data)
    assert [json.loads((tmp_path / f"{number}.json").read_text()) for number in (0, 1)] == [alone, alone]


def test_errors_are_one_line() -> None:
    suite, data = LikelihoodSuite(), tiny()
    suite.check(data.spec)
    suite.check(Spec.of("image", (1, 8, 8)))
    with pytest.raises(UserError, match="the data are points"):
        suite.check(Spec.of("points", (2,)))
    with pytest.raises(UserError, match=r"not voices \[16, 4\]: take evaluation=music"):
        suite.check(Spec({"x": Field("tokens", (16, 4), "int64", names=("hold", "C4"))}))
    with pytest.raises(UserError, match="Model has no likelihood"):
        suite.check_model(Model(data.spec, 0))
    with pytest.raises(UserError, match="no samples to score"):
        subset(0, None, 0, "scored")


def test_a_transformer_beats_the_bigram_model_within_seconds(tmp_path: Path) -> None:
    """Which month follows stands many characters before: a bigram model cannot see it."""
    path = tmp_path / "months.txt"
    path.write_text("january february march april may june july august september october november december\n" * 60)
    data = Text(path, length=32)
    data.prepare()
    rng.seed_layers(0, -1)
    network = partial(Decoder, width=32, depth=1, heads=2)
    model = Autoregressive(data.spec, 0, network, partial(torch.optim.AdamW, lr=1e-2))
    optimizers, train = model.configure_optimizers(), data.split("train")
    suite = LikelihoodSuite(copies=16)
    untrained = suite.validate(model, data)
    blocks = Blocks(len(train), 16, seed=0, at=lambda: model.step, stop=80, size=20)
    while model.step < 80:
        for index in blocks:
            model.train_on({"x": torch.from_numpy(train.batch(index)["x"])}, optimizers)
    record = evaluate(suite, model, data)
    controls = record["controls"]
    assert record["metrics"]["nats"] < controls["bigram"]["nats"] < controls["unigram"]["nats"] < controls["uniform"]["nats"]
    assert suite.validate(model, data) < untrained / 2
    assert controls["real"]["copied_ngram"] == controls["training_copies"]["copied_ngram"] == 32
