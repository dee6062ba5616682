"""The page's section on provenance: code, cost, settings, and commands that repeat the runs."""

import shlex
import statistics
from collections import Counter
from html import escape
from typing import Any

from src.config.identity import identity
from src.reporting.markup import folded, grid, listing, name_of, row, texts
from src.reporting.runs import Run
from src.reporting.tables import Table
from src.reporting.words import counted, number

SPENT = {
    "minutes": ("seconds", 1 / 60),
    "CPU minutes": ("cpu_seconds", 1 / 60),
    "CPU Wh": ("cpu_energy_joules", 1 / 3600),
    "MB": ("peak_memory_mb", 1),
    "GPU MB": ("gpu_peak_memory_mb", 1),
}
RUN = (
    *("recipe", "seed", "ended by", "steps", "samples", *SPENT),
    *("device", "processes", "threads", "CPU or GPU", "torch", "final weights"),
)
# Changes to a run's config for repeating it: it must not publish anything or replace an earlier run.
REPEAT = "publish=null evaluate=true fresh=false on_change=refuse +hydra=quiet hydra/hydra_logging=none hydra/job_logging=none"
NOTE = """Training took {}, with validation and sample grids, without final evaluations. The table has means over seeds. CPU Wh
are the energy that the machine's processors used meanwhile, where they count it; MB the memory of the largest process."""


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
    """The section: code, cost, settings and commands."""
    return f"""<section>
<h2>How it was made</h2>
<p>{escape(origin(tables))}</p>
{licences(tables)}{cost(tables)}
{_recipes(tables)}
{_commands(tables)}
</section>
"""


def licences(tables: list[Table]) -> str:
    """A line for each licence that the data of a run ask for; usually none."""
    found = {(run.config["data"]["name"], run.manifest.get("licence")) for table in tables for run in table.runs}
    lines = [f"The data {name} have a licence: {licence}." for name, licence in sorted(found, key=str) if licence]
    return "".join(f"<p>{escape(line)}</p>\n" for line in lines)


def cost(tables: list[Table]) -> str:
    """Time, energy and memory of the trainings: means of each recipe, and each run."""
    groups = [(index, group) for table in tables for index, group in enumerate(table.groups)]
    ended = [run.ended for _, group in groups for run in group.runs]
    told = {name: found for name, found in SPENT.items() if any(found[0] in end for end in ended)}
    means, runs = [], []
    for index, group in groups:
        runs += [row(name_of(group, index), _run_cells(run)) for run in group.runs]
        spent = [[run.ended[key] * unit for run in group.finished if key in run.ended] for key, unit in told.values()]
        means.append(row(name_of(group, index), [number(statistics.fmean(found)) if found else "" for found in spent]))
    total = duration(sum(end.get("seconds", 0) for end in ended))
    table = grid(texts(["recipe", *told]), means) if told else ""
    return f"<h3>Cost</h3><p>{NOTE.format(total)}</p>{table}{folded('each run', grid(texts(RUN), runs))}"


def _run_cells(run: Run) -> list[str]:
    ended, made = run.ended, run.manifest
    spent = [number(ended[key] * unit) if ended.get(key) else "" for key, unit in SPENT.values()]
    cells = [run.seed, ended.get("reason", "unfinished"), ended.get("step", ""), ended.get("samples_seen", ""), *spent]
    cells += [made.get(key, "") for key in ("device", "processes", "threads")]
    cells += [made.get("cuda") or made.get("cpu_capability", ""), made.get("packages", {}).get("torch", "")]
    return texts([*cells, str(made.get("final_weights", ""))[:12]])


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
    return f"<h3>Settings that differ between recipes</h3>{folded(counted(len(varying), 'setting'), ''.join(blocks))}"


def _commands(tables: list[Table]) -> str:
    folders = [(group.label, group.runs[0].name) for table in tables for group in table.groups]
    verify = "\n".join(f"python -m src.verify run={shlex.quote(folder)}" for _, folder in folders)
    train = "\n".join(train_again(folder, label) for label, folder in folders)
    return (
        "<h3>Making it again</h3><p>The first run of each recipe; others likewise.</p>"
        + folded("train again and compare with the result", f"<pre>{escape(verify)}</pre>")
        + folded("the same training into a new folder", f"<pre>{escape(train)}</pre>")
    )


def train_again(folder: str, label: str) -> str:
    """The command that repeats a run's training into a new folder named by the label."""
    new = shlex.quote(f"again/{label}")
    return f"python -m src.train --config-dir {shlex.quote(folder)} --config-name config run_dir={new} {REPEAT}"
