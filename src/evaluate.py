"""python -m src.evaluate run=PATH [evaluation.extractor=... evaluation.samples=...]: run folder to metrics.json."""

from pathlib import Path
from typing import Any

from src.config import command_line
from src.config.checks import check_extractor, with_data_in
from src.config.errors import UserError
from src.runs.folder import RunFolder, build_dataset, summary
from src.runs.manifest import EARLIER
from src.system.files import check_writable, sha256, write_json
from src.system.interpreter import gc_paused


def evaluate(config: dict[str, Any]) -> dict[str, Any]:
    """Measure a run under its own protocol, or under the one that the command line changes it to; the record."""
    run = RunFolder.existing(config["run"])
    recipe = with_data_in(config["paths"]["data"], run.config())
    own = recipe["evaluation"]
    settings = own | {key: value for key, value in config["evaluation"].items() if value is not None}
    ended = run.manifest().get("ended", {})
    if ended.get("reason") == "diverged":
        write_json(run.path / "metrics.json", failed := {"metrics": {}, "failed": ended["message"]})
        print(f"recorded as a failure: {ended['message']}")
        return failed
    checkpoint = run.checkpoint()  # there is one, and it is whole
    if not ended:
        print(f"this run has not ended: {checkpoint.name}, the best so far, is measured")
    dataset = build_dataset(recipe)
    check_extractor(settings, dataset.spec.shape)
    dataset.prepare()
    if changes := run.changes(recipe, dataset.hashes()):
        raise UserError(f"the data is not what the run was made with ({'; '.join(changes)}): get that version of it")
    name = "metrics" if settings == own else other_name(settings, own)
    cache = Path(config["paths"]["cache"])
    check_writable(cache, "paths.cache")

    with gc_paused():
        from src.evaluation.scoring import score
        from src.system.numerics import set_numerics

    made = EARLIER | run.manifest()
    set_numerics(made["threads"], made["matmul_precision"])  # others round differently
    with run:
        result = score(run, dataset, settings, cache, run.path / f"{name}.json")
    print(summary(result))
    print(f"  numbers {run.path / name}.json")
    return result


def other_name(settings: dict[str, Any], own: dict[str, Any]) -> str:
    """The run's own protocol makes metrics.json; another one has a file of its own beside it."""
    parts = ("extractor", "samples", "seed", *(["split"] if "split" in settings else []))
    weights = [] if settings["weights"] in (None, own["weights"]) else [sha256(Path(settings["weights"]))[:8]]
    return "-".join(["metrics", *(str(settings[part]) for part in parts), *weights])


if __name__ == "__main__":
    command_line.run("evaluate", evaluate, nullable=("evaluation.", "paths.data"))
