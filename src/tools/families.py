"""python -m src.tools.families: draw the figures of docs/families.md from the published results, with tables of their numbers.

The blocks between `<!-- NAME -->` and `<!-- /NAME -->` are replaced: STEPS if results/steps.json is there, COMPUTE if
results/compute is there too. src/tools/readme.py fills the page's other blocks.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter

from src.config import command_line
from src.config.errors import UserError
from src.reporting.runs import Run, find_runs
from src.reporting.words import number
from src.system.files import read_json, write_atomic
from src.tools.readme import replace_block

COLOURS = {"cdcgan": "#000000", "vae": "#0072b2", "autoregressive": "#009e73", "flow": "#d55e00", "diffusion": "#cc79a7"}
MARKERS = {"cdcgan": "o", "vae": "s", "autoregressive": "^", "flow": "D", "diffusion": "v"}
Point = tuple[float, float]
BUDGET = 210  # CPU seconds of the study, see benchmarks/budget.py
STYLE: Any = {
    "svg.hashsalt": "aigc-lab",  # the same bytes each time
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
}


def families(config: dict[str, Any]) -> None:
    """Write <results>/compute.svg and steps.svg, and fill the page's blocks, where the results have been measured."""
    path, results = Path(config["page"]), Path(config["results"])
    if not path.is_file():
        raise UserError(f"page={path} is no file: run this where docs/ lies, or name another with page=")
    text = path.read_text()
    if (results / "steps.json").is_file():
        steps = read_json(results / "steps.json", "make repro makes it again")["rows"]
        with plt.rc_context(STYLE):
            draw_steps(steps, results / "steps.svg")
            text = replace_block(text, "STEPS", lambda _: steps_table(steps))
            if (results / "compute").is_dir():
                found = curves(find_runs([str(results / "compute")]), find_runs([str(results / "families")]), steps)
                draw_compute(found, steps[0]["floor"], results / "compute.svg")
                text = replace_block(text, "COMPUTE", lambda _: compute_table(found))
    write_atomic(path, text.encode())
    print(f"{path}: figures of {results}")


def curves(runs: list[Run], study: list[Run], steps: list[dict[str, Any]]) -> dict[str, dict[str, list[Point]]]:
    """metric -> family -> (budget in CPU seconds, value), in order; metrics: fd (2,000 samples), bits_per_dim.

    A budget is the number of images by the rate at which the study's budget was turned into images, in one sitting: the CPU
    seconds that a run took also hang on what else the machine did. runs: other budgets. study: of which seed 0 on MNIST is the
    point of BUDGET; its distance of 2,000 samples is in `steps`.
    """
    found: dict[str, dict[str, list[Point]]] = {"fd": defaultdict(list), "bits_per_dim": defaultdict(list)}
    distances = {row["run"]: row["value"] for row in steps if row["recipe"]}
    rates = {}
    for run in study:
        name = run.config["name"]
        if name in distances and (run.config["data"]["name"], run.seed) == ("mnist", 0):
            rates[name] = run.cost["samples_seen"] / BUDGET
            add(found, name, BUDGET, distances[name], run.metrics)
    for run in runs:
        name = run.config["name"]
        if run.finished and name in rates:
            add(found, name, run.cost["samples_seen"] / rates[name], run.metrics[run.main], run.metrics)
    return {
        metric: {name: sorted(families[name]) for name in sorted(families, key=order)} for metric, families in found.items()
    }


def add(found: dict[str, dict[str, list[Point]]], name: str, budget: float, distance: float, metrics: dict[str, float]) -> None:
    found["fd"][name].append((budget, distance))
    if "bits_per_dim" in metrics:
        found["bits_per_dim"][name].append((budget, metrics["bits_per_dim"]))


def order(name: str) -> int:
    return [*COLOURS].index(name) if name in COLOURS else len(COLOURS)


def draw_compute(found: dict[str, dict[str, list[Point]]], floor: float, path: Path) -> None:
    """Distance and bits per dimension over the budget; floor: distance of real images."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    budgets = budgets_of(found)
    for axis, metric, label in zip(axes, ("fd", "bits_per_dim"), ("FD (2,000 samples)", "bits / dim"), strict=True):
        for name, points in found[metric].items():
            draw_line(axis, name, points)
        axis.set(xscale="log", xlabel="CPU seconds of training", ylabel=label)
        axis.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
        axis.xaxis.set_minor_formatter(NullFormatter())
    axes[0].set_yscale("log")
    plain(axes[0].yaxis)
    axes[0].axhline(floor, color="#777777", linestyle=":", label="real images (floor)")
    axes[0].legend(frameon=False, fontsize=8)
    save(figure, path)


def budgets_of(found: dict[str, dict[str, list[Point]]]) -> list[int]:
    return sorted({round(budget) for points in found["fd"].values() for budget, _ in points})


def draw_steps(rows: list[dict[str, Any]], path: Path) -> None:
    """Distance over CPU seconds of 1,000 samples; the number of function evaluations beside each point."""
    figure, axis = plt.subplots(figsize=(6, 3.8), layout="constrained")
    for name in sorted({row["run"] for row in rows}, key=order):
        own = [row for row in rows if row["run"] == name]
        points = [(row["sampling_cpu_seconds_per_1000"], row["value"]) for row in own]
        draw_line(axis, name, points)
        for row, point in zip(own, points, strict=True):
            if row["nfe"]:
                axis.annotate(str(row["nfe"]), point, textcoords="offset points", xytext=(5, 4), fontsize=8)
    axis.axhline(rows[0]["floor"], color="#777777", linestyle=":", label="real images (floor)")
    axis.set(xscale="log", yscale="log", xlabel="CPU seconds per 1,000 samples", ylabel="FD (2,000 samples)")
    plain(axis.xaxis, axis.yaxis)
    axis.legend(frameon=False, fontsize=8)
    save(figure, path)


def draw_line(axis: Any, name: str, points: list[Point]) -> None:
    axis.plot(*zip(*points, strict=True), color=COLOURS.get(name), marker=MARKERS.get(name), markersize=4, label=name)


def plain(*axes: Any) -> None:
    """Write the numbers of logarithmic axes as 0.5, 10, 200."""
    for axis in axes:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def compute_table(found: dict[str, dict[str, list[Point]]]) -> str:
    """Families by rows, budgets by columns: FD, and bits per dimension where there are any."""
    budgets = budgets_of(found)
    lines = ["![FD and bits per dimension over CPU seconds of training](../results/compute.svg)", ""]
    lines += [
        "| FD, bits / dim after | " + " | ".join(f"{budget:,} s" for budget in budgets) + " |",
        "|-|" + "-|" * len(budgets),
    ]
    for name in found["fd"]:
        cells = dict.fromkeys(budgets, "")
        for metric in ("fd", "bits_per_dim"):
            for budget, value in found[metric].get(name, []):
                cells[round(budget)] += (", " if cells[round(budget)] else "") + number(value)
        lines.append(f"| {name} | " + " | ".join(cells.values()) + " |")
    return "\n".join(lines)


def steps_table(rows: list[dict[str, Any]]) -> str:
    """Families by rows: FD and CPU seconds per 1,000 samples for each number of function evaluations."""
    counts = sorted({row["nfe"] for row in rows if row["nfe"]})
    lines = ["![FD over CPU seconds per 1,000 samples](../results/steps.svg)", ""]
    lines += ["| family | one pass | " + " | ".join(f"{count} evaluation{'s' * (count > 1)}" for count in counts) + " |"]
    lines.append("|-|" + "-|" * (1 + len(counts)))
    for name in sorted({row["run"] for row in rows}, key=order):
        own = [row for row in rows if row["run"] == name]
        cells = {row["nfe"]: f"{number(row['value'])} in {row['sampling_cpu_seconds_per_1000']:.2g} s" for row in own}
        lines.append(f"| {name} | " + " | ".join(cells.get(count, "") for count in [None, *counts]) + " |")
    return "\n".join([*lines, "", f"FD of 2,000 samples; that of 2,000 real images is {number(rows[0]['floor'])}."])


if __name__ == "__main__":
    command_line.run("families", families)
