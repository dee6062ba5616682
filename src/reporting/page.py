"""The page: one HTML file that needs nothing else. Whatever comes from a run folder is escaped."""

import base64
from collections.abc import Iterable
from html import escape
from pathlib import Path

from src.config.checks import differences, leaves
from src.reporting import charts, provenance
from src.reporting.runs import ANCHORS, Run
from src.reporting.tables import Group, Table
from src.reporting.texts import ANCHOR_NAMES, anchor_cells, seed_cell, times_floor
from src.reporting.words import columns, count, losses, mean, reasons

STYLE = Path(__file__).with_name("style.css")
FILM_LIMIT = 2_000_000  # bytes; a page holds one for each recipe

# Nothing may be loaded and nothing run, whatever a folder held.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


STATISTICS = """Means come with the half-width of their 95 % t-interval over training seeds (Student 1908). Recipes are compared
by the paired t-test on common seeds, adjusted for the number of comparisons in a table (Holm 1979): <em>better</em> or
<em>worse</em> where the adjusted p is below 0.05, otherwise <em>inconclusive</em>, and always so with fewer than five common
seeds. A training that diverged has no distance: it is counted and named, not averaged. The floor is the distance of real
training images to the reference, the ceiling that of noise; training copies are what every distance takes for perfect."""


def page(tables: list[Table], films: bool = True) -> str:
    """All tables with their charts and pictures, and what it takes to make the runs again."""
    sections = [section(table, tables, films) for table in tables]
    return document(_title(tables), provenance.origin(tables), [*sections, provenance.making(tables)], STATISTICS)


def document(title: str, lead: str, sections: Iterable[str], notes: str) -> str:
    """A whole file; the title is text, the rest HTML."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>
{STYLE.read_text()}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
{lead}
</header>
<main>
{"".join(sections)}
</main>
<footer>
<p>{notes}</p>
</footer>
</body>
</html>
"""


def _title(tables: list[Table]) -> str:
    runs = [run for table in tables for run in table.runs]
    counts = [
        (len(runs), "run"),
        (sum(len(table.groups) for table in tables), "recipe"),
        (len({run.seed for run in runs}), "seed"),
        (len({table.data for table in tables}), "data set"),
    ]
    return ", ".join(f"{n} {noun}{'' if n == 1 else 's'}" for n, noun in counts)


def section(table: Table, tables: list[Table], films: bool) -> str:
    return f"""<section>
<h2>{escape(table.data)}</h2>
<p class="lead">{_measured(table, tables)}</p>
{_verdicts(table)}
{_means(table)}
{figure(charts.dots(table), f"{escape(table.main)} of each seed (dots), mean and 95 % interval of the mean (bars)")}
{_seeds(table)}
{figure(charts.training_curves(table), f"Distance to the validation split, a line for each seed {_legend(table)}")}
{_pictures(table)}
{_films(table) if films else ""}
{_protocol(table)}
</section>
"""


def _measured(table: Table, tables: list[Table]) -> str:
    """What is measured, and how it differs from another table of the same data."""
    if not table.protocol:
        return "No run has finished."
    samples = table.protocol.get("samples")
    words = f"{escape(table.main)}" + (
        f", {samples:,} images against as many of the " if isinstance(samples, int) else " on the "
    )
    words += f"{escape(str(table.protocol.get('split', 'test')))} split."
    other = next((t for t in tables if t.data == table.data and t.protocol), table)
    if other is not table:
        changes = "; ".join(escape(change) for change in differences(other.protocol, table.protocol))
        words += f" Measured otherwise than the table above, and not to be held against it: {changes}."
    return words


def _verdicts(table: Table) -> str:
    items = [
        f'<li><span class="verdict {c.verdict.split(":")[0]}">{escape(c.verdict)}</span> '
        f"<strong>{escape(c.label)}</strong>: {escape(reasons(c, table.main))}.</li>"
        for c in table.comparisons
    ]
    items += [
        f'<li><span class="verdict {state}">{state}</span> <strong>{escape(group.label)}</strong>: {seeds}.</li>'
        for group in table.groups
        for state, seeds in losses(group)
    ]
    return f'<ul class="verdicts">{"".join(items)}</ul>' if items else ""


def _means(table: Table) -> str:
    if not table.anchors:
        return ""
    floor = table.anchors["real"]
    shown = columns(floor, table.extractor)
    heads = [
        f'<th scope="col"><abbr title="{escape(f"{key}: {metric.meaning}")}">{metric.header}</abbr></th>'
        for key, metric in shown
    ]
    heads.insert(1, '<th scope="col"><abbr title="mean divided by the distance of real images">&times; floor</abbr></th>')
    rows = []
    for index, group in enumerate(table.groups):
        means = [mean(group.summary(key)) for key, _ in shown]
        cells = [f"<td>{middle}<small>{half}</small></td>" for middle, half in means]
        summary = group.summary(table.main)
        cells.insert(1, f"<td>{times_floor(summary.mean if summary else None, floor[table.main])}</td>")
        rows.append(f"<tr>{_row_head(group, index)}<td>{count(group)}</td>{''.join(cells)}</tr>")
    for name in ANCHORS:
        cells = anchor_cells(table.anchors[name], shown)
        cells.insert(1, times_floor(table.anchors[name][table.main], floor[table.main]))
        rows.append(f'<tr class="anchor"><th scope="row">{ANCHOR_NAMES[name]}</th><td></td>{cells_of(cells)}</tr>')
    return grid(f'<th scope="col">recipe</th><th scope="col">seeds</th>{"".join(heads)}', rows)


def _seeds(table: Table) -> str:
    seeds = sorted({run.seed for run in table.runs})
    rows = [
        f"<tr>{_row_head(group, index)}{cells_of(seed_cell(group, seed, table.main) for seed in seeds)}</tr>"
        for index, group in enumerate(table.groups)
    ]
    heads = "".join(f'<th scope="col">seed {seed}</th>' for seed in seeds)
    return grid(f'<th scope="col">{escape(table.main)}</th>{heads}', rows)


def _row_head(group: Group, index: int) -> str:
    return f'<th scope="row">{charts.swatch(index)} {escape(group.label)}</th>'


def cells_of(values: Iterable[object]) -> str:
    return "".join(f"<td>{escape(str(value))}</td>" for value in values)


def grid(head: str, rows: list[str]) -> str:
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def figure(chart: str, caption: str) -> str:
    return f"<figure>{chart}<figcaption>{caption}</figcaption></figure>" if chart else ""


def _legend(table: Table) -> str:
    return "".join(f'<span class="key">{charts.swatch(i)} {escape(group.label)}</span>' for i, group in enumerate(table.groups))


def _pictures(table: Table) -> str:
    """The first seed's grid of each recipe side by side, the other seeds' folded away."""
    first, others = [], []
    for group in table.groups:
        grids = [_picture(group, run, run.grid) for run in group.runs if run.grid]
        first += grids[:1]
        others += grids[1:]
    if not first:
        return ""
    row = f'<h3>Samples at the last step</h3><div class="pictures">{"".join(first)}</div>'
    return row + (_folded_pictures(f"the other seeds ({len(others)})", others) if others else "")


def _films(table: Table) -> str:
    """The film of each recipe's first finished seed."""
    films = []
    for group in table.groups:
        run = next((run for run in group.finished if run.film), None)
        if run and run.film and run.film.stat().st_size < FILM_LIMIT:
            films.append(_picture(group, run, run.film))
    return _folded_pictures("films of the training", films) if films else ""


def _picture(group: Group, run: Run, path: Path) -> str:
    kind = "gif" if path.suffix == ".gif" else "png"
    data = base64.b64encode(path.read_bytes()).decode()
    words = escape(f"{group.label}, seed {run.seed}" + ("" if run.finished else f" ({run.state})"))
    image = f'<img src="data:image/{kind};base64,{data}" alt="{words}">'
    return f"<figure>{image}<figcaption>{words}</figcaption></figure>"


def _folded_pictures(words: str, pictures: list[str]) -> str:
    return f'<details><summary>{words}</summary><div class="pictures">{"".join(pictures)}</div></details>'


def _protocol(table: Table) -> str:
    items = "".join(f"<dt>{escape(key)}</dt><dd>{escape(str(value))}</dd>" for key, value in leaves(table.protocol))
    return f"<details><summary>protocol</summary><dl>{items}</dl></details>" if items else ""
