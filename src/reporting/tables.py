"""Runs grouped into recipes, and recipes into tables: one for each data set, main metric and protocol."""

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from src.config.errors import UserError, nearest
from src.config.identity import differences
from src.evaluation.intervals import Interval, holm, mean_interval, p_value, prediction_interval
from src.evaluation.suite import Column
from src.reporting.runs import Run

ALPHA = 0.05
SEEDS_NEEDED = 5  # common seeds that a verdict needs
TOO_FEW = "inconclusive: too few seeds"

# Entries of a protocol that may differ within a table.
OF_A_RUN = ("checkpoint", "network_sha256", "weights")


@dataclass(frozen=True)
class Summary:
    """One metric of one recipe over its finished seeds. Intervals cover 95 %; None for a single seed."""

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
        """The summary of a metric; None if no finished run has it."""
        seeds = {run.seed: run.metrics[metric] for run in self.finished if metric in run.metrics}
        values = list(seeds.values())
        if not values:
            return None
        return Summary(seeds, statistics.fmean(values), mean_interval(values), prediction_interval(values))

    @property
    def bounds(self) -> dict[str, str]:
        """Key of each metric that is only bounded from above -> what kind of bound it is."""
        return self.finished[0].record.get("bounds", {}) if self.finished else {}

    def cost(self, key: str) -> float | None:
        """The mean of an entry of the runs' costs (`Run.cost`) over the finished seeds; None if one of them has none."""
        found = [run.cost[key] for run in self.finished if key in run.cost]
        return statistics.fmean(found) if found and len(found) == len(self.finished) else None

    @property
    def protocol(self) -> dict[str, Any] | None:
        """How the recipe's runs were measured, None without a finished one; raises UserError if seeds differ in it."""
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
    """A recipe against the baseline, paired by seed: difference = its main metric - the baseline's, on the common seeds."""

    label: str
    baseline: str
    better: str  # "lower" or "higher"
    seeds: list[int]
    difference: float | None  # None without a common seed
    interval: Interval | None
    p: float | None  # adjusted by Holm over the table; None with too few seeds
    lost: int  # runs of the two that did not finish; the comparison leaves them out

    @property
    def verdict(self) -> str:
        if self.p is None or self.difference is None:
            return TOO_FEW
        if self.p >= ALPHA:
            return "inconclusive"
        return "better" if beats(self.difference, 0, self.better) else "worse"


def beats(value: float, other: float, better: str) -> bool:
    return value > other if better == "higher" else value < other


@dataclass(frozen=True)
class Table:
    """Recipes that may be compared. If no run has finished, `main` is "score" and most other fields are empty."""

    data: str
    main: str  # the metric that recipes are compared by
    better: str  # "lower" or "higher"
    columns: list[Column]
    protocol: dict[str, Any]
    controls: dict[str, dict[str, Any]]  # name -> metrics; the first is the floor, see `floor`
    control_names: dict[str, str]
    groups: list[Group]
    comparisons: list[Comparison]
    baseline: str = ""  # label of the recipe that others are compared to; empty if there is nothing to compare
    chosen: bool = False  # whether the user named the baseline

    @property
    def runs(self) -> list[Run]:
        return [run for group in self.groups for run in group.runs]

    @property
    def seeds(self) -> list[int]:
        return sorted({run.seed for run in self.runs})

    @property
    def floor(self) -> float | None:
        """The main metric of the first control; None if it has none, or is a baseline that models shall beat."""
        name = next(iter(self.controls), "")
        baseline = self.control_names.get(name, "").endswith("(baseline)")
        return None if baseline else self.controls.get(name, {}).get(self.main)

    @property
    def unit(self) -> float | None:
        """The floor, if values can be multiples of it: it is positive and lower values are better; else None."""
        return self.floor if self.better == "lower" and self.floor and self.floor > 0 else None

    def beaten_by(self, control: str, column: Column) -> tuple[list[str], bool]:
        """(labels of the recipes whose mean a control beats in a column, whether these are all recipes)."""
        means = {group.label: summary.mean for group in self.groups if (summary := group.summary(column.key))}
        value = self.controls[control].get(column.key)
        if value is None or column.better is None:
            return [], False
        beaten = [label for label, mean in means.items() if beats(value, mean, column.better)]
        return beaten, len(beaten) == len(means)


def shared_protocol(run: Run) -> dict[str, Any]:
    return {key: value for key, value in run.record["protocol"].items() if key not in OF_A_RUN}


def group_runs(runs: Iterable[Run]) -> list[Group]:
    """Groups, sorted by label: config name and data set, with the config's short hash if two recipes share these."""
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
    """One table for each data set, main metric and protocol.

    baseline: the label or the config name of the recipe that others are compared to. If it is None, or not in a table, the
    first finished recipe by label takes its place. Raises UserError for a baseline that no table has, or two rows.
    """
    tables: dict[str, list[Group]] = defaultdict(list)
    home: dict[str, str] = {}  # data set and evaluation settings -> the table of the recipes that have them
    for group in sorted(group_runs(runs), key=lambda group: not group.finished):
        config, protocol = group.runs[0].config, group.protocol
        data = config["data"]["name"]
        settings = json.dumps([data, config["evaluation"]], sort_keys=True)
        if protocol is None:
            key = home.get(settings, settings)
        else:
            key = json.dumps([data, group.finished[0].main, protocol], sort_keys=True)
            home.setdefault(settings, key)
        tables[key].append(group)
    names = {name for groups in tables.values() for group in groups for name in (group.label, group.runs[0].config["name"])}
    if baseline is not None and baseline not in names:
        raise UserError(f"baseline={baseline} is none of these recipes: {nearest(baseline, names)}")
    return [_table(sorted(groups, key=lambda group: group.label), baseline) for _, groups in sorted(tables.items())]


def _table(groups: list[Group], baseline: str | None) -> Table:
    data = groups[0].runs[0].config["data"]["name"]
    measured = [group for group in groups if group.finished]
    if not measured:
        return Table(data, "score", "lower", [], {}, {}, {}, groups, [])
    columns: dict[str, Column] = {}
    controls: dict[str, dict[str, Any]] = defaultdict(dict)
    names: dict[str, str] = {}
    for group in measured:  # some recipes have more metrics than others: class-conditional ones do
        record = group.finished[0].record
        columns |= {entry["key"]: Column(**entry) for entry in record["columns"] if entry["key"] not in columns}
        for name, metrics in record["controls"].items():
            controls[name] |= metrics
        names |= record["control_names"]
    first = measured[0].finished[0]
    main, better = first.main, first.record["main"]["better"]
    named = _baseline(groups, baseline)
    reference = named or measured[0]
    return Table(
        data=data,
        main=main,
        better=better,
        columns=list(columns.values()),
        protocol=shared_protocol(first),
        controls=dict(controls),
        control_names=names,
        groups=groups,
        comparisons=(comparisons := _compare(measured, reference, main, better)),
        baseline=reference.label if comparisons else "",
        chosen=named is not None,
    )


def _baseline(groups: list[Group], name: str | None) -> Group | None:
    chosen = [group for group in groups if name in (group.label, group.runs[0].config["name"])]
    if len(chosen) > 1:
        raise UserError(f"baseline={name} is {len(chosen)} recipes: say {' or '.join(group.label for group in chosen)}")
    return chosen[0] if chosen else None


def _compare(groups: list[Group], baseline: Group, metric: str, better: str) -> list[Comparison]:
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
            better=better,
            seeds=list(found),
            difference=statistics.fmean(found.values()) if found else None,
            interval=mean_interval(list(found.values())),
            p=adjusted.get(label),
            lost=lost[label] + lost[baseline.label],
        )
        for label, found in differing.items()
    ]
