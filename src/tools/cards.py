"""python -m src.tools.cards: docs/cards.md, a model card for each published run with weights.

Model cards: Mitchell et al. 2019 (arXiv:1810.03993). All numbers are from the run's manifest and metrics. What is said of data
and rule is from the docstrings of their classes; the licence from the data set's class and its docstrings.
"""

import ast
import importlib
import importlib.util
import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from src.config import command_line
from src.config.errors import UserError
from src.reporting.provenance import duration
from src.reporting.runs import Run, read_run
from src.reporting.tables import beats
from src.reporting.words import counted, number
from src.system.files import write_atomic

INTRO = """# Model cards

[简体中文](zh/trust.md) · Written by `python -m src.tools.cards` from `results/`: do not edit it. Terms are explained in
[evaluation.md](evaluation.md).

Each published run with weights has a card. All of them are small models for teaching and for comparing methods, measured on one
seed. None is for decisions about people, for anything that safety depends on, or for passing something off as the work of a
person. Their texts state no facts.

*Memorisation* is what the evaluation measured, with the value of real data beside it. *Weaknesses* are the metrics in which a
control is better than the model; real data and copies of training data, which beat nearly every model, are left out.
`python -m src.verify run=FOLDER` trains the model of a card again and compares.
"""
COPIES = ("copies", "copied", "near_copies", "closeness", "motif")  # how keys of metrics of memorisation begin
LICENCE = re.compile(r"licence|public domain|CC0|non-commercial", re.IGNORECASE)
NOT_STATED, NOT_MEASURED = "not stated by the source", "not measured"
# Data set -> what its models must not be used for.
LIMITS = {
    "src.data.mnist.MNIST": "As evidence of anybody's handwriting: nobody wrote these digits. To read digits: it draws them.",
    "src.data.moving_mnist.MovingMNIST": "As a model of how real objects move: two digits bounce in a box without friction.",
    "src.data.avatars.Avatars": "To judge or to find people: the faces are drawn from parts, and show no persons.",
    "src.data.emoji.EmojiPairs": "Without naming OpenMoji, or under another licence: the pictures derive from its emoji.",
    "src.data.chinese_poetry.Poems": "To pass its lines off as poems of the Tang dynasty, or to quote them: they imitate.",
    "src.data.music.folk.Folk": "To pass its tunes off as traditional ones: it has learned from transcriptions, and invents.",
    "src.data.music.chorales.Chorales": "To pass its pieces off as Bach's, or to teach voice leading: see its parallels.",
}


def cards(config: dict[str, Any]) -> str:
    """Write the page of all cards, and return its text."""
    text = page(Path(config["results"]), Path(config["page"]))
    write_atomic(Path(config["page"]), text.encode())
    print(f"{config['page']}: {counted(text.count('## '), 'card')}")
    return text


def page(results: Path, target: Path) -> str:
    """The text of the page at `target`; UserError if there is no published run with weights."""
    folders = sorted(path.parent for path in results.rglob("weights.safetensors"))
    if not folders:
        raise UserError(f"results={results} has no run with weights: run this in the repository's folder, or name another")
    found = [INTRO, *(card(read_run(folder, folder.as_posix()), target) for folder in folders)]
    return "\n".join(found)


def card(run: Run, target: Path) -> str:
    """The card of a run, a heading and a list."""
    config, manifest, ended = run.config, run.manifest, run.ended
    source = config["data"]["source"]["_target_"]
    if source not in LIMITS:
        raise UserError(f"{run.name}: say in LIMITS of src/tools/cards.py what a model of {source} must not be used for")
    link = Path(os.path.relpath(run.path, target.parent)).as_posix()
    parts = ", ".join(f"{name} {count:,}" for name, count in manifest["parameters"].items())
    machine = manifest["cuda"] or manifest["cpu"] or "an unknown processor"
    cost = f"{ended['samples_seen']:,} samples, {duration(ended['seconds'])}, {duration(ended['cpu_seconds'])} of CPU time"
    lines = {
        "Model": f"`{config['model']['_target_']}`: {first_line(config['model']['_target_'])} Parameters: {parts}",
        "Training": f"all settings in [config.yaml]({link}/config.yaml), seed {run.seed}",
        "Data": f"`data={config['data']['name']}`, `{source}`: {first_line(source)}",
        "Source of the data": " ".join(docstrings(source)[0].split()),
        "Licence of the data": licence(source),
        "Must not be used": LIMITS[source],
        "Main metric": main_metric(run),
        "Memorisation": memorisation(run),
        "Weaknesses": "; ".join(weaknesses(run)) or "no control is better in any metric",
        "Cost": f"{cost}, {manifest['device']}, {counted(manifest['threads'], 'thread')}, {machine}",
    }
    return "\n".join([f"## {run.name}", "", *(f"- **{name}:** {text.rstrip('.')}." for name, text in lines.items()), ""])


def docstrings(target: str) -> tuple[str, str]:
    """The docstrings of a class's module and of the class; the module is not imported."""
    module, _, name = target.rpartition(".")
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text())
    (own,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    return ast.get_docstring(tree) or "", ast.get_docstring(own) or ""


def first_line(target: str) -> str:
    return docstrings(target)[1].partition("\n")[0]


def licence(target: str) -> str:
    """The class's `licence`, or the sentences on it in the docstrings of its module and of itself."""
    module, _, name = target.rpartition(".")
    if stated := inspect.getattr_static(getattr(importlib.import_module(module), name), "licence", None):
        return str(stated)
    sentences = [" ".join(part.split()) for text in docstrings(target) for part in re.split(r"(?<=\.)\s+", text)]
    return " ".join(sentence for sentence in sentences if LICENCE.search(sentence)) or NOT_STATED


def main_metric(run: Run) -> str:
    """The main metric of the model and of each control that has it."""
    main, names = run.record["main"], run.record["control_names"]
    values = [
        f"{names[name]} {number(found[main['name']])}"
        for name, found in run.record["controls"].items()
        if main["name"] in found
    ]
    bound = "at most " if run.main in run.record.get("bounds", {}) else ""
    return f"{main['name']} {bound}{number(run.metrics[run.main])}, {main['better']} is better ({'; '.join(values)})"


def memorisation(run: Run) -> str:
    """Each metric of copies, with the value of the first control, which is real data."""
    (real, control), *_ = run.record["controls"].items()
    found = []
    for column in run.record["columns"]:
        if (key := column["key"]).startswith(COPIES) and key in run.metrics:
            beside = f" ({run.record['control_names'][real]} {number(control[key])})" if key in control else ""
            found.append(f"{column['header']} {number(run.metrics[key])}{beside}")
    return "; ".join(found) or NOT_MEASURED


def weaknesses(run: Run) -> Iterator[str]:
    """For each control but the first and training copies, the metrics in which it is better than the model."""
    metrics, columns = run.metrics, [column for column in run.record["columns"] if column["better"]]
    for name, control in list(run.record["controls"].items())[1:]:
        both = [column for column in columns if column["key"] in control and column["key"] in metrics]
        better = [one for one in both if beats(control[one["key"]], metrics[one["key"]], one["better"])]
        if better and name != "training_copies":
            heads = ", ".join(column["header"].rstrip(" ↑↓") for column in better)
            yield f"{run.record['control_names'][name]}: better in {heads}"


if __name__ == "__main__":
    command_line.run("cards", cards)
