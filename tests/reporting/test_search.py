import re
from html.parser import HTMLParser

import pytest

from src.reporting.charts import WIDTH
from src.reporting.runs import Run
from src.reporting.search import Trial, curve_chart, score_chart, sweep_page
from src.reporting.tables import make_tables


@pytest.fixture
def trials() -> list[Trial]:
    """Two complete ones, the second better, one stopped early, one failed, one that runs."""
    point = {"model.g_optimizer.lr": "0.001", "loss": "<b>hinge</b>"}
    return [
        Trial(0, "complete", 20.0, point, {50: 30.0, 100: 20.0}, 1000, 60.0, ""),
        Trial(1, "failed", None, point, {}, 0, 2.0, "killed by <i>SIGKILL</i>"),
        Trial(2, "complete", 10.0, point, {50: 25.0, 100: 10.0}, 1000, 60.0, ""),
        Trial(3, "stopped early", 40.0, point, {50: 40.0}, 500, 30.0, ""),
        Trial(4, "running", None, {}, {50: 15.0}, 0, 0.0, ""),
    ]


def make_page(trials: list[Trial], best: Trial | None, runs: list[Run]) -> str:
    base = {"model.g_optimizer.lr": "0.002", "loss": "minimax"}
    tables = make_tables(runs, "base") if runs else []
    return sweep_page("rates", trials, best, {"loss": 0.75, "lr": 0.25}, base, tables, {"again": "python -m src.sweep 'a<b'"})


class Tags(HTMLParser):
    """Raises where a tag is closed that is not the open one."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, _: object) -> None:
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, _: object) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_says_what_happened(trials: list[Trial], five_seeds: list[Run]) -> None:
    page = make_page(trials, trials[2], [run for run in five_seeds if run.config["name"] != "same"])
    for words in (
        "<h1>rates: 5 trials</h1>",
        "2 complete, 1 failed, 1 running, 1 stopped early; 2500 training samples in 3 minutes of all trials together.",
        "The best validation score is 10.00, of trial 2.",
        "The winner: trial 2",
        "<td>0.002</td><td>0.001</td>",
        "failed: killed by &lt;i&gt;SIGKILL&lt;/i&gt;",
        "&lt;b&gt;hinge&lt;/b&gt;",
        "a&lt;b",
        '<span class="verdict better">better</span> <strong>good-digits</strong>',
        "quality per minute",  # of the runs on fresh seeds
    ):
        assert words in page
    assert "Not yet trained on fresh seeds" not in page
    assert "<script" not in page
    (tags := Tags()).feed(page)
    assert tags.open == []


def test_an_unconfirmed_winner_is_not_to_be_believed(trials: list[Trial]) -> None:
    assert "Not yet trained on fresh seeds: do not believe its score." in make_page(trials, trials[2], [])
    nothing = make_page([], None, [])
    assert "rates: 0 trials" in nothing
    assert "The winner" not in nothing


def test_the_best_so_far_falls_where_a_trial_is_better(trials: list[Trial]) -> None:
    chart = score_chart(trials)
    dots = [tuple(map(float, found)) for found in re.findall(r'<circle class="dot" cx="([\d.]+)" cy="([\d.]+)"', chart)]
    (path,) = re.findall(r'<path class="curve" d="([^"]+)"', chart)
    (x0, y0), (x2, y2) = dots
    assert x0 < x2 < WIDTH
    assert y0 < y2  # pixels grow downwards
    assert path == f"M{x0} {y0}V{y0}H{x2}V{y2}H{WIDTH - 16}"
    assert chart.count("trial 3: 40.00") == 1
    assert "trial 1" not in chart
    assert score_chart(trials[1:2]) == ""


def test_the_same_by_minutes(trials: list[Trial]) -> None:
    chart = score_chart(trials, over="minutes")
    dots = [float(found) for found in re.findall(r'<circle class="dot" cx="([\d.]+)"', chart)]
    assert "minutes, all trials together" in chart
    start, end = 52, WIDTH - 16
    assert dots == pytest.approx([start + (end - start) * spent / 152 for spent in (60, 122)], abs=0.1)  # of 152 seconds


def test_curves_of_what_has_ended(trials: list[Trial]) -> None:
    chart = curve_chart(trials)
    assert re.findall(r"trial (\d), ", chart) == ["3", "0", "2"]
    assert "per cent of a trial" in chart
    assert curve_chart(trials[1:2]) == ""
    at_once = [Trial(0, "complete", 1.0, {}, {0: 1.0}, 100, 1.0, "")]  # ended in the first half per cent
    assert 'cx="52.0"' in curve_chart(at_once)
    by_samples = [Trial(0, "complete", 1.0, {}, {5000: 2.0, 10_000: 1.0}, 10_000, 1.0, "")]
    assert "training samples of a trial" in curve_chart(by_samples)


def test_settings_by_importance(trials: list[Trial]) -> None:
    page = make_page(trials, trials[2], [])
    assert page.index('<th scope="row">loss</th><td>0.75</td>') < page.index('<th scope="row">lr</th><td>0.25</td>')


def test_higher_scores_may_be_better(trials: list[Trial]) -> None:
    (path,) = re.findall(r'<path class="curve" d="([^"]+)"', score_chart(trials, better="higher"))
    assert path.count("H") == 1  # the first stays the best


def test_the_same_sweep_gives_the_same_bytes(trials: list[Trial], five_seeds: list[Run]) -> None:
    assert make_page(trials, trials[0], five_seeds) == make_page(trials, trials[0], five_seeds)
