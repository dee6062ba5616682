"""What a table shows as text: the finding, the verdicts, and the runs that failed or collapsed."""

import statistics
from collections.abc import Mapping

from src.reporting.runs import Run
from src.reporting.tables import SEEDS_NEEDED, TOO_FEW, Comparison, Table
from src.reporting.words import counted, mean, number, rounded

FAR = 3.5  # robust z-score of a far outlier
RARE = 0.1  # a class is hardly drawn if its share is below this part of its share in real data
SHARE = "class_min_share"  # begins the key of the rarest class's share; class_shares has all of them


def finding(table: Table) -> str:
    """Which recipe has the best mean, by how much, over how many seeds, or that this is inconclusive."""
    means = [(summary, group.label) for group in table.groups if (summary := group.summary(table.main))]
    if not means:
        return "No run has finished."
    means.sort(key=lambda pair: pair[0].mean, reverse=table.better == "higher")
    summary, best = means[0]
    value = " ".join(filter(None, [table.main, *mean(summary)]))
    value += f", {summary.mean / table.unit:.1f} times the floor" if table.unit else ""
    value += f", over {counted(len(summary.seeds), 'seed')}"
    if len(means) == 1:
        return f"{best}: {value}." + (" One seed does not tell how far others scatter." if len(summary.seeds) == 1 else "")
    against = {comparison.label: comparison for comparison in table.comparisons}
    first = against.get(best) or against[means[1][1]]  # the best against the baseline, or the next if it is the baseline
    words = "Inconclusive: " if first.verdict not in ("better", "worse") else ""
    words += f"{best}, the baseline, has" if best == table.baseline else f"{best} has"
    words += f" the {'lowest' if table.better == 'lower' else 'highest'} mean of {len(means)} recipes ({value}). "
    words += _compared("It" if first.label == best else f"The next, {first.label},", first, table.main)
    better = [against[label] for _, label in means if label in against and against[label].verdict == "better"]
    return words if first in better[:1] or not better else f"{words} {_compared(better[0].label, better[0], table.main)}"


def _compared(subject: str, comparison: Comparison, metric: str) -> str:
    verdict = {
        "inconclusive": "is not proven to differ from the baseline",
        TOO_FEW: f"has too few seeds in common with the baseline ({SEEDS_NEEDED} are needed)",
    }.get(comparison.verdict, f"is {comparison.verdict} than the baseline")
    return f"{subject} {verdict}: {reasons(comparison, metric)}."


def outliers(seeds: Mapping[int, float], better: str) -> list[int]:
    """The seeds that are far worse than the median: by a robust z-score above 3.5, and by half of the median.

    Iglewicz and Hoaglin 1993, "How to detect and handle outliers". Empty for fewer than three seeds. The second condition
    leaves out a seed that is far only in units of others that happen to lie close together.
    """
    if len(seeds) < 3:
        return []
    median = statistics.median(seeds.values())
    spread = statistics.median(abs(value - median) for value in seeds.values()) / 0.6745
    limit = max(FAR * spread, abs(median) / 2)
    return [seed for seed, value in seeds.items() if (value - median if better == "lower" else median - value) > limit]


def _rare_classes(run: Run) -> list[str]:
    floor: dict[str, float] = next(iter(run.record["controls"].values()), {})
    words = []
    for key, share in run.metrics.items():
        if key.startswith(SHARE) and share < RARE * floor.get(key, 0):
            shares = run.record["metrics"].get(key.replace(SHARE, "class_shares"), [share])
            names = run.manifest.get("spec", {}).get("y", {}).get("names", [])
            rarest = shares.index(min(shares))
            name = names[rarest] if len(names) == len(shares) else rarest
            words.append(
                f"class {name} is {100 * share:.2g} % of the samples, no class of real data below {100 * floor[key]:.2g} %"
            )
    return words


def verdicts(table: Table) -> list[tuple[str, str, str]]:
    """(verdict, label, reasons) of each comparison, then what `troubles` says."""
    return [(found.verdict, found.label, reasons(found, table.main)) for found in table.comparisons] + troubles(table)


def troubles(table: Table) -> list[tuple[str, str, str]]:
    """(state, label, seeds and reasons) of the runs that collapsed or gave no number.

    A run collapsed if it is far worse than the others of its recipe, or if it hardly draws a class.
    """
    found = []
    for group in table.groups:
        seeds = summary.seeds if (summary := group.summary(table.main)) else {}
        far = outliers(seeds, table.better)
        for run in group.finished:
            why = _rare_classes(run)
            if run.seed in far:
                median = number(statistics.median(seeds.values()))
                why = [f"{table.main} is {number(seeds[run.seed])}, the median of the recipe's seeds {median}", *why]
            if why:
                found.append(("collapsed", group.label, f"seed {run.seed}: {'; '.join(why)}"))
    for group in table.groups:
        for state in ("diverged", "unfinished"):
            if lost := group.seeds(state):
                found.append((state, group.label, f"seed{'' if len(lost) == 1 else 's'} {', '.join(map(str, lost))}"))
    return found


def p_words(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def reasons(comparison: Comparison, metric: str) -> str:
    """The numbers behind a verdict, in one sentence without its full stop."""
    if comparison.difference is None:
        return f"no common seed with {comparison.baseline}"
    difference, interval = comparison.difference, comparison.interval
    half = interval.high - difference if interval else 0.0
    size = rounded(abs(difference), half)
    words = f"{metric} is {size} {'lower' if difference < 0 else 'higher'} than that of {comparison.baseline}"
    if interval:
        words += f" (95 % interval of the difference {rounded(interval.low, half)} to {rounded(interval.high, half)})"
    words += f", {counted(len(comparison.seeds), 'common seed')}"
    if comparison.p is not None:
        words += f", Holm-adjusted {p_words(comparison.p)}"
    if comparison.lost:
        words += f"; {counted(comparison.lost, 'run')} of the two did not finish and cannot be compared"
    return words
