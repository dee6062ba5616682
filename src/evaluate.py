"""python -m src.evaluate run=PATH [evaluation.extractor=... evaluation.samples=...]: run folder to metrics.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.config import command_line
from src.config.errors import UserError
from src.parallel.place import check_device
from src.runs.folder import RunFolder
from src.runs.manifest import MANIFEST_DEFAULTS
from src.runs.summary import summary
from src.system.files import check_writable, sha256, write_json

PLACES = ("cache", "device")  # settings of where an evaluation runs, not of what it measures


def evaluate(config: dict[str, Any]) -> dict[str, Any]:
    """Measure a run under its own protocol, with the command line's changes to it. Returns the record that is written."""
    run = RunFolder.existing(config["run"])
    own = run.experiment().config["evaluation"]
    asked = {key: value for key, value in config["evaluation"].items() if value is not None}
    settings = own | asked | ({"cache": config["paths"]["cache"]} if "cache" in own else {})
    places = config["paths"]["data"], config["data"]["path"]
    experiment = run.experiment(*places, evaluation=settings)
    check_device(settings.get("device"))
    ended = run.manifest().get("ended", {})
    if ended.get("reason") == "diverged":
        write_json(run.path / "metrics.json", failed := {"metrics": {}, "failed": ended["message"]})
        print(f"recorded as a failure: {ended['message']}")
        return failed
    checkpoint = run.checkpoint()  # UserError without an intact one
    if not ended:
        print(f"this run has not ended: measuring {checkpoint.name}, the best so far")
    dataset = experiment.dataset
    experiment.suite.check(dataset.spec)
    dataset.prepare()
    if changes := run.changes(run.experiment(*places).config, dataset.hashes()):
        raise UserError(f"the data is not what the run was made with ({'; '.join(changes)}): get that version of it")
    name = record_name(settings, own)
    check_writable(Path(config["paths"]["cache"]), "paths.cache")

    from src.evaluation.final import evaluate_run
    from src.system.numerics import set_numerics

    made = MANIFEST_DEFAULTS | run.manifest()
    set_numerics(made["threads"], made["matmul_precision"])  # other settings round differently
    with run:
        result = evaluate_run(run, experiment, run.path / f"{name}.json")
    asked, measured = result["protocol"].get("samples_asked"), result["protocol"].get("samples")
    if asked and measured and measured < asked:
        print(f"  measured with {measured:,} samples instead of {asked:,}: the data have no more")
    print(summary(result))
    print(f"  numbers {run.path / name}.json")
    return result


def record_name(settings: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """Name of the record's file without .json: "metrics" for the run's own protocol, else "metrics-<key>=<value>-..."."""
    changed = {key: value for key, value in settings.items() if key not in PLACES and own.get(key) != value}
    words = []
    for key, value in sorted(changed.items()):
        is_file = isinstance(value, str) and Path(value).is_file()
        words.append(f"{key}={sha256(Path(value))[:8] if is_file else value}".replace("/", "%2F"))
    return "-".join(["metrics", *words])


def main() -> None:
    """The console command aigc-evaluate."""
    command_line.run("evaluate", evaluate, nullable=("evaluation.", "paths.data", "data.path"))


if __name__ == "__main__":
    main()
