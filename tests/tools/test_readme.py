"""README and docs/ show what the results say, and nothing that someone typed."""

import shutil
from pathlib import Path

import pytest
import yaml

from src.config.errors import UserError
from src.tools.readme import filled, linked, readme, record, replace_block

ROOT = Path(__file__).parent.parent.parent
PAGES = yaml.safe_load((ROOT / "conf" / "readme.yaml").read_text())["pages"]


@pytest.mark.parametrize("page", PAGES)
def test_pages_show_the_published_results(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = Path(page).read_text()
    assert filled(text, Path("results"), Path(page)) == text


def test_every_block_is_in_a_page() -> None:
    text = "".join((ROOT / page).read_text() for page in PAGES)
    for name in ("TABLE", "STORY", "SEEDS", "ZOO", "FAMILIES", "POEMS", "TUNES", "BINARY", "COMPUTE", "STEPS"):
        assert text.count(f"<!-- {name} -->") == text.count(f"<!-- /{name} -->") == 1


def test_another_number_shows_with_a_link_and_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mlp_gan", "story_2_biases"):
        files = shutil.ignore_patterns("*.gif", "*.safetensors")
        shutil.copytree(ROOT / "results" / name, tmp_path / "results" / name, ignore=files)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "results" / "story_2_biases" / "metrics.json"
    path.write_text(path.read_text().replace('"fd_digits": ', '"fd_digits": 9', 1))
    (page := tmp_path / "docs" / "page.md").parent.mkdir()
    page.write_text("<!-- STORY -->\n| experiment | fd_digits |\n|-|-:|\n| `story_2_biases` | biases |\n<!-- /STORY -->\n")
    (text,) = readme({"pages": ["docs/page.md"], "results": "results"}).values()
    assert page.read_text() == text
    _, head, _, row, _ = text.splitlines()
    assert head == "| experiment | [fd_digits](evaluation.md#fd) |"
    assert row.startswith("| `story_2_biases` | biases | 9")
    assert row.endswith('<img src="../results/story_2_biases/samples.png" width="160"> |')
    assert readme({"pages": ["docs/page.md"], "results": "results"}) == {"docs/page.md": text}


def test_the_distance_of_quatrains_links_to_its_own_entry(tmp_path: Path) -> None:
    (tmp_path / "poems.md").write_text("| recipe | FD ↓ |\n|-|-:|\n")
    text = filled("<!-- POEMS -->\n<!-- /POEMS -->", tmp_path, Path("docs/text.md"))
    assert "| [FD](evaluation.md#fd_quatrain-cnn-1) ↓ |" in text


def test_nats_and_the_distance_of_tunes_link_to_their_own_entries(tmp_path: Path) -> None:
    (tmp_path / "tunes.md").write_text("| recipe | nats | FD ↓ § |\n|-|-:|-:|\n")
    text = filled("<!-- TUNES -->\n<!-- /TUNES -->", tmp_path, Path("docs/music.md"))
    head = "[nats](evaluation.md#nats-per-voice-step-frame-onset) | [FD](evaluation.md#fd_tune-cnn-1) ↓ § |"
    assert head in text


def test_heads_are_linked_without_their_marks() -> None:
    lines = ["| recipe | precision ↑ † | fd_x of seed | one further seed (95 %) |", "|-|-:|-:|-:|", "| precision | 1 | 2 | 3 |"]
    head, *rest = linked("\n".join(lines), Path("README.md")).splitlines()
    assert head == (
        "| recipe | [precision](docs/evaluation.md#precision) ↑ † | fd_x of seed "
        "| [one further seed (95 %)](docs/evaluation.md#one-further-seed) |"
    )
    assert rest == lines[1:]


@pytest.mark.parametrize(
    ("text", "message"), [("{", "is damaged"), ("[]", "is damaged"), ("{}", "has no controls and no metrics and no protocol")]
)
def test_a_result_that_cannot_be_read_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(UserError, match=rf"metrics\.json {message}.*: make repro makes it again"):
        record(tmp_path)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the page has no block <!-- X -->"):
        replace_block("text", "X", str)
    with pytest.raises(UserError, match=r"mlp_gan/metrics\.json is missing: make repro makes it"):
        filled((ROOT / "README.md").read_text(), tmp_path, Path("README.md"))
    with pytest.raises(UserError, match=r"nope\.md is no file"):
        readme({"pages": [str(tmp_path / "nope.md")], "results": "results"})
