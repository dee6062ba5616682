"""python -m src.tools.temperatures runs=[FOLDER, ...]: quality against diversity of samples, by temperature.

A model may trade one for the other, so that a single point says little (Caccia et al. 2020, arXiv:1811.02549). Models without
a temperature have one point. The table is JSON; a figure is beside it.
"""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("svg")
import matplotlib.pyplot as plt

from src.config import command_line
from src.config.errors import UserError
from src.data.vocabulary import END, PAD, UNKNOWN, Vocabulary
from src.evaluation.metrics.ngrams import NGrams
from src.evaluation.metrics.quatrains import LOST
from src.evaluation.metrics.sequences import Sequences
from src.evaluation.text import TextSuite
from src.evaluation.text_protocol import NGRAM_ORDERS, Reference, Scored
from src.models.capabilities import Samples
from src.runs.folder import RunFolder
from src.runs.load import load_run
from src.system.files import write_json
from src.system.numerics import set_numerics
from src.tools.families import STYLE, plain, save

KINDS = {"real": "unseen real text", "ngram_4": "4-gram samples"}  # points beside the models


def temperatures(config: dict[str, Any]) -> dict[str, Any]:
    """Measure all runs, which must be of one data set, and write `out` and the figure.

    A row: run, temperature (null: the model has none), `nats`: of the samples per character under the 4-gram model of the
    training texts, `self_bleu`, `fd`. The rows of KINDS have their name as run.
    """
    set_numerics(1, "highest")
    folders = [RunFolder.existing(folder) for folder in as_list(config["runs"])]
    experiments = [folder.experiment(config["paths"]["data"]) for folder in folders]
    check(experiments, config["temperatures"])
    dataset = experiments[0].dataset
    dataset.prepare()
    suite = TextSuite(samples=config["samples"], cache=config["paths"]["cache"])
    suite.check(dataset.spec)
    reference = Reference(dataset, suite.split, suite.samples, suite.scored, suite.group)
    quality = Quality(reference.train)

    def row(run: str, temperature: float | None, texts: Sequence[str]) -> dict[str, Any]:
        found = {"run": run, "temperature": temperature, "nats": quality(texts), **reference.trade(texts)}
        print(found, flush=True)
        return found

    count = min(config["samples"], len(reference.unseen))
    rows = [row("real", None, reference.unseen[:count]), row("ngram_4", None, quality.sample(config["samples"]))]
    for folder, experiment in zip(folders, experiments, strict=True):
        model = load_run(folder.path)
        if not isinstance(model, Samples):
            raise UserError(f"{folder.path} draws no samples: leave it out of runs=")
        settable = "temperature" in inspect.signature(model.sample).parameters
        for temperature in config["temperatures"] if settable else [None]:
            how = {} if temperature is None else {"temperature": temperature}
            texts = suite.draw(model, dataset, suite.seed, suite.samples, suite.split, **how)
            rows.append(row(experiment.name, temperature, texts))
    result = {"data": dataset.name, "features": reference.features_described, "group": reference.group, "rows": rows}
    out = Path(config["out"])
    write_json(out, result)
    with plt.rc_context(STYLE):
        draw(rows, out.with_suffix(".svg"))
    return result


def as_list(runs: Any) -> list[str]:
    return [runs] if isinstance(runs, str) else runs


def check(experiments: Sequence[Any], values: Sequence[float]) -> None:
    """Raise UserError for runs of several data sets, and for temperatures that nothing can be drawn at."""
    names = sorted({experiment.dataset.name for experiment in experiments})
    if len(names) != 1:
        raise UserError(f"runs= are of several data sets ({', '.join(names)}): take one data set at a time")
    if not values or min(values) <= 0:
        raise UserError(f"temperatures={list(values)}: name one or more, all above 0")


class Quality:
    """Nats per character of texts under an n-gram model of the training texts' characters; their ends count as characters."""

    def __init__(self, training: Sequence[str]) -> None:
        self.vocabulary, self.longest = Vocabulary.of(training), max(map(len, training)) + 1
        self.names = self.vocabulary.names
        symbols = [number for number, name in enumerate(self.names) if name not in (PAD, UNKNOWN)]
        self.ngrams = NGrams(self.encode(training), NGRAM_ORDERS["ngram_4"], np.array(symbols))

    def encode(self, texts: Sequence[str]) -> Sequences:
        return Sequences(*self.vocabulary.encode_padded(texts, max(map(len, texts)) + 1))

    def __call__(self, texts: Sequence[str]) -> float:
        samples = self.encode(texts)
        return float(Scored(samples, self.names).measure(self.ngrams.nats(samples))["nats"])

    def sample(self, count: int) -> list[str]:
        """Samples of the n-gram model."""
        x = self.ngrams.sample(count, self.longest, self.names.index(END), seed=0)
        return [self.vocabulary.decode(row).replace(UNKNOWN, LOST) for row in x.tolist()]


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Nats under the 4-gram model, and FD, over self-BLEU: lower left is better."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for axis, key, label in zip(axes, ("nats", "fd"), ("nats / character, 4-gram model", "FD"), strict=True):
        for name, marker in zip(KINDS, "*X", strict=True):
            found = next(row for row in rows if row["run"] == name)
            axis.plot(found["self_bleu"], found[key], marker, color="#777777", markersize=10, label=KINDS[name])
        for number, name in enumerate(dict.fromkeys(row["run"] for row in rows if row["run"] not in KINDS)):
            own = [row for row in rows if row["run"] == name]
            points = [(row["self_bleu"], row[key]) for row in own]
            axis.plot(*zip(*points, strict=True), marker="osD^v<>"[number % 7], markersize=4, label=name)
        axis.set(xlabel="self-BLEU (right: less varied)", ylabel=label)
    axes[1].set_yscale("log")
    plain(axes[1].yaxis)
    axes[0].legend(frameon=False, fontsize=8)
    for axis, key in zip(axes, ("nats", "fd"), strict=True):
        label_temperatures(axis, rows, key)
    save(figure, path)


def label_temperatures(axis: Any, rows: Sequence[dict[str, Any]], key: str) -> None:
    """Write temperatures beside the points (self-BLEU, key), the lowest and highest first, where no other label stands."""
    figure = axis.get_figure()
    figure.draw_without_rendering()  # sets the layout, in which labels have places
    own = [row for row in rows if row["temperature"] is not None]
    values = {row["temperature"] for row in own}
    own.sort(key=lambda row: row["temperature"] not in (min(values), max(values)))
    colors = {line.get_label(): line.get_color() for line in axis.lines}
    taken: list[Any] = []
    for row in own:
        label = axis.annotate(
            f"{row['temperature']:g}",
            (row["self_bleu"], row[key]),
            textcoords="offset points",
            xytext=(5, 3),
            fontsize=8,
            color=colors[row["run"]],
        )
        box = label.get_window_extent()
        if box.count_overlaps(taken):
            label.remove()
        else:
            taken.append(box)


if __name__ == "__main__":
    command_line.run("temperatures", temperatures)
