"""python -m src.evaluate run=PATH [evaluation.extractor=... evaluation.samples=...]: run folder to metrics.json."""

from pathlib import Path
from typing import Any

from src import cli
from src.files import check_writable, write_json
from src.run import RunFolder, build_dataset, summary


def evaluate(config: dict[str, Any]) -> dict[str, Any]:
    """Measure a run under its own protocol, or under the one that the command line changes it to; the record."""
    run = RunFolder.existing(config["run"])
    own = run.config()["evaluation"]
    settings = own | {key: value for key, value in config["evaluation"].items() if value is not None}
    ended = run.manifest().get("ended", {})
    if ended.get("reason") == "diverged":
        write_json(run.path / "metrics.json", failed := {"metrics": {}, "failed": ended["message"]})
        print(f"recorded as a failure: {ended['message']}")
        return failed
    run.checkpoint()  # there is one, and it is whole
    # The run's own protocol makes metrics.json; another one has a file of its own beside it.
    name = "metrics" if settings == own else f"metrics-{settings['extractor']}-{settings['samples']}-{settings['seed']}"
    dataset = build_dataset(run.config())
    dataset.prepare()
    cache = Path(config["paths"]["cache"])
    check_writable(cache, "paths.cache")

    import torch

    from src.scoring import score

    torch.set_num_threads(run.manifest()["threads"])  # another number rounds differently
    with run:
        result = score(run, dataset, settings, cache, run.path / f"{name}.json")
    print(summary(result))
    print(f"  numbers {run.path / name}.json")
    return result


if __name__ == "__main__":
    cli.run("evaluate", evaluate, nullable=("evaluation.",))
