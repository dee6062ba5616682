"""python -m src.tools.steps runs=[FOLDER, ...]: distance and CPU seconds of samples by the number of function evaluations.

Models that draw in one pass have one row. The table is JSON, for src/tools/families.py.
"""

from pathlib import Path
from typing import Any

from src.config import command_line
from src.evaluation.images import ImageSuite
from src.runs.folder import RunFolder
from src.runs.load import load_run
from src.system.files import write_json
from src.system.numerics import set_numerics


def steps(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Measure all runs and write rows to `out`, for each number of evaluations that is asked for and for the recipe's own.

    A row: run, nfe (null: one pass), whether it is the recipe's own number, distance, floor, CPU seconds per 1,000 samples.
    """
    set_numerics(1, "highest")
    rows = []
    for folder in [config["runs"]] if isinstance(config["runs"], str) else config["runs"]:
        run = RunFolder.existing(folder)
        experiment = run.experiment(config["paths"]["data"])
        experiment.dataset.prepare()
        model = load_run(run.path)
        suite = ImageSuite(
            experiment.suite.extractor_name, samples=config["samples"], raw=False, likelihood=0, cache=config["paths"]["cache"]
        )
        recipe = getattr(model, "nfe", None)
        for nfe in sorted({*config["counts"], recipe}) if recipe else [None]:
            if nfe is not None:
                model.nfe = nfe
            record = suite.evaluate(model, experiment.dataset, None, Path())
            key = record["main"]["name"]
            rows.append(
                {
                    "run": experiment.name,
                    "nfe": nfe,
                    "recipe": nfe == recipe,
                    "metric": key,
                    "value": record["metrics"][key],
                    "floor": record["controls"]["real"][key],
                    **record["cost"],
                }
            )
            print(rows[-1], flush=True)
    write_json(Path(config["out"]), {"rows": rows})
    return rows


if __name__ == "__main__":
    command_line.run("steps", steps)
