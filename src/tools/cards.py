"""python -m src.tools.cards: write docs/cards.md, a model card for each published run with weights.

Mitchell et al. 2019, "Model cards for model reporting" (arXiv:1810.03993). A card comes from the run's config.yaml,
manifest.json and metrics.json, the docstrings of its data set, and NOT_FOR.
"""

import re
import sys
from pathlib import Path
from typing import Any

from src.config import command_line
from src.config.build import locate
from src.config.errors import UserError
from src.data.dataset import licence_of
from src.evaluation.suite import Column
from src.reporting.provenance import train_again
from src.reporting.runs import Run, read_run
from src.reporting.tables import Table, make_tables
from src.reporting.words import bounded, mean, number
from src.system.files import write_atomic
from src.tools.readme import relative, replace_block

WEIGHTS = "weights.safetensors"
COPIES = re.compile(r"copied|near_copies|copies(_.+)?")  # keys of metrics of memorisation
COPY = 0.5  # a control with a larger share of copies is made of training data
LICENCE = re.compile(r"licence|public domain|CC0")
NO_LICENCE = "No licence is stated by the source."
# How the name of a data set's class begins, below src.data -> what models of these data must not be used for.
NOT_FOR = {
    "mnist.MNIST": "to read or to forge handwriting: it draws single digits of 28 x 28 pixels",
    "moving_mnist": "as a model of how things move: its clips are two digits in an empty box",
    "avatars": "to judge people or to show a person: its faces are drawings of one style, and its attributes are parts of them",
    "emoji": "in place of official emoji or signs: a picture may mean something else than its source or its caption",
    "scenes": "in place of official emoji or signs, or as a model of where things lie: its scenes are put together at random",
    "chinese_poetry": "to pass its texts off as poems of a poet or of a dynasty, or as a source on the language or its history",
    "music": "to pass its pieces off as traditional tunes or as works of a composer",
}


def cards(config: dict[str, Any]) -> str:
    """Fill the block <!-- CARDS --> of the page, in its file. Returns the page's new text."""
    page, results = Path(config["page"]), Path(config["results"])
    if not page.is_file():
        raise UserError(f"page={page} is no file: run this where docs/ lies, or name another with page=")
    text = filled(page.read_text(), results, page)
    write_atomic(page, text.encode())
    print(f"{page}: model cards of {results}")
    return text


def filled(text: str, results: Path, page: Path) -> str:
    """The page's text with a card for each run with weights below `results`; raises UserError without any."""
    folders = sorted(path.parent for path in results.rglob(WEIGHTS))
    if not folders:
        raise UserError(f"no run with {WEIGHTS} below results={results}: name the folder of published runs")
    found = "\n".join(card(read_run(folder, folder.as_posix()), page) for folder in folders)
    return replace_block(text, "CARDS", lambda _: found)


def card(run: Run, page: Path) -> str:
    """The card of one run, as Markdown."""
    if not run.finished:
        raise UserError(f"{run.name} has weights and no final evaluation: python -m src.evaluate run={run.name}")
    (table,) = make_tables([run])
    made, ended = run.manifest, run.ended
    machine = f"{made['cpu']} ({made['cpu_model']}), threads: {made['threads']}"
    return f"""## {run.name}

- **Model**: {model(run, page)}.
- **Data**: {data(run)}
- **Not to be used**: {not_for(run)}.
- **Memorisation**: {memorisation(table)}.
- **Main metric**: {main_metric(table)}.
- **Weak**:{weak(table)}
- **Cost**: {ended["samples_seen"]:,} samples seen, {ended["cpu_seconds"]:.0f} CPU seconds on {machine}.
- **Training**: `{train_again(run.name, table.groups[0].label)}`
"""


def model(run: Run, page: Path) -> str:
    """The training rule and the networks, each with its parameters."""
    settings, parameters = run.config["model"], run.manifest["parameters"]
    networks = [
        f"{name} {linked(settings[name]['_target_'], page)} ({count:,} parameters)" for name, count in parameters.items()
    ]
    return f"{linked(settings['_target_'], page)}, trained as `{run.config['name']}`, seed {run.seed}: {', '.join(networks)}"


def linked(target: str, page: Path) -> str:
    """The name of a class or function, as a link to its file."""
    module, _, name = target.rpartition(".")
    return f"[{name}]({relative(Path(*module.split('.')).with_suffix('.py'), page)})"


def data(run: Run) -> str:
    """What the data are, where they come from, and their licence as far as the manifest or the data set states it."""
    dataset = locate(run.config["data"]["source"]["_target_"], "data.source._target_", trusted=False)
    first, *others = sentences(sys.modules[dataset.__module__].__doc__)
    kind = re.sub(": `x`.*", ".", sentences(dataset.__doc__)[0])  # without the shapes of its arrays
    told = [kind, first, *(words for words in others if "come from" in words or LICENCE.search(words))]
    if licence := run.manifest.get("licence") or licence_of(dataset):
        told.append(f"Licence: {licence}.")
    elif not any(map(LICENCE.search, told)):
        told.append(NO_LICENCE)
    return " ".join([f"`{run.config['data']['name']}`.", *told])


def sentences(docstring: str | None) -> list[str]:
    return re.split(r"(?<=[.。\"])\s+(?=[A-Z`])", " ".join((docstring or "").split()))


def not_for(run: Run) -> str:
    """What models of the run's data must not be used for; raises UserError for data that NOT_FOR does not have."""
    target = run.config["data"]["source"]["_target_"]
    found = [words for name, words in NOT_FOR.items() if target.startswith(f"src.data.{name}")]
    if not found:
        raise UserError(f"{run.name}: say in NOT_FOR of src/tools/cards.py what models of {target} must not be used for")
    return found[0]


def value(table: Table, column: Column) -> str:
    """A metric's header with the model's value."""
    (group,) = table.groups
    text, _ = bounded(mean(group.summary(column.key)), column.key in group.bounds)
    return f"{column.header} {text}"


def of_control(table: Table, name: str, key: str) -> str:
    return f"{table.control_names.get(name, name)} {number(table.controls[name][key])}"


def memorisation(table: Table) -> str:
    """Shares of copies beside those of unseen real data."""
    real = {key: number(share) for key, share in table.controls.get("real", {}).items() if COPIES.fullmatch(key)}
    columns = [column for column in table.columns if COPIES.fullmatch(column.key)]
    told = [f"{value(table, column)} (unseen real data {real.get(column.key, 'not measured')})" for column in columns]
    return ", ".join(told) or "not measured"


def main_metric(table: Table) -> str:
    """The metric that recipes are compared by, beside the controls."""
    (column,) = (column for column in table.columns if column.key == table.main)
    (main,) = (group.summary(table.main) for group in table.groups)
    times = f", {main.mean / table.unit:.1f} times the floor" if main and table.unit else ""
    controls = [of_control(table, name, table.main) for name, metrics in table.controls.items() if table.main in metrics]
    return f"{value(table, column)}{times} ({column.meaning}). Controls: {'; '.join(controls)}"


def weak(table: Table) -> str:
    """The report's metrics on which a control other than unseen real data and copies of training data is better."""
    names = [name for name, metrics in table.controls.items() if name != "real" and not is_copy(metrics)]
    told = []
    for column in (column for column in table.columns if not column.page_only):
        better = [of_control(table, name, column.key) for name in names if table.beaten_by(name, column)[0]]
        told += [f"\n  - {value(table, column)}; better: {'; '.join(better)}"] if better else []
    return (
        "".join(told) or " on no metric is such a control better. The main metric tells how far the samples are from real data."
    )


def is_copy(metrics: dict[str, Any]) -> bool:
    return any(share > COPY for key, share in metrics.items() if COPIES.fullmatch(key))


if __name__ == "__main__":
    command_line.run("cards", cards)
