"""The report: one HTML file, with figures and films for papers and talks beside it."""

import base64
import re
from collections.abc import Set
from html import escape
from pathlib import Path

from src.config.checks import leaves
from src.config.identity import differences
from src.reporting import charts, provenance
from src.reporting.findings import finding, troubles, verdicts
from src.reporting.markup import document, figure, folded, grid, listing, name_of, row, texts
from src.reporting.runs import Run
from src.reporting.sounds import audible, player
from src.reporting.tables import Group, Table
from src.reporting.verses import verses
from src.reporting.words import Cell, count, counted, number, seed_cells, sheet
from src.runs import review

STATISTICS = """Means come with the half-width of their 95 % t-interval over training seeds (Student 1908). Recipes are compared
by the paired t-test on common seeds, adjusted for the number of comparisons in a table (Holm 1979): <em>better</em> or
<em>worse</em> where the adjusted p is below 0.05, otherwise <em>inconclusive</em>, and always so with fewer than five common
seeds. A training that <em>diverged</em> has no value: it is counted and named, not averaged. One that <em>collapsed</em> is
averaged: it is worse than the median of its recipe by a robust z-score above 3.5 (Iglewicz and Hoaglin 1993) and by half of the
median, or a class has less than a tenth of the least share in real data. Grey rows are controls, what baselines and cheats
score; the first is the floor. A mark names a control that does better than a recipe, or than all recipes."""

# Pictures that suites write: attribute of a run -> heading.
MEASURED = {
    "pairs": "Unseen pairs: what a sample is made from, the sample, what it should be",
    "retrieval": "Unseen captions: a picture of the caption, and the five that are found first",
    "captions": "Unseen captions: the sample that is drawn of the caption, and the real picture",
}


def page(tables: list[Table], films: str = "inline", beside: str = "") -> str:
    """The findings, then each table with pictures and charts, then how the runs were made.

    films: "inline", "beside" (links to the files of `film_files` in the folder `beside`), or "none".
    """
    heard = audible(tables)
    sections = [section(table, tables, films, beside, heard) for table in tables]
    return document(_title(tables), findings(tables), [*sections, provenance.making(tables)], STATISTICS)


def film_files(tables: list[Table]) -> dict[str, bytes]:
    """File name -> GIF of each recipe's first finished seed that has one."""
    return {_film_name(group, run): path.read_bytes() for table in tables for group, run, path in _films(table)}


def figure_files(tables: list[Table], kind: str) -> dict[str, bytes]:
    """File name -> bytes of the page's charts. kind: "pdf" or "svg"."""
    files = {}
    for place, table in enumerate(tables, start=1):
        found = charts.dots(table), charts.training_curves(table), charts.position_curves(table)
        for what, chart in zip(("seeds", "training", "positions"), found, strict=True):
            if chart:
                files[f"{_safe(f'{place}-{table.data}-{table.main}-{what}')}.{kind}"] = charts.file(chart, kind)
    return files


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)  # a config's name may have any characters


def _title(tables: list[Table]) -> str:
    runs = [run for table in tables for run in table.runs]
    counts = [
        (len(runs), "run"),
        (sum(len(table.groups) for table in tables), "recipe"),
        (len({run.seed for run in runs}), "seed"),
        (len({table.data for table in tables}), "data set"),
    ]
    return ", ".join(counted(n, noun) for n, noun in counts)


def findings(tables: list[Table]) -> str:
    """The finding of each table, and the runs that failed or collapsed."""
    parts = []
    for table in tables:
        link = f'<a href="#{_anchor(table, tables)}">{escape(_name(table, tables))}</a>'
        parts.append(f'<p class="finding">{link}: {escape(finding(table))}</p>{_verdicts(troubles(table))}')
    return "".join(parts)


def _anchor(table: Table, tables: list[Table]) -> str:
    return f"table-{tables.index(table) + 1}"


def _name(table: Table, tables: list[Table]) -> str:
    """The data set; numbered if several tables have it."""
    same = [other for other in tables if other.data == table.data]
    return table.data if len(same) == 1 else f"{table.data} ({same.index(table) + 1} of {len(same)})"


def section(table: Table, tables: list[Table], films: str = "none", beside: str = "", heard: Set[Path] = frozenset()) -> str:
    """heard: see `audible`."""
    main = escape(table.main)
    dots = charts.inline(charts.dots(table), f"{table.main} of each seed, with mean and 95 % interval")
    curves = charts.inline(charts.training_curves(table), f"validation {table.main} while training")
    plots = figure(dots, f"{main} of each seed (dots), mean and its 95 % interval (bars)")
    plots += figure(curves, f"{main} on the validation split, a line for each seed")
    positions = charts.inline(charts.position_curves(table), "nats of each position")
    plots += figure(positions, "nats of each position of unseen texts, as far as texts go; means over seeds")
    seeds = [row(name_of(group, index), texts(seed_cells(table, group))) for index, group in enumerate(table.groups)]
    return f"""<section id="{_anchor(table, tables)}">
<h2>{escape(_name(table, tables))}</h2>
<p class="lead">{escape(_measured(table, tables))}</p>
{_pictures(table, heard)}
{_film_section(table, films, beside)}
{_means(table)}
{_reviews(table)}
<div class="plots">{plots}</div>
{folded(f"{main} of each seed", grid(["recipe", *(f"seed {seed}" for seed in table.seeds)], seeds))}
{folded("comparisons with the baseline", _verdicts([found for found in verdicts(table) if found not in troubles(table)]))}
{folded("protocol", listing(leaves(table.protocol)))}
</section>
"""


def _measured(table: Table, tables: list[Table]) -> str:
    """What the table measures, the floor and baseline, and how the protocol differs from an earlier table's."""
    if not table.protocol:
        return "No run has finished."
    meaning = next((column.meaning for column in table.columns if column.key == table.main), "")
    samples = table.protocol.get("samples")
    words = f"{table.main}{meaning and f', {meaning}'}. " + (f"{samples:,} samples, " if isinstance(samples, int) else "")
    words += f"{table.protocol.get('split', 'test')} split."
    if table.floor is not None:
        name = next(iter(table.controls))
        words += f" Floor: {number(table.floor)}, {table.control_names.get(name, name).removesuffix(' (floor)')}."
    if table.baseline:
        words += f" Baseline: {table.baseline}{'' if table.chosen else ', the first by name; baseline= chooses another'}."
    other = next(t for t in tables if (t.data, t.main) == (table.data, table.main) and t.protocol)
    if other is not table:
        changes = "; ".join(differences(other.protocol, table.protocol))
        words += f" The protocol differs from that of {_name(other, tables)}, so do not compare the two: {changes}."
    return words


def _verdicts(found: list[tuple[str, str, str]]) -> str:
    items = [
        f'<li><span class="verdict {verdict.split(":")[0]}">{verdict}</span> '
        f"<strong>{escape(label)}</strong>: {escape(words)}.</li>"
        for verdict, label, words in found
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
    against = {comparison.label: comparison.verdict.split(":")[0] for comparison in table.comparisons}
    rows, compared = [], bool(against)  # a single recipe has no column of verdicts
    for index, (group, cells) in enumerate(zip(table.groups, found.recipes, strict=True)):
        means = (f"{cell.text}{_marks(cell)}<small>{cell.half}</small>" for cell in cells)
        verdict = against.get(group.label, "baseline" if group.label == table.baseline else "")
        chip = f'<span class="verdict {verdict}">{verdict}</span>' if verdict else ""
        rows.append(row(name_of(group, index), [next(means), *[chip] * compared, count(group), *means]))
    for name, (main, *cells) in found.controls.items():
        rows.append(row(escape(name), [main.text, *[""] * compared, "", *(cell.text for cell in cells)], "control"))
    note = f'<p class="note">{escape(found.note)}</p>' if found.note else ""
    return grid(["recipe", heads[0], *["verdict"] * compared, "seeds", *heads[1:]], rows) + note


def _marks(cell: Cell) -> str:
    return f"<sup>{cell.marks}</sup>" if cell.marks else ""


def _reviews(table: Table) -> str:
    """People's judgements of samples, where a run has any."""
    items = []
    for group in table.groups:
        for run in group.runs:
            hits, marks = review.blind(run.path), [mark.mark for mark in review.marks(run.path)]
            said = []
            if hits:
                rate = (
                    f"{hits.right / hits.total:.2f} (95 % Wilson interval {hits.low:.2f} to {hits.high:.2f}; 0.5 is guessing)"
                )
                said.append(f"in the blind test {hits.right} of {hits.total} answers are right, a share of {rate}")
            if marks:
                said.append(f"{marks.count('keep')} samples kept, {marks.count('reject')} rejected")
            if said:
                items.append(f"<li><strong>{escape(group.label)}</strong>, seed {run.seed}: {'; '.join(said)}.</li>")
    return f"<h3>Judged by people</h3><ul>{''.join(items)}</ul>" if items else ""


def _pictures(table: Table, heard: Set[Path]) -> str:
    """The sample grids of each recipe's first seed side by side, with players; those of other seeds in a closed section."""
    first, others = [], []
    for group in table.groups:
        grids = [_picture(group, run, run.grid, run.path in heard) for run in group.runs if run.grid]
        first += grids[:1]
        others += grids[1:]
    more = folded(f"samples of the other seeds ({len(others)})", _side_by_side(others)) if others else ""
    samples = f"<h3>Samples at the last step</h3>{_side_by_side(first)}{more}" if first else ""
    for what, heading in MEASURED.items():
        if measured := [_picture(group, run, getattr(run, what)) for group, run in _firsts(table, what)]:
            samples += f"<h3>{heading}</h3>{_side_by_side(measured)}"
    return samples


def _firsts(table: Table, what: str) -> list[tuple[Group, Run]]:
    """Each recipe's first finished seed that has a film, pairs or retrieved pictures."""
    found = [next(((group, run) for run in group.finished if getattr(run, what)), None) for group in table.groups]
    return [first for first in found if first]


def _films(table: Table) -> list[tuple[Group, Run, Path]]:
    return [(group, run, run.film) for group, run in _firsts(table, "film") if run.film]


def _film_name(group: Group, run: Run) -> str:
    return _safe(f"film-{group.label}-{run.seed}") + ".gif"


def _film_section(table: Table, films: str, beside: str) -> str:
    if films == "inline":
        return folded("films of the training", _side_by_side([_picture(*film) for film in _films(table)]))
    links = [
        f'<a href="{escape(f"{beside}/{_film_name(group, run)}")}">{escape(group.label)}, seed {run.seed}</a>'
        for group, run, _ in _films(table)
    ]
    return f"<p>Films of the training: {'; '.join(links)}</p>" if links and films == "beside" else ""


def _picture(group: Group, run: Run, path: Path, sound: bool = False) -> str:
    words = escape(f"{group.label}, seed {run.seed}" + ("" if run.finished else f" ({run.state})"))
    if path.suffix == ".txt":
        text = path.read_text(errors="replace")
        return figure(verses(text) or f"<pre>{escape(text)}</pre>", words)
    data = base64.b64encode(path.read_bytes()).decode()
    picture = f'<img src="data:image/{path.suffix[1:]};base64,{data}" alt="{words}">'
    return figure(player(run) + picture if sound else picture, words)


def _side_by_side(pictures: list[str]) -> str:
    return f'<div class="pictures">{"".join(pictures)}</div>' if pictures else ""
