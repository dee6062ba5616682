"""The report: one self-contained HTML file."""

import base64
from html import escape
from pathlib import Path

from src.config.checks import leaves
from src.config.identity import differences
from src.reporting import charts, provenance
from src.reporting.markup import document, figure, folded, grid, listing, name_of, row, texts
from src.reporting.runs import Run
from src.reporting.tables import Group, Table
from src.reporting.words import Cell, count, counted, seed_cells, sheet, verdicts

FILM_LIMIT = 2_000_000  # bytes; larger films are left out, as a page holds one for each recipe

STATISTICS = """Means come with the half-width of their 95 % t-interval over training seeds (Student 1908). Recipes are compared
by the paired t-test on common seeds, adjusted for the number of comparisons in a table (Holm 1979): <em>better</em> or
<em>worse</em> where the adjusted p is below 0.05, otherwise <em>inconclusive</em>, and always so with fewer than five common
seeds. A training that diverged has no value: it is counted and named, not averaged. Grey rows are controls, what baselines and
cheats score; the first is the floor. A mark names a control that does better than a recipe, or than all recipes."""


def page(tables: list[Table], films: bool = True) -> str:
    """All tables with their charts and pictures, their cost, and the commands that repeat the runs."""
    sections = [section(table, tables, films) for table in tables]
    return document(_title(tables), provenance.origin(tables), [*sections, provenance.making(tables)], STATISTICS)


def _title(tables: list[Table]) -> str:
    runs = [run for table in tables for run in table.runs]
    counts = [
        (len(runs), "run"),
        (sum(len(table.groups) for table in tables), "recipe"),
        (len({run.seed for run in runs}), "seed"),
        (len({table.data for table in tables}), "data set"),
    ]
    return ", ".join(counted(n, noun) for n, noun in counts)


def section(table: Table, tables: list[Table], films: bool) -> str:
    main = escape(table.main)
    legend = "".join(f'<span class="key">{name_of(group, index)}</span>' for index, group in enumerate(table.groups))
    return f"""<section>
<h2>{escape(table.data)}</h2>
<p class="lead">{escape(_measured(table, tables))}</p>
{_verdicts(table)}
{_means(table)}
{figure(charts.dots(table), f"{main} of each seed (dots), mean and 95 % interval of the mean (bars)")}
{_seeds(table)}
{figure(charts.training_curves(table), f"Validation {main}, a line for each seed {legend}")}
{_pictures(table)}
{_films(table) if films else ""}
{folded("protocol", listing(leaves(table.protocol)))}
</section>
"""


def _measured(table: Table, tables: list[Table]) -> str:
    """What the table measures, and how its protocol differs from that of an earlier table of the same data and metric."""
    if not table.protocol:
        return "No run has finished."
    samples = table.protocol.get("samples")
    words = table.main + (f", {samples:,} samples" if isinstance(samples, int) else "")
    words += f", {table.protocol.get('split', 'test')} split; {table.better} is better."
    other = next(t for t in tables if (t.data, t.main) == (table.data, table.main) and t.protocol)
    if other is not table:
        changes = "; ".join(differences(other.protocol, table.protocol))
        words += f" The protocol differs from that of the table above, so do not compare the two: {changes}."
    return words


def _verdicts(table: Table) -> str:
    items = [
        f'<li><span class="verdict {verdict.split(":")[0]}">{verdict}</span> '
        f"<strong>{escape(label)}</strong>: {escape(words)}.</li>"
        for verdict, label, words in verdicts(table)
    ]
    return f'<ul class="verdicts">{"".join(items)}</ul>' if items else ""


def _means(table: Table) -> str:
    if not table.columns:
        return ""
    found = sheet(table, table.columns)
    meanings = {column.header: f"{column.key}: {column.meaning}" for column in table.columns}
    heads = [
        f'<abbr title="{escape(meanings.get(head.text, "mean divided by the floor"))}">{escape(head.text)}</abbr>{_marks(head)}'
        for head in found.heads
    ]
    rows = []
    for index, (group, cells) in enumerate(zip(table.groups, found.recipes, strict=True)):
        means = (f"{cell.text}{_marks(cell)}<small>{cell.half}</small>" for cell in cells)
        rows.append(row(name_of(group, index), [count(group), *means]))
    for name, cells in found.controls.items():
        rows.append(row(escape(name), ["", *(cell.text for cell in cells)], "control"))
    note = f'<p class="note">{escape(found.note)}</p>' if found.note else ""
    return grid(["recipe", "seeds", *heads], rows) + note


def _marks(cell: Cell) -> str:
    return f"<sup>{cell.marks}</sup>" if cell.marks else ""


def _seeds(table: Table) -> str:
    rows = [row(name_of(group, index), texts(seed_cells(table, group))) for index, group in enumerate(table.groups)]
    return grid([escape(table.main), *(f"seed {seed}" for seed in table.seeds)], rows)


def _pictures(table: Table) -> str:
    """The sample grids of each recipe's first seed side by side; those of other seeds in a closed section."""
    first, others = [], []
    for group in table.groups:
        grids = [_picture(group, run, run.grid) for run in group.runs if run.grid]
        first += grids[:1]
        others += grids[1:]
    if not first:
        return ""
    return (
        "<h3>Samples at the last step</h3>"
        + _side_by_side(first)
        + folded(f"the other seeds ({len(others)})", _side_by_side(others))
    )


def _films(table: Table) -> str:
    """The film of each recipe's first finished seed."""
    films = []
    for group in table.groups:
        run = next((run for run in group.finished if run.film), None)
        if run and run.film and run.film.stat().st_size < FILM_LIMIT:
            films.append(_picture(group, run, run.film))
    return folded("films of the training", _side_by_side(films))


def _picture(group: Group, run: Run, path: Path) -> str:
    kind = "gif" if path.suffix == ".gif" else "png"
    data = base64.b64encode(path.read_bytes()).decode()
    words = escape(f"{group.label}, seed {run.seed}" + ("" if run.finished else f" ({run.state})"))
    return figure(f'<img src="data:image/{kind};base64,{data}" alt="{words}">', words)


def _side_by_side(pictures: list[str]) -> str:
    return f'<div class="pictures">{"".join(pictures)}</div>' if pictures else ""
