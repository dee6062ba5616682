"""The part of the page on where the numbers come from: code, cost, settings, and how to make them again."""

import shlex
import statistics
from collections import Counter
from collections.abc import Iterable
from html import escape
from typing import Any

from src.config.checks import identity
from src.reporting import charts
from src.reporting.runs import Run
from src.reporting.tables import Group, Table
from src.reporting.words import number

COST = (
    *("recipe", "seed", "ended by", "steps", "images", "seconds", "CPU seconds", "CPU Wh", "images/s", "MB", "GPU MB"),
    *("device", "processes", "threads", "CPU", "torch", "final weights"),
)
SPENT = {
    "minutes": ("seconds", 1 / 60),
    "CPU minutes": ("cpu_seconds", 1 / 60),
    "CPU Wh": ("cpu_energy_joules", 1 / 3600),
    "MB": ("peak_memory_mb", 1),
}
# A run's config says where it was published and what it was to replace, and nothing of the files that Hydra leaves.
BESIDE = "publish=null evaluate=true fresh=false on_change=refuse +hydra=quiet hydra/hydra_logging=none hydra/job_logging=none"
QUALITY = """Quality is the floor divided by a recipe's distance: 1 is as good as real images. Divided by the minutes of
training it rewards short ones, whose first minute does more than the last; the curves show the rest. CPU Wh are what the
machine's processors used meanwhile, where it tells. MB are of the memory of the process that held the most."""


def origin(tables: list[Table]) -> str:
    """How many runs finished, which code made them, and whether it is the same for all."""
    runs = [run for table in tables for run in table.runs]
    finished = sum(run.finished for run in runs)
    words = [f"{finished} of {len(runs)} runs finished." if finished < len(runs) else "All runs finished."]
    commits = Counter(map(_commit, runs))
    if changed := _changed_files(runs):
        listed = ", ".join(f"{commit} ({count} run{'' if count == 1 else 's'})" for commit, count in sorted(commits.items()))
        words.append(f"The runs were made by different code: {listed}; {changed}.")
    elif len(commits) > 1:
        words.append(f"Code: {', '.join(sorted(commits))}; the files that make a run are the same.")
    else:
        words.append(f"Code: {next(iter(commits))}, the same for all.")
    return f'<p class="lead">{escape(" ".join(words))}</p>'


def _commit(run: Run) -> str:
    commit, _, changes = str(run.manifest.get("commit", "unknown")).partition("+")
    return commit[:10] + ("+changes" if changes else "")


def _changed_files(runs: list[Run]) -> str:
    """The files of the code that differ between runs that have them; empty where none does."""
    sources: list[dict[str, Any]] = [run.manifest.get("sources", {}) for run in runs]
    names = sorted({name for files in sources for name in files})
    changed = [name for name in names if len({files[name] for files in sources if name in files}) > 1]
    more = f" and {len(changed) - 6} more" if len(changed) > 6 else ""
    return f"they differ in {', '.join(changed[:6])}{more}" if changed else ""


def making(tables: list[Table]) -> str:
    """Cost, settings and commands."""
    return f"""<section>
<h2>How it was made</h2>
{cost(tables)}
{_recipes(tables)}
{_again(tables)}
</section>
"""


def cost(tables: list[Table]) -> str:
    """What trainings took, and what they gave for it."""
    rows, total = [], 0.0
    for table in tables:
        for index, group in enumerate(table.groups):
            for run in group.runs:
                rows.append(_cost_row(group, index, run))
                total += run.ended.get("seconds", 0)
    listing = _listing(COST, rows)
    worth = "".join(_worth(table) for table in tables if table.anchors)
    return (
        f"<h3>Cost</h3><p>Training took {duration(total)}, with validation and sample grids, without final evaluations."
        f"{f' {QUALITY}' if worth else ''}</p>{worth}<details><summary>each run</summary>{listing}</details>"
    )


def _worth(table: Table) -> str:
    """Each recipe's means over its finished seeds, quality per minute, and its curves over minutes."""
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
        quality = table.anchors["real"][table.main] / summary.mean if summary.mean > 0 else 0.0
        cells = [*(number(spent[name]) if name in spent else "" for name in told), number(summary.mean)]
        cells += [f"{quality:.3g}", f"{quality / spent['minutes']:.3g}" if spent.get("minutes") else ""]
        rows.append(_row(group, index, cells))
    chart = charts.training_curves(table, over="minutes")
    figure = f"<figure>{chart}<figcaption>{escape(table.data)}: validation distance, a line for each seed</figcaption></figure>"
    heads = ("recipe", *told, table.main, "quality", "quality per minute")
    return _listing(heads, rows) + (figure if chart else "")


def _listing(heads: Iterable[str], rows: list[str]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _row(group: Group, index: int, cells: Iterable[object], more: str = "") -> str:
    values = "".join(f"<td>{escape(str(cell))}</td>" for cell in cells)
    return f'<tr><th scope="row">{charts.swatch(index)} {escape(group.label)}</th>{values}{more}</tr>'


def _cost_row(group: Group, index: int, run: Run) -> str:
    ended, manifest = run.ended, run.manifest
    seconds, images = ended.get("seconds"), ended.get("images_seen")
    weights = str(manifest.get("final_weights", ""))
    cells = [
        run.seed,
        ended.get("reason", "unfinished"),
        _whole(ended.get("step")),
        _whole(images),
        "" if seconds is None else f"{seconds:,.1f}",
        f"{ended['cpu_seconds']:,.1f}" if "cpu_seconds" in ended else "",
        f"{ended['cpu_energy_joules'] / 3600:,.2f}" if "cpu_energy_joules" in ended else "",
        f"{images / seconds:,.0f}" if seconds and images else "",
        _whole(ended.get("peak_memory_mb")),
        _whole(ended.get("gpu_peak_memory_mb")),
        manifest.get("device", ""),
        manifest.get("processes", ""),
        manifest.get("threads", ""),
        manifest.get("cuda") or manifest.get("cpu_capability", ""),
        manifest.get("packages", {}).get("torch", ""),
    ]
    return _row(group, index, cells, f'<td><code title="{escape(weights)}">{escape(weights[:12])}</code></td>')


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def _recipes(tables: list[Table]) -> str:
    """What sets the recipes apart: the settings that are not the same in all of them."""
    groups = [group for table in tables for group in table.groups]
    settings = [identity(group.runs[0].config) for group in groups]
    keys = sorted({key for found in settings for key in found} - {"seed", "name"})
    # A loss stands in the config twice, by itself and inside the model that takes it; once is enough for people.
    varying = [key for key in keys if len({str(found.get(key)) for found in settings}) > 1 and f"model.{key}" not in keys]
    if not varying:
        return ""
    blocks = []
    for group, found in zip(groups, settings, strict=True):
        items = "".join(f"<dt>{escape(key)}</dt><dd>{escape(str(found[key]))}</dd>" for key in varying if key in found)
        blocks.append(f"<h4>{escape(group.label)} <code>{escape(group.recipe)}</code></h4><dl>{items}</dl>")
    summary = f"{len(varying)} setting{'' if len(varying) == 1 else 's'}"
    return f"<h3>What sets the recipes apart</h3><details><summary>{summary}</summary>{''.join(blocks)}</details>"


def _again(tables: list[Table]) -> str:
    groups = [group for table in tables for group in table.groups]
    folders = [(group, shlex.quote(group.runs[0].name)) for group in groups]
    verify = "\n".join(f"python -m src.verify run={folder}" for _, folder in folders)
    train = "\n".join(
        f"python -m src.train --config-dir {folder} --config-name config run_dir={shlex.quote(f'again/{group.label}')} {BESIDE}"
        for group, folder in folders
    )
    return (
        f"<h3>Making it again</h3><p>The first run of each recipe; others likewise. Is it still what its recipe makes?</p>"
        f"<pre>{escape(verify)}</pre><p>The same training into a new folder:</p><pre>{escape(train)}</pre>"
    )
