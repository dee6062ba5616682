import json
from pathlib import Path

import pytest

from src.config.errors import UserError
from src.runs.review import FILE, Mark, append, blind, marks


def mark(seed: int, mark: str, note: str = "") -> dict[str, object]:
    return {"kind": "mark", "settings": {"seed": seed, "class": 3}, "mark": mark, "note": note}


def test_the_last_mark_of_each_sample_counts(tmp_path: Path) -> None:
    for record in (mark(1, "keep"), mark(2, "reject"), mark(1, "none", "a mistake")):
        append(tmp_path, record)
    assert marks(tmp_path) == [Mark({"seed": 1, "class": 3}, "none", "a mistake"), Mark({"seed": 2, "class": 3}, "reject", "")]
    assert all("time" in json.loads(line) for line in (tmp_path / FILE).read_text().splitlines())


def test_blind_answers_by_hand(tmp_path: Path) -> None:
    assert blind(tmp_path) is None
    for generated, answer in [(True, "generated"), (False, "real"), (True, "real"), (False, "real")]:
        append(tmp_path, {"kind": "blind", "settings": {"test_image": 5}, "generated": generated, "answer": answer})
    append(tmp_path, mark(1, "keep"))
    hits = blind(tmp_path)
    assert hits is not None
    assert hits[:2] == (3, 4)
    # z^2 = 3.8415: (0.75 + 0.48018) / 1.96036 = 0.62753, +- sqrt(0.96036 (0.1875 + 0.24009)) / 1.96036 = 0.32689
    assert hits[2:] == pytest.approx((0.30064, 0.95441), abs=2e-5)


def test_an_unfinished_line_is_tolerated_and_others_are_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    append(tmp_path, mark(1, "keep"))
    with (tmp_path / FILE).open("a") as file:
        file.write('{"kind": "ma')
    assert len(marks(tmp_path)) == 1
    assert capsys.readouterr().err == ""
    append(tmp_path, mark(2, "keep"))  # the unfinished line stays one of its own
    with (tmp_path / FILE).open("a") as file:
        file.write('[]\n{"kind": "mark", "settings": 4}\n')
    for _ in range(2):
        assert [found.settings["seed"] for found in marks(tmp_path)] == [1, 2]
    assert [line.split(", ")[-1] for line in capsys.readouterr().err.splitlines()] == [
        "line 2 is passed over: no JSON",
        "line 4 is passed over: kind is neither mark nor blind",
        "line 5 is passed over: settings is no object",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "vote", "settings": {}},
        {"kind": "mark", "settings": [], "mark": "keep"},
        {"kind": "mark", "settings": {}, "mark": "good"},
        {"kind": "mark", "settings": {}, "mark": "keep", "note": 3},
        {"kind": "mark", "settings": {}, "mark": "keep", "note": "half an emoji \ud83d"},
        {"kind": "blind", "settings": {}, "answer": "real"},
        {"kind": "blind", "settings": {}, "generated": True, "answer": "fake"},
    ],
)
def test_nothing_malformed_is_kept(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(UserError, match="cannot be kept"):
        append(tmp_path, wrong)
    assert not (tmp_path / FILE).exists()
