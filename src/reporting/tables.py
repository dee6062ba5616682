"""Runs gathered into what can be compared: recipes over their seeds, one table per data set and protocol.

Lower is better throughout: recipes are compared by their Fréchet distance.
"""

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from src.config.checks import differences
from src.config.errors import UserError, nearest
from src.evaluation.intervals import Interval, holm, mean_interval, p_value, prediction_interval
from src.reporting.runs import Run

ALPHA = 0.05
SEEDS_NEEDED = 5  # common ones, for a verdict

# What the protocol says of one run or one recipe alone; the rest must be the same wherever numbers stand side by side.
OF_A_RUN = ("checkpoint", "generator_sha256", "weights")


@dataclass(frozen=True)
class Summary:
    """One metric of one recipe over its finished seeds. The intervals are of 95 %, None for a single seed."""

    seeds: dict[int, float]
    mean: float
    interval: Interval | None  # of the mean
    prediction: Interval | None  # of one further seed


@dataclass(frozen=True)
class Group:
    """The runs of one recipe, by seed."""

    label: str
    recipe: str
    runs: list[Run]

    @cached_property
    def finished(self) -> list[Run]:
        return [run for run in self.runs if run.finished]

    def seeds(self, state: str) -> list[int]:
        return [run.seed for run in self.runs if run.state == state]

    def summary(self, metric: str) -> Summary | None:
        """None where no finished run has this metric."""
        seeds = {run.seed: run.metrics[metric] for run in self.finished if metric in run.metrics}
        values = list(seeds.values())
        if not values:
            return None
        return Summary(seeds, statistics.fmean(values), mean_interval(values), prediction_interval(values))

    @property
    def protocol(self) -> dict[str, Any] | None:
        """How its runs were measured; raises UserError where that differs between seeds."""
        protocols = [(run.name, shared_protocol(run)) for run in self.finished]
        for name, protocol in protocols:
            if changes := differences(protocols[0][1], protocol):
                raise UserError(
                    f"{protocols[0][0]} and {name} are one recipe measured in two ways ({'; '.join(changes)}): evaluate one "
                    "of them again (python -m src.evaluate run=...) or leave it out of runs="
                )
        return protocols[0][1] if protocols else None


@dataclass(frozen=True)
class Comparison:
    """A recipe against the baseline, paired by seed: difference = its distance - the baseline's, on the common seeds."""

    label: str
    baseline: str
    seeds: list[int]
    difference: float | None  # None without a common seed
    interval: Interval | None
    p: float | None  # adjusted by Holm over the table; None with too few seeds
    lost: int  # started but not finished runs of the two: the comparison is silent about them

    @property
    def verdict(self) -> str:
        if self.p is None or self.difference is None:
            return "inconclusive: too few seeds"
        if self.p >= ALPHA:
            return "inconclusive"
        return "better" if self.difference < 0 else "worse"


@dataclass(frozen=True)
class Table:
    """What may stand side by side: one data set, one extractor, one protocol."""

    data: str
    extractor: str
    main: str  # the metric recipes are compared by
    protocol: dict[str, Any]  # empty where no run has finished
    anchors: dict[str, dict[str, Any]]  # real, noise, training_copies -> metrics; empty where no run has finished
    groups: list[Group]
    comparisons: list[Comparison]

    @property
    def runs(self) -> list[Run]:
        return [run for group in self.groups for run in group.runs]


def shared_protocol(run: Run) -> dict[str, Any]:
    assert run.result is not None, "a finished run"
    return {key: value for key, value in run.result["protocol"].items() if key not in OF_A_RUN}


def group_runs(runs: Iterable[Run]) -> list[Group]:
    """Groups by label: config name and data set, and the config's short hash where that alone would name two."""
    recipes: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        recipes[run.recipe].append(run)
    labels = {recipe: f"{run.config['name']}-{run.config['data']['name']}" for recipe, (run, *_) in recipes.items()}
    count = Counter(labels.values())
    groups = [
        Group(label if count[label] == 1 else f"{label}-{recipe}", recipe, sorted(recipes[recipe], key=lambda run: run.seed))
        for recipe, label in labels.items()
    ]
    return sorted(groups, key=lambda group: group.label)


def make_tables(runs: Iterable[Run], baseline: str | None = None) -> list[Table]:
    """One table per data set, extractor and protocol.

    baseline: the label or the config name of the recipe that others are held against. In a table without it, and where it
    is None, that is the first finished one by label. Raises UserError for a baseline that no table or two rows have.
    """
    tables: dict[str, list[Group]] = defaultdict(list)
    pending = []
    for group in group_runs(runs):
        if (protocol := group.protocol) is None:
            pending.append(group)
        else:
            tables[json.dumps([protocol["data"], protocol["extractor"], protocol], sort_keys=True)].append(group)
    for group in pending:  # stand with those that they would have been compared to
        config = group.runs[0].config
        start = json.dumps([config["data"]["name"], config["evaluation"]["extractor"]])[:-1]
        tables[next((key for key in sorted(tables) if key.startswith(f"{start},")), f"{start}]")].append(group)
    names = {name for groups in tables.values() for group in groups for name in (group.label, group.runs[0].config["name"])}
    if baseline is not None and baseline not in names:
        raise UserError(f"baseline={baseline} is none of these recipes: {nearest(baseline, names)}")
    return [_table(sorted(groups, key=lambda group: group.label), baseline) for _, groups in sorted(tables.items())]


def _table(groups: list[Group], baseline: str | None) -> Table:
    config = groups[0].runs[0].config
    measured = [group for group in groups if group.finished]
    if not measured:
        extractor = config["evaluation"]["extractor"]
        return Table(config["data"]["name"], extractor, f"fd_{extractor}", {}, {}, groups, [])
    first = measured[0].finished[0]
    assert first.result is not None, "a finished run"
    return Table(
        data=first.result["protocol"]["data"],
        extractor=first.result["protocol"]["extractor"],
        main=first.main,
        protocol=shared_protocol(first),
        anchors=_anchors(measured),
        groups=groups,
        comparisons=_compare(measured, _baseline(groups, baseline) or measured[0], first.main),
    )


def _anchors(groups: list[Group]) -> dict[str, dict[str, Any]]:
    """Of all groups together: class-conditional ones have more metrics, and what two have is the same in both."""
    anchors: dict[str, dict[str, Any]] = defaultdict(dict)
    for group in groups:
        for name, metrics in (group.finished[0].result or {})["anchors"].items():
            anchors[name] |= metrics
    return dict(anchors)


def _baseline(groups: list[Group], name: str | None) -> Group | None:
    chosen = [group for group in groups if name in (group.label, group.runs[0].config["name"])]
    if len(chosen) > 1:
        raise UserError(f"baseline={name} is {len(chosen)} recipes: say {' or '.join(group.label for group in chosen)}")
    return chosen[0] if chosen else None


def _compare(groups: list[Group], baseline: Group, metric: str) -> list[Comparison]:
    """Every other group against the baseline; Holm over those with enough seeds to be tested."""
    reference = baseline.summary(metric)
    values = reference.seeds if reference else {}
    differing: dict[str, dict[int, float]] = {}
    for group in groups:
        if group is not baseline and (summary := group.summary(metric)):
            differing[group.label] = {seed: v - values[seed] for seed, v in summary.seeds.items() if seed in values}
    tested = [label for label, found in differing.items() if len(found) >= SEEDS_NEEDED]
    adjusted = dict(zip(tested, holm([p_value(list(differing[label].values())) for label in tested]), strict=True))
    lost = {group.label: len(group.runs) - len(group.finished) for group in [*groups, baseline]}
    return [
        Comparison(
            label=label,
            baseline=baseline.label,
            seeds=list(found),
            difference=statistics.fmean(found.values()) if found else None,
            interval=mean_interval(list(found.values())),
            p=adjusted.get(label),
            lost=lost[label] + lost[baseline.label],
        )
        for label, found in differing.items()
    ]
