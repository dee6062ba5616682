"""README shows what the results say, and nothing that someone typed."""

import shutil
from pathlib import Path

import pytest

from src.config.errors import UserError
from src.tools.readme import filled, record, replace_block

ROOT = Path(__file__).parent.parent.parent


def test_readme_shows_the_published_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = Path("README.md").read_text()
    assert filled(text, Path("results")) == text


def test_another_number_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "results", tmp_path / "results", ignore=shutil.ignore_patterns("*.gif", "*.ckpt"))
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text()
    path = tmp_path / "results" / "story_2_biases" / "metrics.json"
    path.write_text(path.read_text().replace('"fd_digits": ', '"fd_digits": 9', 1))
    changed = [line for line in filled(text, Path("results")).splitlines() if line not in text.splitlines()]
    assert len(changed) == 1
    assert changed[0].startswith("| `story_2_biases` | biases | 9")


@pytest.mark.parametrize(
    ("text", "message"), [("{", "is damaged"), ("[]", "is damaged"), ("{}", "has no controls and no metrics and no protocol")]
)
def test_a_result_that_cannot_be_read_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(UserError, match=rf"metrics\.json {message}.*: make repro makes it again"):
        record(tmp_path)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="README has no block <!-- X -->"):
        replace_block("text", "X", str)
    with pytest.raises(UserError, match=r"mlp_gan/metrics\.json is missing: make repro makes it"):
        filled((ROOT / "README.md").read_text(), tmp_path)
