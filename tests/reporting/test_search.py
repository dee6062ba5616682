import re
from html.parser import HTMLParser
from typing import Any

import optuna
import pytest
from optuna.study import Study
from optuna.trial import TrialState

from src.reporting.runs import Run
from src.reporting.search import curve_chart, score_chart, sweep_page
from src.reporting.tables import make_tables
from src.search.space import read_space

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
SPACE = read_space(
    {
        "model.g_optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-2},
        "loss": {"type": "categorical", "choices": ["<b>hinge</b>", "minimax"]},
    }
)
POINT = {"model.g_optimizer.lr": 0.001, "loss": "'<b>hinge</b>'"}


def make_study(*trials: dict[str, Any], direction: str = "minimize") -> Study:
    """A study with these trials: state, value, params, curve and user attributes, each where it is given."""
    study = optuna.create_study(study_name="rates", direction=direction)
    for trial in trials:
        params, curve = trial.pop("params", POINT), trial.pop("curve", {})
        distributions = {key: found for key, found in SPACE.items() if key in params}
        state, value = trial.pop("state", TrialState.COMPLETE), trial.pop("value", None)
        created = optuna.trial.create_trial(
            state=state,
            value=value,
            params=params,
            distributions=distributions,
            user_attrs=trial,
            intermediate_values=curve,
        )
        study.add_trial(created)
    return study


def five_trials(direction: str = "minimize") -> Study:
    """Two complete ones, the second lower, one stopped early, one failed, one that runs."""
    return make_study(
        {"value": 20.0, "curve": {50: 30.0, 100: 20.0}, "samples": 1000, "seconds": 60.0},
        {"state": TrialState.FAIL, "seconds": 2.0, "reason": "killed by <i>SIGKILL</i>"},
        {"value": 10.0, "curve": {50: 25.0, 100: 10.0}, "samples": 1000, "seconds": 60.0},
        {"state": TrialState.PRUNED, "value": 40.0, "curve": {50: 40.0}, "samples": 500, "seconds": 30.0},
        {"state": TrialState.RUNNING, "params": {}, "curve": {50: 15.0}},
        direction=direction,
    )


def make_page(study: Study, runs: list[Run]) -> str:
    base = {"model.g_optimizer.lr": "0.002", "loss": "minimax"}
    tables = make_tables(runs, "base") if runs else []
    return sweep_page(study, [*SPACE], base, tables, {"again": "python -m src.sweep 'a<b'"})


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


def test_the_page_says_what_happened(five_seeds: list[Run]) -> None:
    page = make_page(five_trials(), [run for run in five_seeds if run.config["name"] != "same"])
    for words in (
        "<h1>rates: 5 trials</h1>",
        "2 complete, 1 failed, 1 running, 1 stopped early; 2500 training samples in 3 minutes of all trials together.",
        "The best validation score is 10.00, of trial 2.",
        "2 complete trials are too few to tell",
        "The winner: trial 2",
        "<td>0.002</td><td>0.001</td>",
        "failed: killed by &lt;i&gt;SIGKILL&lt;/i&gt;",
        "&lt;b&gt;hinge&lt;/b&gt;",
        "a&lt;b",
        '<span class="verdict better">better</span> <strong>good-digits</strong>',
        "good-digits has the lowest mean of 2 recipes",
    ):
        assert words in page
    assert re.findall(r'<tr><th scope="row">(\d)</th>', page) == ["2", "0", "3", "1", "4"]  # all trials, the best first
    assert "Not yet trained on fresh seeds" not in page
    assert "<script" not in page
    (tags := Tags()).feed(page)
    assert tags.open == []


def test_an_unconfirmed_winner_is_not_to_be_believed() -> None:
    assert "Not yet trained on fresh seeds: do not believe its score." in make_page(five_trials(), [])
    nothing = make_page(make_study(), [])
    assert "rates: 0 trials" in nothing
    assert "The winner" not in nothing


def points(figure: Any, marker: str) -> list[list[tuple[float, float]]]:
    """The points of each line of a chart that is drawn with this marker."""
    return [[*zip(*line.get_data(), strict=True)] for line in figure.axes[0].lines if line.get_marker() == marker]


def test_the_best_so_far_falls_where_a_trial_is_better() -> None:
    chart = score_chart(five_trials())
    assert points(chart, "o") == [[(1000, 20.0), (2000, 10.0)]]
    assert points(chart, "x") == [[(2500, 40.0)]]
    assert points(chart, "None") == [[(1000, 20.0), (2000, 10.0), (2500, 10.0)]]
    assert score_chart(make_study({"state": TrialState.FAIL})) is None
    pruned = score_chart(make_study({"state": TrialState.PRUNED, "value": 4.0, "samples": 5}))
    assert points(pruned, "None") == []


def test_higher_scores_may_be_better() -> None:
    assert points(score_chart(five_trials("maximize")), "None") == [[(1000, 20.0), (2000, 20.0), (2500, 20.0)]]


def test_curves_of_what_has_ended() -> None:
    chart: Any = curve_chart(five_trials())
    assert points(chart, "o") == [[(50, 40.0)], [(50, 30.0), (100, 20.0)], [(50, 25.0), (100, 10.0)]]
    assert "per cent of a trial" in chart.axes[0].get_xlabel()
    assert curve_chart(make_study({"state": TrialState.FAIL})) is None
    chart = curve_chart(make_study({"value": 1.0, "curve": {5000: 2.0, 10_000: 1.0}}))
    assert "training samples of a trial" in chart.axes[0].get_xlabel()


def test_settings_by_importance() -> None:
    values = [{"value": lr, "params": POINT | {"model.g_optimizer.lr": lr}} for lr in (0.001, 0.002, 0.003, 0.004, 0.005)]
    page = make_page(make_study(*values), [])
    found = re.findall(r'<tr><th scope="row">([a-z_.]+)</th><td>(\d\.\d\d)</td>', page)
    assert [key for key, _ in found] == ["model.g_optimizer.lr", "loss"]
    assert sum(float(value) for _, value in found) == pytest.approx(1)
