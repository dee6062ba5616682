"""What people type in either Chinese script, on a tiny run of titles and poems in traditional characters."""

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest

from pictures import words_of_pictures
from src.config.command_line import quoted
from src.config.errors import UserError
from src.generate import generate
from src.train import train

EAST, OTHERS = "東風中空公同紅", "春雲發髮頭龍山水日月一人"


@pytest.fixture(scope="module")
def poems_run(compose: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, choose = tmp_path_factory.mktemp("poems"), random.Random(0)
    lines = []
    for _ in range(60):
        poem = "".join("".join(choose.choices(OTHERS, k=4)) + choose.choice(EAST) + mark for mark in "，。，。")
        lines.append(json.dumps({"source": "".join(choose.choices(OTHERS, k=4)), "target": poem}))
    (folder / "poems.jsonl").write_text("\n".join(lines))
    words = ["model=gpt", "data=text_pairs", f"data.path={folder}/poems.jsonl", "data.length=24", "data.source_length=8"]
    words += ["model.network={width: 16, depth: 1, heads: 2}", "debug=tiny", "stop.samples=64", "evaluate=false"]
    train(compose(*words, "validation=null", "samples=null", "trainer.threads=1", f"run_dir={folder}/run"))
    return folder / "run"


@pytest.fixture
def draw(poems_run: Path, compose: Any, tmp_path: Path) -> Any:
    """draw("prompt=春风", ...): the record of two samples."""

    def drawn(*words: str) -> dict[str, Any]:
        words = (f"run={poems_run}", "n=2", f"out={tmp_path}/out", *(quoted(word, "generate") for word in words))
        config = compose(*words, name="generate", nullable=("n", "paths.data", "data.path"))
        return json.loads((generate(config) / "samples.json").read_text())

    return drawn


@pytest.mark.parametrize(
    ("key", "typed", "read"), [("prompt", "春风", "春風"), ("heads", "龙头春风", "龍頭春風"), ("source", "龙头", "龍頭")]
)
def test_both_scripts_give_the_same_samples(key: str, typed: str, read: str, draw: Any, capsys: Any) -> None:
    by_typed, by_read = draw(f"{key}={typed}"), draw(f"{key}={read}")
    assert by_typed["samples"] == by_read["samples"]
    made = by_typed["provenance"]
    assert (made[key], made[f"{key}_read_as"]) == (typed, read)
    assert f"{key}_read_as" not in by_read["provenance"]
    assert capsys.readouterr().err == f"{key}: read as {read}, in the script of the data\n"


def test_a_choice_between_characters_is_said(draw: Any, capsys: Any) -> None:
    assert draw("prompt=头发")["samples"][0]["text"].startswith("頭髮")
    assert (
        capsys.readouterr().err == "prompt: read as 頭髮, in the script of the data; 发 may be 發 or 髮: type what you mean\n"
    )


def test_what_no_script_has_is_refused_by_name(draw: Any) -> None:
    with pytest.raises(UserError, match="prompt: the vocabulary of the data has no '龘': write it without"):
        draw("prompt=龙龘")
    with pytest.raises(UserError, match="heads=龍龘: '龘' begins no line"):
        draw("heads=龙龘")


def test_samples_in_a_script(draw: Any, tmp_path: Path) -> None:
    traditional, simplified = draw("source=龍", "prompt=龍風雲"), draw("source=龍", "prompt=龍風雲", "script=simplified")
    assert simplified["provenance"]["script"] == "simplified"
    for before, after in zip(traditional["samples"], simplified["samples"], strict=True):
        assert before["text"].startswith("龍風雲")
        assert after["text"].startswith("龙风云")
        assert f"\n{after['text']}\n" in (tmp_path / "out" / "samples.txt").read_text()
    assert draw("prompt=龍風雲", "source=龍", "script=traditional")["samples"] == traditional["samples"]
    with pytest.raises(UserError, match="script= is for what people read, and format=npz holds symbols"):
        draw("script=simplified", "format=npz")
    with pytest.raises(UserError, match="script=klingon is not known: known: simplified, traditional"):
        draw("script=klingon")


def test_rhymes_of_quatrains(draw: Any) -> None:
    record = draw("rhyme=true", "heads=春日山水", "n=8")
    assert record["provenance"]["forced"] == ["heads=春日山水", "form=5,5,5,5", "rhyme=true"]
    for sample in record["samples"]:
        assert {sample["text"][10], sample["text"][22]} <= set(EAST)
        assert sample["text"][10] != sample["text"][22]
    assert "forced" not in draw()["provenance"]


def test_a_dialogue_in_another_script(poems_run: Path, in_process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = []
    for line in ("龙头", "龍頭"):
        monkeypatch.setattr("sys.stdin", io.StringIO(line))
        found = in_process("generate", f"run={poems_run}", "chat=true", "prompt=春風", "script=simplified", "temperature=0.5")
        assert found.returncode == 0, found.stderr
        answers.append((found.stdout, found.stderr))
    assert answers[0][0] == answers[1][0]
    assert answers[0][0].startswith("春风")
    assert answers[0][1] == "source: read as 龍頭, in the script of the data\n"


@pytest.fixture(scope="module")
def pictures_run(compose: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captions")
    words = ["model=text_to_image", *words_of_pictures("text_to_image"), "debug=tiny", "stop.samples=64", "evaluate=false"]
    train(compose(*words, "validation=null", "samples=null", "trainer.threads=1", f"run_dir={folder}/run"))
    return folder / "run"


@pytest.fixture
def draw_pictures(pictures_run: Path, compose: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """draw_pictures("prompt=a red disc", ...): the record of two samples."""
    monkeypatch.setenv("AIGC_PACKAGES", "pictures")

    def drawn(*words: str) -> dict[str, Any]:
        words = (f"run={pictures_run}", "n=2", f"out={tmp_path}/out", *(quoted(word, "generate") for word in words))
        config = compose(*words, name="generate", nullable=("n", "paths.data", "data.path"))
        return json.loads((generate(config) / "samples.json").read_text())

    return drawn


def test_a_prompt_says_what_pictures_show(draw_pictures: Any, tmp_path: Path) -> None:
    record = draw_pictures("prompt=A red, square!", "guidance=3")
    assert (record["provenance"]["prompt"], record["provenance"]["guidance"]) == ("A red, square!", 3)
    assert "captions" not in record["provenance"]
    red = (tmp_path / "out" / "000000.png").read_bytes()
    draw_pictures("prompt=blue disc", "guidance=3")
    assert (tmp_path / "out" / "000000.png").read_bytes() != red
    assert draw_pictures()["provenance"]["captions"] == ["<unknown> blue disc", "a blue square"]  # of the test split


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prompt=a red sqare and pear"], r"prompt: .*: sqare \(did you mean square\?\), and, pear: say it in other words"),
        (["prompt=red red red red red red red"], "it has 7 words, and this model reads 6: shorten it"),
        (["prompt=red", "class=disc"], "not class-conditional: leave class= out"),
        (["prompt=red", "rhyme=true"], "this model knows no rhyme=, which is for text"),
        (["heads=red"], "this model knows no heads=, which is for text"),
    ],
)
def test_prompts_that_cannot_be_drawn(words: list[str], message: str, draw_pictures: Any) -> None:
    with pytest.raises(UserError, match=message):
        draw_pictures(*words)
