"""The command below what the page shows draws the same, filters included."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from src.config.errors import UserError
from src.page.app import Page
from src.page.command import generate_command, written
from src.page.panels.panel import panel_of
from src.page.review import kept_items
from src.page.runs import Catalog
from src.runs import filters, review

ROOT = Path(__file__).parents[2]
POEMS = ROOT / "results/poems/gpt/0"


def catalog_of(folder: Path, **filtered: Any) -> Catalog:
    return Catalog([folder], filtered={"filter": filters.OFF["filter"] | filtered})


def opened(catalog: Catalog, end: str = "") -> Any:
    return catalog.load(next(entry.id for entry in catalog.find() if entry.name.endswith(end)))


@pytest.fixture
def same(shipped: Path, tmp_path: Path, in_process: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """same(run, tab, settings, catalog): the files of the page's download and of its command, each by name."""
    monkeypatch.setenv("AIGC_PACKAGES", "pictures")

    def files(run: Any, tab: str, given: dict[str, Any], catalog: Catalog) -> tuple[dict[str, bytes], dict[str, bytes]]:
        described = Page(catalog, 16).tabs(run)[tab]
        settings = described.read(given)
        panel_of(run).save(run, tab, settings, tmp_path / "page")
        words = shlex.split(generate_command(run, described, settings, catalog.filtered))
        assert words[:3] == ["python", "-m", "src.generate"]
        suffix = next((path.suffix for path in (tmp_path / "page").glob("interpolation.*")), "")
        answer = in_process("generate", *words[3:], f"out={tmp_path / 'command'}{suffix}")
        assert answer.returncode == 0, answer.stderr
        if suffix:
            (tmp_path / "command").mkdir()
            shutil.move(tmp_path / f"command{suffix}", tmp_path / "command" / f"interpolation{suffix}")
        names = [path.name for path in (tmp_path / "page").iterdir() if path.suffix != ".json"]
        return tuple({name: (tmp_path / place / name).read_bytes() for name in names} for place in ("page", "command"))  # type: ignore[return-value]

    return files


@pytest.mark.parametrize(
    ("run", "tab", "settings"),
    [
        ("mlp_gan", "directions", {"n": 2, "seed": 3, "directions": {"sefa-2": -1.5, "sefa-1": 3}}),
        ("mlp_gan", "morph", {"n": 1, "seed": 4}),
        ("digits/0", "sample", {"n": 2, "class": "3", "guidance": 2.0, "nfe": 3, "solver": "euler"}),
        ("captions/0", "sample", {"n": 2, "prompt": "A red, disc!", "guidance": 2.5}),
        ("text/0", "continue", {"n": 2, "prompt": "the fox", "temperature": 0.5}),
        ("text/0", "continue", {"n": 2, "seed": 1}),
    ],
)
def test_the_command_draws_the_same(run: str, tab: str, settings: dict[str, Any], same: Any, shipped: Path) -> None:
    catalog = catalog_of(shipped / "results")
    shown, made = same(opened(catalog, run), tab, settings, catalog)
    assert shown
    assert made == shown


def test_a_layout_is_text_and_no_file(same: Any, tmp_path: Path) -> None:
    catalog = catalog_of(ROOT / "results/layouts")
    run = opened(catalog)
    layout = "[{name: red heart, box: [0.1, 0.2, 0.375, 0.375]}]"
    shown, made = same(run, "sample", {"n": 1, "layout": layout, "nfe": 2}, catalog)
    assert shown
    assert made == shown
    (tmp_path / "own.json").write_text(layout)
    with pytest.raises(UserError, match="layout: is no list of objects"):
        panel_of(run).draw(run, "sample", Page(catalog, 16).tabs(run)["sample"].read({"layout": str(tmp_path / "own.json")}))


def test_names_with_signs() -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    moves = {"attribute-T-shirt/top": 1.5, "attribute-a (b), c": -2}
    (found,) = OverridesParser.create().parse_overrides([f"directions={written(moves)}"])
    assert found.value() == moves


# Filters


@pytest.fixture
def poems(tmp_path: Path) -> Path:
    return shutil.copytree(POEMS, tmp_path / "runs/0", ignore=shutil.ignore_patterns("*.gif")).parent


def test_what_filters_leave_out_is_not_shown(poems: Path, tmp_path: Path, same: Any) -> None:
    everything = opened(catalog_of(poems))
    settings = {"n": 6, "temperature": 0.8}
    tab = Page(catalog_of(poems), 16).tabs(everything)["continue"]
    before = panel_of(everything).draw(everything, "continue", tab.read(settings))
    assert before.left_out is None
    word = before.items[2].data[0]
    (tmp_path / "words.txt").write_text(word)
    left_out = {item.settings["seed"] for item in before.items if word in item.data}

    catalog = catalog_of(poems, words=str(tmp_path / "words.txt"))
    run = opened(catalog)
    after = panel_of(run).draw(run, "continue", tab.read(settings))
    assert after.left_out == len(left_out) < 6
    assert after.items == [item for item in before.items if item.settings["seed"] not in left_out]
    shown, made = same(run, "continue", settings, catalog)
    assert made == shown
    record = json.loads((tmp_path / "command" / "samples.json").read_text())
    assert {*record["provenance"]["filter"][0]["left_out"]} == left_out
    assert (
        json.loads((tmp_path / "page" / "samples.json").read_text())["provenance"]["filter"] == record["provenance"]["filter"]
    )

    (entry,) = catalog.find()
    for item in before.items:
        review.append(entry.folder.path, {"kind": "mark", "settings": item.settings, "mark": "keep"})
    kept = kept_items(entry, run, 16)
    assert (kept.items, kept.left_out) == (after.items, after.left_out)


def test_nothing_unjudged_is_offered(shipped: Path, tmp_path: Path, poems: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIGC_PACKAGES", "pictures")
    own = {"_target_": f"{__name__}.Odd"}
    catalog = catalog_of(shipped / "results/mlp_gan", own=own)
    (entry,) = catalog.find()
    assert (entry.film, entry.picture, entry.pairs) == (None, None, None)
    run = catalog.load(entry.id)
    assert [*Page(catalog, 16).tabs(run)] == ["sample", "directions"]
    drawn = panel_of(run).draw(run, "directions", {"n": 4, "seed": 0, "directions": {"sefa-1": 1}})
    assert (len(drawn.items), drawn.left_out) == (2, 2)
    (tmp_path / "words.txt").write_text("word")
    with pytest.raises(UserError, match="judges texts, and this model draws none"):
        opened(catalog_of(shipped / "results/mlp_gan", words=str(tmp_path / "words.txt")))
    with pytest.raises(UserError, match="cannot read it"):
        catalog_of(poems, words=str(tmp_path / "missing.txt"))


class Odd:
    """Leaves out every second sample."""

    def prepare(self, modality: Any) -> None: ...

    def rejects(self, samples: Any, modality: Any) -> list[bool]:
        return [number % 2 == 1 for number in range(len(samples))]

    def record(self) -> dict[str, Any]:
        return {"odd": True}
