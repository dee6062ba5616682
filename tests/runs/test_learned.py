"""A run of pieces of words: its tokenizer is kept in the folder, and used from there."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.config.errors import UserError
from src.config.experiment import Experiment
from src.data.tokenizer import BytePairs
from src.evaluation.metrics.sequences import Sequences
from src.evaluation.text_protocol import Scored, split_texts
from src.generate import generate
from src.runs.folder import RunFolder
from src.runs.publish import publish
from src.system.files import sha256
from src.train import train

STORY = (
    "".join(f"Once upon a time the {a} fox met a {b} dog.\n" for a in ("red", "old", "shy") for b in ("big", "sad", "wet")) * 8
)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    book = tmp_path_factory.mktemp("data") / "book.txt"
    book.write_text(STORY + "😀" + STORY[:200], encoding="utf-8")
    words = ["model=gpt", "data=text", f"data.path={book}", "data.length=8", "data.validation=0.1", "data.test=0.1"]
    words += ["model.network={width: 16, depth: 1, heads: 2}", "trainer.threads=1", "debug=tiny", "stop.samples=64"]
    return [*words, "evaluation.samples=6", "evaluation.group=2", "validation=null", "samples=null", "evaluate=false"]


@pytest.fixture(scope="module")
def pieces_run(compose: Any, words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "pieces" / "0"
    train(compose(*words, "data.encoding=bpe", "data.vocabulary=340", f"run_dir={run}"))
    return run


def test_the_manifest_names_the_tokenizer(pieces_run: Path) -> None:
    manifest = RunFolder(pieces_run).manifest()
    assert manifest["learned"] == {"tokenizer.json": sha256(pieces_run / "tokenizer.json")}
    assert manifest["notes"]["unknown_test"] == 1
    assert BytePairs.load((pieces_run / "tokenizer.json").read_bytes()).names == RunFolder(pieces_run).spec().x.names
    publish(RunFolder(pieces_run), pieces_run / "published")
    assert (pieces_run / "published" / "tokenizer.json").read_bytes() == (pieces_run / "tokenizer.json").read_bytes()


def test_characters_are_counted_the_same_in_every_encoding(pieces_run: Path, words: list[str], compose: Any) -> None:
    """Of the text that both score: samples of characters leave up to seven out at the end of the split."""

    def characters(data: Any) -> int:
        test = data.split("test")
        return Scored(Sequences.of(test.batch(np.arange(len(test)))), data.spec.x.names).characters

    by_one, by_eight = (characters(Experiment(compose(*words, f"data.length={length}")).dataset) for length in (1, 8))
    pieces = RunFolder(pieces_run).experiment().dataset
    assert characters(pieces) == by_one
    assert 0 <= by_one - by_eight < 8
    assert "".join(split_texts(pieces.split("test"), pieces.spec.x.names)).count("😀") == 1


def test_the_runs_tokenizer_is_used_and_not_a_new_one(
    pieces_run: Path, words: list[str], compose: Any, in_process: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = shutil.copytree(pieces_run, tmp_path / "run")

    other = BytePairs.train(STORY[::-1], 340)
    monkeypatch.setattr(BytePairs, "train", lambda text, size: other)
    answer = in_process("evaluate", f"run={run}", f"paths.cache={tmp_path}/cache", "evaluation.scored=3")
    assert answer.returncode == 0, answer.stderr
    record = json.loads((run / "metrics-scored=3.json").read_text())
    assert record["protocol"].items() >= {"texts_scored": 3, "vocabulary": len(RunFolder(run).spec().x.names)}.items()
    assert record["metrics"].keys() >= {"nats", "copied_ngram", "distinct_1", "fd_pairs"}
    assert all(record["controls"][name]["nats"] > 0 for name in ("ngram_4", "bigram", "unigram"))
    answer = in_process("evaluate", f"run={run}", "evaluation.scord=3")
    assert (answer.returncode, answer.stderr.count("\n")) == (2, 1)
    assert "has no argument 'scord'" in answer.stderr

    config = compose(f"run={run}", "n=2", "prompt='Once 😀 upon'", name="generate", nullable=("n", "paths.data", "data.path"))
    record = json.loads((generate(config) / "samples.json").read_text())
    assert all(sample["text"].startswith("Once 😀 upon") for sample in record["samples"])
    shown = sum(sample["text"].count("�") for sample in record["samples"])
    assert record["provenance"].get("unfinished_characters", 0) == shown
    with pytest.raises(UserError, match="form= counts characters, and this vocabulary has pieces of several"):
        generate(config | {"form": "5,5"})


def test_a_damaged_tokenizer_is_named(pieces_run: Path, in_process: Any, tmp_path: Path) -> None:
    run = shutil.copytree(pieces_run, tmp_path / "run")
    (run / "tokenizer.json").write_text("{}")
    for command in ("generate", "evaluate"):
        answer = in_process(command, f"run={run}")
        assert (answer.returncode, answer.stderr.count("\n")) == (2, 1)
        assert "tokenizer.json is not what the run was made with: restore an intact copy" in answer.stderr


def test_a_run_goes_on_with_its_own_tokenizer(
    pieces_run: Path, words: list[str], compose: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Stopped before its last step, and gone on where another tokenizer would be learned: bit for bit the same."""
    words = [
        *words,
        "data.encoding=bpe",
        "data.vocabulary=340",
        "evaluate=false",
        "checkpoint.every=1",
        f"run_dir={tmp_path}/run",
    ]
    train(compose(*words))
    run, wanted = RunFolder(tmp_path / "run"), RunFolder(pieces_run).manifest()["final_weights"]
    assert run.manifest()["final_weights"] == wanted
    run.drop_later("step", 1)
    manifest = {name: value for name, value in run.manifest().items() if name not in ("ended", "final_weights")}
    run.begin_manifest(**manifest)  # as after its first step
    other = BytePairs.train(STORY[::-1], 340)
    monkeypatch.setattr(BytePairs, "train", lambda text, size: other)
    train(compose(*words))
    assert run.manifest()["final_weights"] == wanted
    monkeypatch.undo()
    with pytest.raises(UserError, match="has another vocabulary: take its settings of the data"):
        train(
            compose(*words[:-1], f"run_dir={tmp_path}/longer", f"extend={run.path}", "data.validation=0.2", "stop.samples=640")
        )
