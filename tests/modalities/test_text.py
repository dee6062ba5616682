"""Text: what a person reads of tokens, and files that keep every character of it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from src.config.errors import UserError
from src.data.spec import Field, Spec
from src.modalities.modality import Films, Modality, ReadsText, ShowsInterpolations, ShowsNeighbours
from src.modalities.text import Text

VOCABULARY = ("<pad>", "<end>", "春", "眠", "ing", "\n", "-", " seed 1 ")
PROVENANCE = {"model": "0123abcd" * 8, "run": "runs/gpt-quatrains-1a2b/0", "step": 400}
MARKS = {"Software": "AIGC Lab", "generated": "true", "model": PROVENANCE["model"]}


def text_of(*names: str, length: int = 5) -> Text:
    return Text(Spec({"x": Field("tokens", (length,), "int64", names or VOCABULARY)}))


def tokens(*rows: list[int]) -> Tensor:
    return torch.tensor(rows)


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_the_protocol_alone() -> None:
    modality: Modality = text_of()
    assert modality.suffix == ".txt"
    assert isinstance(modality, ShowsInterpolations)
    for capability in (Films, ShowsNeighbours):
        assert not isinstance(modality, capability)


def test_rows_of_interpolations_stand_one_below_the_other(tmp_path: Path) -> None:
    rows = tokens([2, 1, 0], [2, 3, 1], [3, 1, 0], [3, 2, 1]).unflatten(0, (2, 2))
    text_of().strip(rows, tmp_path / "strip.txt", PROVENANCE)
    assert (tmp_path / "strip.txt").read_text().split("\n\n") == [
        "--- row 1, 1 of 2 ---\n春",
        "--- row 1, 2 of 2 ---\n春眠",
        "--- row 2, 1 of 2 ---\n眠",
        "--- row 2, 2 of 2 ---\n眠春\n",
    ]
    assert json.loads((tmp_path / "strip.json").read_text())["provenance"]["step"] == 400


def test_tokens_are_left_as_they_are() -> None:
    x = torch.tensor([[2, 1, 3], [0, 0, 1]], dtype=torch.int32)
    assert text_of().finish(x).tolist() == x.tolist()
    assert text_of().finish(x).dtype == torch.int64


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([2, 3, 4], "春眠ing"),
        ([2, 1, 3, 1, 4], "春"),
        ([0, 2, 0, 3, 0], "春眠"),
        ([2, 5, 3, 5], "春\n眠\n"),
        ([1, 2], ""),
        ([], ""),
    ],
)
def test_text_ends_at_its_end_and_shows_no_padding(row: list[int], expected: str) -> None:
    assert text_of().text(torch.tensor(row, dtype=torch.int64)) == expected


def test_a_vocabulary_without_special_names_shows_all() -> None:
    assert text_of("a", "b").text(torch.tensor([0, 1, 1, 0])) == "abba"


@pytest.mark.parametrize("number", [-1, 8])
def test_tokens_outside_the_vocabulary_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match="the vocabulary has 0 to 7"):
        text_of().text(torch.tensor([2, number]))


def test_saved_samples_for_people_and_for_programs(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    text_of().save([tokens([2, 3, 1], [3, 5, 2]), tokens([4, 1, 0, 0])], folder, [3, 4, 9], PROVENANCE)
    expected = "--- seed 3 ---\n春眠\n\n--- seed 4 ---\n眠\n春\n\n--- seed 9 ---\ning\n"
    assert (folder / "samples.txt").read_text(encoding="utf-8") == expected
    assert json.loads((folder / "samples.json").read_text(encoding="utf-8")) == {
        **MARKS,
        "provenance": PROVENANCE,
        "samples": [{"seed": 3, "text": "春眠"}, {"seed": 4, "text": "眠\n春"}, {"seed": 9, "text": "ing"}],
    }
    assert names(folder) == ["samples.json", "samples.txt"]
    text_of().save([tokens([2])], folder, [0], PROVENANCE)
    assert (folder / "samples.txt").read_text(encoding="utf-8") == "--- seed 0 ---\n春\n"


def test_no_text_is_taken_for_the_line_between_samples(tmp_path: Path) -> None:
    """A sample that reads "--- seed 1 ---"."""
    text_of().save([tokens([6, 6, 6, 7, 6, 6, 6])], tmp_path, [0], PROVENANCE)
    assert (tmp_path / "samples.txt").read_text().splitlines() == ["---- seed 0 ----", "--- seed 1 ---"]


def test_files_of_other_programs_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "samples.txt").write_text("mine")
    with pytest.raises(UserError, match=r"samples.txt was not written by AIGC Lab"):
        text_of().save([tokens([2])], tmp_path, [0], PROVENANCE)
    assert (tmp_path / "samples.txt").read_text() == "mine"


def test_every_sample_has_one_seed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 samples, but 2 seeds"):
        text_of().save([tokens([2])], tmp_path, [0, 1], PROVENANCE)
    assert names(tmp_path) == []


def test_an_archive(tmp_path: Path) -> None:
    x = tokens([2, 1, 0], [3, 4, 1])
    text_of().save_archive(x, tmp_path / "x.npz", range(5, 7), PROVENANCE)
    with np.load(tmp_path / "x.npz") as archive:
        assert archive["tokens"].tolist() == x.tolist()
        assert archive["tokens"].dtype == np.int64
        assert archive["seeds"].tolist() == [5, 6]
        assert json.loads(str(archive["marks"])) == MARKS
    assert json.loads((tmp_path / "x.json").read_text())["provenance"] == PROVENANCE


def test_a_preview_shows_the_first_samples(tmp_path: Path) -> None:
    text_of().preview(torch.full((40, 5), 2), tmp_path / "preview.txt")
    lines = (tmp_path / "preview.txt").read_text(encoding="utf-8").splitlines()
    assert lines[:4] == ["--- sample 1 ---", "春" * 5, "", "--- sample 2 ---"]
    assert lines.count("春" * 5) == 16
    assert names(tmp_path) == ["preview.txt"]
    text_of().preview(tokens([2]), tmp_path / "marked.txt", PROVENANCE)
    assert json.loads((tmp_path / "marked.json").read_text()) == {**MARKS, "file": "marked.txt", "provenance": PROVENANCE}


@pytest.mark.parametrize("x", [torch.zeros(2, 5), torch.zeros(5, dtype=torch.int64), torch.zeros(0, 5, dtype=torch.int64)])
def test_what_is_no_text_is_refused(tmp_path: Path, x: Tensor) -> None:
    with pytest.raises(UserError) as error:
        text_of().preview(x, tmp_path / "x.txt")
    assert "\n" not in str(error.value)
    assert names(tmp_path) == []


@pytest.mark.parametrize("field", [Field("image", (1, 8, 8), "uint8"), Field("tokens", (5,), "int64")])
def test_data_without_a_vocabulary_is_refused(field: Field) -> None:
    with pytest.raises(UserError, match="choose another modality"):
        Text(Spec({"x": field}))


# Text that a user types


def pairs() -> Text:
    names = ("<pad>", "<end>", "<unknown>", "a", "b", "\n")
    fields = {name: Field("tokens", (5,), "int64", names) for name in ("x", "source")}
    return Text(Spec(fields))


def test_a_prompt_is_encoded_or_refused_by_its_characters() -> None:
    assert pairs().encode("ab\na", "prompt").tolist() == [3, 4, 5, 3]
    assert isinstance(pairs(), ReadsText)
    with pytest.raises(UserError, match="prompt: the vocabulary of the data has no 'x', '春': write it without") as error:
        pairs().encode("xa春x", "prompt")
    assert "\n" not in str(error.value)


def test_a_source_ends_and_is_padded_as_those_of_the_data() -> None:
    cond = pairs().encode_source("ax")
    assert cond["source"].tolist() == [[3, 2, 1, 0, 0]]
    assert cond["source_length"].tolist() == [3]
    with pytest.raises(UserError, match="the source has 5 characters and this model reads 4: shorten it"):
        pairs().encode_source("aaaaa")


def test_samples_below_their_sources(tmp_path: Path) -> None:
    sources = tokens([3, 1, 0, 0, 0], [4, 4, 1, 0, 0])
    pairs().save([tokens([4, 1], [3, 1])], tmp_path, [7, 8], PROVENANCE, sources=sources)
    expected = [
        *("--- seed 7: source ---", "a", "", "--- seed 7 ---", "b", ""),
        *("--- seed 8: source ---", "bb", "", "--- seed 8 ---", "a"),
    ]
    assert (tmp_path / "samples.txt").read_text().splitlines() == expected
    listed = json.loads((tmp_path / "samples.json").read_text())["samples"]
    assert listed == [{"seed": 7, "text": "b", "source": "a"}, {"seed": 8, "text": "a", "source": "bb"}]
    pairs().preview(tokens(*[[3, 1]] * 20), tmp_path / "preview.txt", sources=sources[:1].expand(20, -1))
    assert (tmp_path / "preview.txt").read_text().count(": source ---\na\n") == 16
