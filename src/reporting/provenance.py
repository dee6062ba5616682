"""The page's section on provenance: code, cost, settings, and commands that repeat the runs."""

import shlex
import statistics
from collections import Counter
from html import escape
from typing import Any

from src.config.identity import identity
from src.reporting import charts
from src.reporting.markup import figure, folded, grid, listing, name_of, row, texts
from src.reporting.runs import Run
from src.reporting.tables import Table
from src.reporting.words import counted, number

COST = (
    *("recipe", "seed", "ended by", "steps", "samples", "seconds", "CPU seconds", "CPU Wh", "samples/s", "MB", "GPU MB"),
    *("device", "processes", "threads", "CPU", "torch", "final weights"),
)
SPENT = {
    "minutes": ("seconds", 1 / 60),
    "CPU minutes": ("cpu_seconds", 1 / 60),
    "CPU Wh": ("cpu_energy_joules", 1 / 3600),
    "MB": ("peak_memory_mb", 1),
}
# Changes to a run's config for repeating it: it must not publish anything or replace an earlier run.
REPEAT = "publish=null evaluate=true fresh=false on_change=refuse +hydra=quiet hydra/hydra_logging=none hydra/job_logging=none"
NOTE = """CPU Wh are the energy that the machine's processors used meanwhile, where they count it. MB are the memory of the
largest process."""
QUALITY = """Quality is the floor divided by a recipe's mean: 1 is as good as the floor. Divided by the minutes of training it
favours short trainings, whose first minute improves more than the last; the curves show the rest. """


def origin(tables: list[Table]) -> str:
    """How many runs finished, and whether the same code made them all."""
    runs = [run for table in tables for run in table.runs]
    finished = sum(run.finished for run in runs)
    words = f"{finished} of {len(runs)} runs finished." if finished < len(runs) else "All runs finished."
    commits = Counter(map(_commit, runs))
    if changed := _changed_files(runs):
        counts = ", ".join(f"{commit} ({counted(n, 'run')})" for commit, n in sorted(commits.items()))
        return f"{words} The runs were made by different code: {counts}; they differ in {changed}."
    if len(commits) > 1:
        return f"{words} Code: {', '.join(sorted(commits))}; the files that make a run are the same."
    return f"{words} Code: {next(iter(commits))}, the same for all."


def _commit(run: Run) -> str:
    commit, _, changes = str(run.manifest.get("commit", "unknown")).partition("+")
    return commit[:10] + ("+changes" if changes else "")


def _changed_files(runs: list[Run]) -> str:
    """The source files that differ between the runs that use them, as text; empty if none does."""
    sources: list[dict[str, Any]] = [run.manifest.get("sources", {}) for run in runs]
    names = sorted({name for files in sources for name in files})
    changed = [name for name in names if len({files[name] for files in sources if name in files}) > 1]
    return ", ".join(changed[:6]) + (f" and {len(changed) - 6} more" if len(changed) > 6 else "")


def making(tables: list[Table]) -> str:
    """The section: cost, settings and commands."""
    return f"""<section>
<h2>How it was made</h2>
{cost(tables)}
{_recipes(tables)}
{_commands(tables)}
</section>
"""


def cost(tables: list[Table]) -> str:
    """Time, energy and memory of the trainings, and quality for the time."""
    rows = [
        row(name_of(group, index), _cost_cells(run))
        for table in tables
        for index, group in enumerate(table.groups)
        for run in group.runs
    ]
    total = sum(run.ended.get("seconds", 0) for table in tables for run in table.runs)
    quality = QUALITY if any(table.unit for table in tables) else ""
    return (
        f"<h3>Cost</h3><p>Training took {duration(total)}, with validation and sample grids, without final evaluations. "
        f"{quality}{NOTE}</p>{''.join(map(_worth, tables))}{folded('each run', grid(texts(COST), rows))}"
    )


def _worth(table: Table) -> str:
    """Each recipe's mean cost and metric over its finished seeds, its quality per minute, and its curves over minutes."""
    rows, told = [], [name for name, (key, _) in SPENT.items() if any(key in run.ended for run in table.runs)]
    for index, group in enumerate(table.groups):
        if (summary := group.summary(table.main)) is None:
            continue
        ended = [run.ended for run in group.finished]
        spent = {
            name: statistics.fmean(end[key] * unit for end in ended)
            for name, (key, unit) in SPENT.items()
            if all(key in end for end in ended)
        }
        cells = [*(number(spent[name]) if name in spent else "" for name in told), number(summary.mean)]
        if table.unit:
            quality = table.unit / summary.mean if summary.mean > 0 else 0.0
            cells += [f"{quality:.3g}", f"{quality / spent['minutes']:.3g}" if spent.get("minutes") else ""]
        rows.append(row(name_of(group, index), texts(cells)))
    if not rows:
        return ""
    heads = ["recipe", *told, table.main, *(["quality", "quality per minute"] if table.unit else [])]
    caption = f"{table.data}: validation {table.main}, a line for each seed"
    return grid(texts(heads), rows) + figure(charts.training_curves(table, over="minutes"), escape(caption))


def _cost_cells(run: Run) -> list[str]:
    ended, manifest = run.ended, run.manifest
    seconds, samples = ended.get("seconds"), ended.get("samples_seen")
    weights = str(manifest.get("final_weights", ""))
    joules = ended.get("cpu_energy_joules")
    cells = [
        run.seed,
        ended.get("reason", "unfinished"),
        _decimals(ended.get("step"), 0),
        _decimals(samples, 0),
        _decimals(seconds, 1),
        _decimals(ended.get("cpu_seconds"), 1),
        _decimals(joules and joules / 3600, 2),
        _decimals(samples / seconds, 0) if seconds and samples else "",
        _decimals(ended.get("peak_memory_mb"), 0),
        _decimals(ended.get("gpu_peak_memory_mb"), 0),
        manifest.get("device", ""),
        manifest.get("processes", ""),
        manifest.get("threads", ""),
        manifest.get("cuda") or manifest.get("cpu_capability", ""),
        manifest.get("packages", {}).get("torch", ""),
    ]
    return [*texts(cells), f'<code title="{escape(weights)}">{escape(weights[:12])}</code>']


def _decimals(value: float | None, places: int) -> str:
    return "" if value is None else f"{value:,.{places}f}"


def duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def _recipes(tables: list[Table]) -> str:
    """The settings that are not the same in all recipes."""
    groups = [group for table in tables for group in table.groups]
    settings = [identity(group.runs[0].config) for group in groups]
    keys = sorted({key for found in settings for key in found} - {"seed", "name"})
    # The config holds a loss twice, by itself and inside the model: list it once.
    varying = [key for key in keys if len({str(found.get(key)) for found in settings}) > 1 and f"model.{key}" not in keys]
    if not varying:
        return ""
    blocks = [
        f"<h4>{escape(group.label)} <code>{escape(group.recipe)}</code></h4>"
        + listing((key, found[key]) for key in varying if key in found)
        for group, found in zip(groups, settings, strict=True)
    ]
    return f"<h3>What sets the recipes apart</h3>{folded(counted(len(varying), 'setting'), ''.join(blocks))}"


def _commands(tables: list[Table]) -> str:
    folders = [(group.label, shlex.quote(group.runs[0].name)) for table in tables for group in table.groups]
    verify = "\n".join(f"python -m src.verify run={folder}" for _, folder in folders)
    train = "\n".join(
        f"python -m src.train --config-dir {folder} --config-name config run_dir={shlex.quote(f'again/{label}')} {REPEAT}"
        for label, folder in folders
    )
    return (
        f"<h3>Making it again</h3><p>The first run of each recipe; others likewise. Does its recipe still give this result?</p>"
        f"<pre>{escape(verify)}</pre><p>The same training into a new folder:</p><pre>{escape(train)}</pre>"
    )
