"""python -m src.tools.families: draw the figures of docs/families.md from the published results, with tables of their numbers.

The blocks between `<!-- NAME -->` and `<!-- /NAME -->` are replaced: COMPUTE if results/compute is there, STEPS if
results/steps.json is. src/tools/readme.py fills the page's other blocks.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter

from src.config import command_line
from src.config.errors import UserError
from src.reporting.runs import Run, find_runs
from src.reporting.words import number
from src.system.files import read_json, write_atomic
from src.tools.readme import replace_block

COLOURS = {"cdcgan": "#000000", "vae": "#0072b2", "autoregressive": "#009e73", "flow": "#d55e00", "diffusion": "#cc79a7"}
MARKERS = {"cdcgan": "o", "vae": "s", "autoregressive": "^", "flow": "D", "diffusion": "v"}
Point = tuple[float, float]
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
    with plt.rc_context(STYLE):
        if (results / "compute").is_dir():
            runs = find_runs([str(results / "compute")])
            draw_compute(runs, results / "compute.svg")
            text = replace_block(text, "COMPUTE", lambda _: compute_table(runs))
        if (results / "steps.json").is_file():
            steps = read_json(results / "steps.json", "make repro makes it again")["rows"]
            draw_steps(steps, results / "steps.svg")
            text = replace_block(text, "STEPS", lambda _: steps_table(steps))
    write_atomic(path, text.encode())
    print(f"{path}: figures of {results}")


def family(run: Run) -> str:
    return run.config["name"]


def curves(runs: list[Run], metric: str) -> dict[str, list[Point]]:
    """family -> (CPU seconds of training, value of the metric) of its runs, in order."""
    found: dict[str, list[Point]] = defaultdict(list)
    for run in runs:
        key = run.main if metric == "fd" else metric
        if run.finished and key in run.metrics:
            found[family(run)].append((run.cost["cpu_seconds"], run.metrics[key]))
    return {name: sorted(points) for name, points in sorted(found.items(), key=lambda item: order(item[0]))}


def order(name: str) -> int:
    return [*COLOURS].index(name) if name in COLOURS else len(COLOURS)


def draw_compute(runs: list[Run], path: Path) -> None:
    """Distance and bits per dimension over CPU seconds of training."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    floors = [run.record["controls"]["real"][run.main] for run in runs if run.finished]
    for axis, metric, label in zip(axes, ("fd", "bits_per_dim"), ("FD (2,000 samples)", "bits / dim"), strict=True):
        for name, points in curves(runs, metric).items():
            draw_line(axis, name, points)
        axis.set(xscale="log", xlabel="CPU seconds of training", ylabel=label)
        plain(axis.xaxis)
    axes[0].set_yscale("log")
    plain(axes[0].yaxis)
    if floors:
        axes[0].axhline(floors[0], color="#777777", linestyle=":", label="real images (floor)")
    axes[0].legend(frameon=False, fontsize=8)
    save(figure, path)


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


def compute_table(runs: list[Run]) -> str:
    """Families by rows, budgets by columns: FD, and bits per dimension where there are any."""
    distances, bits = curves(runs, "fd"), curves(runs, "bits_per_dim")
    budgets = max(map(len, distances.values()), default=0)
    lines = ["![FD and bits per dimension over CPU seconds of training](../results/compute.svg)", ""]
    lines += ["| family | " + " | ".join(["CPU s: FD, bits / dim"] * budgets) + " |", "|-|" + "-|" * budgets]
    for name, points in distances.items():
        cells = [f"{seconds:,.0f}: {number(value)}" for seconds, value in points]
        for index, (_, value) in enumerate(bits.get(name, [])):
            cells[index] += f", {number(value)}"
        lines.append(f"| {name} | " + " | ".join(cells + [""] * (budgets - len(cells))) + " |")
    return "\n".join(lines)


def steps_table(rows: list[dict[str, Any]]) -> str:
    """Families by rows: FD and CPU seconds per 1,000 samples for each number of function evaluations."""
    counts = sorted({row["nfe"] for row in rows if row["nfe"]})
    lines = ["![FD over CPU seconds per 1,000 samples](../results/steps.svg)", ""]
    lines += ["| family | one pass | " + " | ".join(f"{count} evaluations" for count in counts) + " |"]
    lines.append("|-|" + "-|" * (1 + len(counts)))
    for name in sorted({row["run"] for row in rows}, key=order):
        own = [row for row in rows if row["run"] == name]
        cells = {row["nfe"]: f"{number(row['value'])} in {row['sampling_cpu_seconds_per_1000']:.2g} s" for row in own}
        lines.append(f"| {name} | " + " | ".join(cells.get(count, "") for count in [None, *counts]) + " |")
    return "\n".join([*lines, "", f"FD of 2,000 samples; that of 2,000 real images is {number(rows[0]['floor'])}."])


if __name__ == "__main__":
    command_line.run("families", families)
