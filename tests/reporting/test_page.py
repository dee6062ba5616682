import base64
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from src.reporting.page import figure_files, film_files, page
from src.reporting.runs import Run, find_runs
from src.reporting.tables import make_tables
from src.runs.review import append

MakeRun = Callable[..., Path]
Edit = Callable[..., None]
VOID = {"meta", "img", "circle"}


class Parsed(HTMLParser):
    """Tags, attributes and words of a page; raises where a tag is left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.ids: list[str] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        links = [value or "" for key, value in attrs if key in ("src", "href", "data", "srcset", "action", "poster")]
        self.sources += [link for link in links if not link.startswith("#table-")]
        self.ids += [value or "" for key, value in attrs if key == "id" and tag == "section"]
        assert not any(key.startswith("on") for key, _ in attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture
def rich(five_seeds: list[Run], make_run: MakeRun, tmp_path: Path) -> list[Run]:
    """Three recipes, five seeds, a failure and an unfinished run."""
    make_run("base", 5, state="diverged")
    make_run("good", 5, state="unfinished")
    return find_runs(str(tmp_path / "runs"))


def test_the_page_is_whole_and_needs_nothing_else(rich: list[Run]) -> None:
    text = page(make_tables(rich))
    parsed = Parsed(text)
    assert "script" not in parsed.tags
    assert "link" not in parsed.tags
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert all(source.startswith("data:image/") for source in parsed.sources)
    assert not re.search(r"https?://|url\((?!#)|@import", text)


def test_what_it_says(rich: list[Run]) -> None:
    words = Parsed(page(make_tables(rich))).words
    assert "17 runs, 3 recipes, 6 seeds, 1 data set" in words
    assert "15 of 17 runs finished" in words
    assert words.index("digits: good-digits has the lowest mean of 3 recipes") < words.index("Samples at the last step")
    assert words.index("Samples at the last step") < words.index("recipeFD ↓") < words.index("How it was made")
    assert "Baseline: base-digits, the first by name; baseline= chooses another." in words
    assert "better good-digits: fd_digits is 0.980 lower than that of base-digits" in words
    assert "diverged base-digits: seed 5." in words
    assert "unfinished good-digits: seed 5." in words
    assert "2.00± 0.11" in words
    for name in ("real images (floor)", "noise (ceiling)", "training copies", "weights_sha256", "final weights"):
        assert name in words
    assert "python -m src.verify run=runs/base/0" in words


def test_every_grid_and_a_film_of_each_recipe(rich: list[Run]) -> None:
    tables = make_tables(rich)
    sources = Parsed(page(tables)).sources
    pictures = [source for source in sources if source.startswith("data:image/png;base64,")]
    assert len(pictures) == 17
    assert rich[0].grid is not None
    assert base64.b64decode(pictures[0].split(",")[1]) == rich[0].grid.read_bytes()
    assert len(sources) - len(pictures) == 3
    assert len(Parsed(page(tables, films="none")).sources) == 17


def test_pairs_of_each_recipe(make_run: MakeRun, rich: list[Run], tmp_path: Path) -> None:
    assert "Unseen pairs" not in page(make_tables(rich))
    (make_run("translator", 0) / "samples" / "pairs.png").write_bytes(b"pairs 0")
    (make_run("translator", 1) / "samples" / "pairs.png").write_bytes(b"pairs 1")
    parsed = Parsed(page(make_tables(find_runs(str(tmp_path / "runs"))), films="none"))
    assert "Unseen pairs: what a sample is made from" in parsed.words
    shown = [base64.b64decode(source.split(",")[1]) for source in parsed.sources]
    assert [picture for picture in shown if picture.startswith(b"pairs")] == [b"pairs 0"]


def test_films_and_figures_beside_the_page(rich: list[Run], tmp_path: Path) -> None:
    tables = make_tables(rich)
    films = film_files(tables)
    links = [source for source in Parsed(page(tables, films="beside", beside="a b")).sources if ":" not in source]
    assert links == [f"a b/{name}" for name in films]
    assert [*films] == ["film-base-digits-0.gif", "film-good-digits-0.gif", "film-same-digits-0.gif"]
    assert all(film.startswith(b"GIF") for film in films.values())
    assert [*figure_files(tables, "svg")] == ["1-digits-fd_digits-seeds.svg", "1-digits-fd_digits-training.svg"]


def test_samples_may_be_text(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run("poet", 0)
    (folder / "samples" / "step-000000020.png").rename(folder / "samples.png")
    for path in (folder / "samples").glob("step-*"):
        path.unlink()
    (folder / "samples" / "step-000000020.txt").write_text("a <b>rose</b>")
    text = page(make_tables(find_runs(str(tmp_path / "runs"))), films="none")
    assert "<pre>a &lt;b&gt;rose&lt;/b&gt;</pre>" in text
    assert "data:image" not in text


def test_music_is_played_from_within_the_page(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first seed of each recipe, as long as there is room."""
    for name in ("folk", "jazz"):
        for seed in range(2):
            samples = make_run(name, seed) / "samples"
            for step in (0, 20):
                (samples / f"sound-{step:09d}.wav").write_bytes(f"RIFF{name}{seed}{step}".encode())
                (samples / f"sound-{step:09d}.svg").write_text("<svg/>")
    tables = make_tables(find_runs(str(tmp_path / "runs")))
    parsed = Parsed(page(tables, films="none"))
    sounds = [source for source in parsed.sources if source.startswith("data:audio/wav;base64,")]
    assert [base64.b64decode(source.split(",")[1]) for source in sounds] == [b"RIFFfolk020", b"RIFFjazz020"]
    assert sum(source.startswith("data:image/svg+xml") for source in parsed.sources) == 2
    assert "media-src data:" in page(tables)
    monkeypatch.setattr("src.reporting.sounds.MOST", 30)
    assert page(tables, films="none").count("<audio") == 1


def test_clips_move_in_the_page(make_run: MakeRun, tmp_path: Path) -> None:
    for seed in range(2):
        (make_run("clips", seed) / "samples" / "moving-000000020.gif").write_bytes(f"GIF{seed}".encode())
    parsed = Parsed(page(make_tables(find_runs(str(tmp_path / "runs"))), films="none"))
    found = [source for source in parsed.sources if source.startswith("data:image/gif;base64,")]
    assert [base64.b64decode(source.split(",")[1]) for source in found] == [b"GIF0"]


def test_what_people_said_of_samples(rich: list[Run]) -> None:
    assert "Judged by people" not in page(make_tables(rich))
    for n in range(4):
        append(
            rich[0].path, {"kind": "blind", "settings": {"seed": n}, "generated": True, "answer": ("generated", "real")[n // 3]}
        )
        append(
            rich[0].path, {"kind": "mark", "settings": {"seed": n}, "mark": ("keep", "reject", "none", "keep")[n], "note": ""}
        )
    text = page(make_tables(rich))
    assert "seed 0: in the blind test 3 of 4 answers are right, a share of 0.75 (95 % Wilson interval 0.30 to 0.95; " in text
    assert "; 2 samples kept, 1 rejected.</li>" in text


def test_a_chosen_baseline_is_named(rich: list[Run]) -> None:
    text = page(make_tables(rich, "good"))
    assert "Baseline: good-digits." in text
    assert text.count('<span class="verdict baseline">baseline</span>') == 1


def test_what_comes_from_a_folder_is_escaped(make_run: MakeRun, edit: Edit, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
    folder = make_run("evil", 0)
    make_run("good", 0)
    edit(folder / "config.yaml", lambda config: config.update(name=evil.replace("/", ""), note={evil: evil}))
    edit(
        folder / "manifest.json",
        lambda m: m.update(commit=evil, threads=evil, final_weights=evil, sources={evil: evil}, cpu_capability=evil),
    )
    edit(folder / "manifest.json", lambda manifest: manifest["packages"].update(torch=evil))
    edit(folder / "manifest.json", lambda manifest: manifest["ended"].update(reason=evil))
    edit(
        folder / "metrics.json",
        lambda result: result["protocol"].update({"split": evil, evil: evil, "samples": evil, "extractor": evil}),
    )
    edit(
        folder / "metrics.json",
        lambda result: (
            [part.update({f"fd_{evil}": part.pop("fd_digits")}) for part in [result["metrics"], *result["controls"].values()]]
            + [
                result["main"].update(name=f"fd_{evil}"),
                result["columns"][0].update(key=f"fd_{evil}", header=evil, meaning=evil),
            ]
            + [result["control_names"].update(real=evil)]
        ),
    )
    other = make_run("other", 0, state="diverged")
    edit(other / "config.yaml", lambda config: config["data"].update(name=evil.replace("/", "")))
    folder.rename(folder.with_name("<script>"))
    parsed = Parsed(page(make_tables(find_runs(str(tmp_path)))))
    assert "script" not in parsed.tags
    assert parsed.words.count("<script>alert(1)</script>") > 10
    assert all(source.startswith("data:image/") for source in parsed.sources)


def test_protocols_that_differ_are_said_to(make_run: MakeRun, edit: Edit, tmp_path: Path) -> None:
    make_run("many", 0)
    edit(make_run("few", 0) / "metrics.json", lambda result: result["protocol"].update(samples=100))
    words = Parsed(page(make_tables(find_runs(str(tmp_path))))).words
    assert "do not compare the two: samples: 100 -> 200." in words


def test_code_that_differs_is_said_to(make_run: MakeRun, edit: Edit, tmp_path: Path) -> None:
    first, second = make_run("mlp_gan", 0), make_run("mlp_gan", 1)
    edit(first / "manifest.json", lambda manifest: manifest.update(commit="a" * 40))
    edit(second / "manifest.json", lambda manifest: manifest.update(commit="b" * 40 + "+changes"))
    words = Parsed(page(make_tables(find_runs(str(tmp_path))))).words
    assert "Code: aaaaaaaaaa, bbbbbbbbbb+changes; the files that make a run are the same." in words
    edit(second / "manifest.json", lambda manifest: manifest["sources"].update({"src/training/fit.py": "other"}))
    words = Parsed(page(make_tables(find_runs(str(tmp_path))))).words
    assert "different code: aaaaaaaaaa (1 run), bbbbbbbbbb+changes (1 run); they differ in src/training/fit.py." in words


def test_what_sets_recipes_apart(make_run: MakeRun, edit: Edit, tmp_path: Path) -> None:
    make_run("a", 0)
    edit(make_run("b", 0) / "config.yaml", lambda config: config["data"].update(batch_size=48))
    words = Parsed(page(make_tables(find_runs(str(tmp_path))))).words
    assert "Settings that differ between recipes1 settinga-digits" in words
    assert "data.batch_size48" in words


def test_nothing_finished_is_a_page_too(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("mlp_gan", 0, state="diverged")
    words = Parsed(page(make_tables(find_runs(str(tmp_path))))).words
    assert "0 of 1 runs finished" in words
    assert "No run has finished" in words


def test_the_same_runs_give_the_same_page(rich: list[Run]) -> None:
    assert page(make_tables(rich)) == page(make_tables(list(reversed(rich))))


def test_what_trainings_cost_and_gave(make_run: MakeRun, edit: Edit, tmp_path: Path) -> None:
    """Means by hand: 3 minutes of 1 and of 5."""
    for seed, distance, seconds in ((0, 4.0, 60), (1, 8.0, 300)):
        folder = make_run("mlp_gan", seed, distance)
        edit(folder / "metrics.json", lambda result: result["controls"]["real"].update(fd_digits=1.5))
        ended = {
            "seconds": seconds,
            "cpu_seconds": 2 * seconds,
            "cpu_energy_joules": 7200.0,
            "peak_memory_mb": 512.4,
            "gpu_peak_memory_mb": 4321.0,
        }
        edit(folder / "manifest.json", lambda manifest: manifest.update(device="cuda", processes=2))
        edit(folder / "manifest.json", lambda manifest, ended=ended: manifest["ended"].update(ended))
    lost = make_run("other", 0, state="diverged")
    edit(lost / "manifest.json", lambda manifest: manifest["ended"].pop("seconds", None))
    text = page(make_tables(find_runs(str(tmp_path / "runs"))))
    assert "<td>3.000</td><td>6.000</td><td>2.000</td><td>512.4</td><td>4321</td></tr>" in text
    assert "<td>4321</td><td>cuda</td><td>2</td>" in text
    assert "other-digits" in text
