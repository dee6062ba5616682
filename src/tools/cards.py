"""python -m src.tools.cards: write docs/cards.md, a model card for each published run with weights (Mitchell et al. 2019, arXiv:1810.03993).

All of a card comes from the run's config.yaml, manifest.json and metrics.json, from the docstrings of its data set, and from NOT_FOR.
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
from src.tools.readme import relative

WEIGHTS = "weights.safetensors"
SHARES_OF_COPIES = ("copies", "copied", "near_copies")  # begin the keys of metrics of memorisation
COPY = 0.5  # a control with a larger share of copies is made of training data
NO_LICENCE = "No licence is stated by the source."
LICENCE_WORDS = re.compile(r"licence|public domain|CC0")
# How the name of a data set's class begins, below src.data -> what models of these data must not be used for.
NOT_FOR = {
    "mnist.MNIST": "to read or to forge handwriting: it draws single digits of 28 x 28 pixels",
    "moving_mnist": "as a model of how things move: its clips are two digits in an empty box",
    "avatars": "to judge people or to show a person: its faces are drawings of one style, and its attributes are parts of them",
    "emoji": "in place of official emoji or signs: a picture may mean something else than its source or its caption",
    "chinese_poetry": "to pass its texts off as poems of a poet or of a dynasty, or to learn the language or its history from them",
    "music": "to pass its pieces off as traditional tunes or as works of a composer",
}
HEAD = """# Model cards

One card for each model whose weights are in this repository. `python -m src.tools.cards` writes this page from the config, the manifest and
the metrics of each run; nothing on it is typed by hand but what a model must not be used for.

**No model here may be used** to impersonate a person or to deceive. No facts and no advice can be taken from generated texts. Nothing that
concerns anyone's safety may depend on a model. All are small models for study.

How to read a card: [evaluation.md](evaluation.md) explains the metrics; ↑ higher is better, ↓ lower is better, ≤ an upper bound.
*Memorisation* is the share of samples that copy training data, beside the same share of unseen real data. *Weak* names each metric on which
a control beats the model, with both values; unseen real data and copies of training data are no such controls, damaged real data are.
*Cost* is that of one training with its validation. `python -m src.verify run=FOLDER` trains a model again and compares; the command of a
card trains it into a new folder.
"""


def cards(config: dict[str, Any]) -> str:
    """Write the page. Returns its text."""
    page = Path(config["page"])
    text = page_of(Path(config["results"]), page)
    if not page.parent.is_dir():
        raise UserError(f"page={page}: {page.parent} is no folder: run this where docs/ lies, or name another page")
    write_atomic(page, text.encode())
    print(f"{page}: model cards of {config['results']}")
    return text


def page_of(results: Path, page: Path) -> str:
    """The page for all runs with weights below `results`; links are relative to `page`."""
    folders = sorted(path.parent for path in results.rglob(WEIGHTS))
    if not folders:
        raise UserError(f"no run with {WEIGHTS} below {results}: name the folder of published runs with results=")
    return "\n".join([HEAD, *(card(read_run(folder, folder.as_posix()), page) for folder in folders)])


def card(run: Run, page: Path) -> str:
    """The card of one run, as Markdown."""
    if not run.finished:
        raise UserError(f"{run.name} has weights and no final evaluation: python -m src.evaluate run={run.name}")
    (table,) = make_tables([run])
    rows = {
        "Model": model(run, page),
        "Data": data(run),
        "Not to be used": f"{not_for(run)}.",
        "Memorisation": memorisation(table),
        "Main metric": main_metric(table),
        "Weak": weak(table),
        "Cost": cost(run),
        "Training": f"`{train_again(run.name, run.name.replace('/', '-'))}`",
    }
    return "\n".join([f"## {run.name}", "", *(f"- **{name}**: {words}" for name, words in rows.items()), ""])


def model(run: Run, page: Path) -> str:
    """The training rule and the networks, each with its parameters."""
    settings, parameters = run.config["model"], run.manifest["parameters"]
    networks = [f"{name} {linked_class(settings[name]['_target_'], page)} ({n:,} parameters)" for name, n in parameters.items()]
    return f"{linked_class(settings['_target_'], page)}, trained as `{run.config['name']}`, seed {run.seed}: {', '.join(networks)}"


def linked_class(target: str, page: Path) -> str:
    """The name of a class or function, with a link to its file."""
    module, _, name = target.rpartition(".")
    return f"[{name}]({relative(Path(*module.split('.')).with_suffix('.py'), page)})"


def data(run: Run) -> str:
    """What the data are, where they come from, and their licence as the manifest or the data set states it."""
    dataset = locate(run.config["data"]["source"]["_target_"], "data.source._target_", trusted=False)
    first, *others = sentences(sys.modules[dataset.__module__].__doc__)
    told = [sentences(dataset.__doc__)[0], first, *(words for words in others if "come from" in words or LICENCE_WORDS.search(words))]
    licence = run.manifest.get("licence") or licence_of(dataset)
    stated = [f"Licence: {licence}."] if licence else [] if any(map(LICENCE_WORDS.search, told)) else [NO_LICENCE]
    return " ".join([f"`{run.config['data']['name']}`.", *told, *stated])


def sentences(docstring: str | None) -> list[str]:
    return re.split(r"(?<=\.)\s+(?=[A-Z])", " ".join((docstring or "").split()))


def not_for(run: Run) -> str:
    """What models of the run's data must not be used for; raises UserError for data that NOT_FOR does not have."""
    target = run.config["data"]["source"]["_target_"]
    found = [words for name, words in NOT_FOR.items() if target.startswith(f"src.data.{name}")]
    if not found:
        raise UserError(f"{run.name}: NOT_FOR in src/tools/cards.py has nothing for data of {target}: add what they must not be used for")
    return found[0]


def value(table: Table, column: Column) -> str:
    """The model's value of a metric, with its header."""
    (group,) = table.groups
    text, _ = bounded(mean(group.summary(column.key)), column.key in group.bounds)
    return f"{column.header} {text}"


def is_share_of_copies(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}_") for name in SHARES_OF_COPIES) and key != "copied_ngram"


def memorisation(table: Table) -> str:
    columns = [column for column in table.columns if is_share_of_copies(column.key)]
    real = table.controls.get("real", {})
    told = [f"{value(table, c)} (unseen real data {number(real[c.key]) if c.key in real else 'not measured'})" for c in columns]
    return f"{', '.join(told)}." if told else "not measured."


def main_metric(table: Table) -> str:
    """The metric that recipes are compared by, beside the controls' values."""
    (column,) = (column for column in table.columns if column.key == table.main)
    controls = [
        f"{table.control_names.get(name, name)} {number(metrics[table.main])}"
        for name, metrics in table.controls.items()
        if table.main in metrics
    ]
    return f"{value(table, column)} ({column.meaning}). Controls: {'; '.join(controls)}."


def weak(table: Table) -> str:
    """Metrics of the report's table on which a control other than unseen real data and copies of training data is better."""
    names = [name for name, metrics in table.controls.items() if name != "real" and not is_copy(metrics)]
    told = []
    for column in table.columns:
        better = [name for name in names if not column.page_only and table.beaten_by(name, column)[0]]
        values = [f"{table.control_names.get(name, name)} {number(table.controls[name][column.key])}" for name in better]
        told += [f"{value(table, column)}: {', '.join(values)}"] if values else []
    return f"{'; '.join(told)}." if told else "no control is better on any metric."


def is_copy(metrics: dict[str, Any]) -> bool:
    return any(share > COPY for key, share in metrics.items() if is_share_of_copies(key))


def cost(run: Run) -> str:
    made, ended = run.manifest, run.ended
    machine = f"{made['cpu']} ({made['cpu_model']}), threads: {made['threads']}"
    return f"{ended['samples_seen']:,} samples seen, {ended['cpu_seconds']:.0f} CPU seconds on {machine}."


if __name__ == "__main__":
    command_line.run("cards", cards)
