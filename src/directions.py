"""python -m src.directions run=PATH [n=5]: which directions a run's latent space has, what they change, and how much else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.config import command_line
from src.config.errors import UserError
from src.modalities.sidecars import own_record, remove_marked, write_record
from src.runs.folder import RunFolder
from src.runs.manifest import MANIFEST_DEFAULTS
from src.runs.sampling import load_split, provenance_of
from src.system.files import check_writable


def directions(config: dict[str, Any]) -> dict[str, Any]:
    """Find directions, draw a strip of each, measure their effects. Returns the record, which is also written."""
    run = RunFolder.existing(config["run"])
    experiment = run.experiment(config["paths"]["data"], config["data"]["path"])
    run.weights(config["checkpoint"])  # UserError if there are none
    out = Path(config["out"] or run.directions.parent)
    record_file = out / run.directions.name
    earlier = own_record(record_file)
    split = {name: load_split(run, config["paths"]["data"], config["data"]["path"], name) for name in ("train", "validation")}

    from src.evaluation.direction_strips import Directions
    from src.evaluation.steering import steerable
    from src.runs.load import load_run
    from src.system.numerics import set_numerics

    made = MANIFEST_DEFAULTS | run.manifest()
    set_numerics(made["threads"], made["matmul_precision"])
    model = load_run(run.path, config["checkpoint"], experiment=experiment)
    if refused := steerable(model):
        raise UserError(f"{experiment.name} {refused}")
    check_writable(out, "out")
    found = Directions(model, split["train"], split["validation"], config, experiment.config["data"].get("extractor"))
    modality = experiment.modality(model.spec)
    provenance = provenance_of(run, model, config["weights"], config["checkpoint"])
    for name in earlier.get("directions", {}):
        remove_marked(out / f"{Path(name).name}.png")
    record = found.record()
    for name, samples in found.strips():
        modality.strip(modality.finish(samples), out / f"{name}.png", provenance | {"direction": record["directions"][name]})
    write_record(record_file, record, provenance | {"first_seed": config["seed"]})
    print(table(record))
    print(f"  strips  {out}")
    return record


def table(record: Mapping[str, Any]) -> str:
    """The record's directions as lines of text; in brackets what random directions do, of a probe the more frequent answer."""
    columns = ("accuracy", "change", "others", "distance")
    lines = [f"{'direction (random)':<24}{'attribute':<14}" + "".join(f"{name:>18}" for name in columns)]
    for name, row in record["directions"].items():
        beside = row["random"] | {"accuracy": row.get("majority")}
        cells = [f"{row[key]:.3f} ({beside[key]:.3f})" if key in row else "-" for key in columns]
        lines.append(f"{name:<24}{row.get('attribute') or '-':<14}" + "".join(f"{cell:>18}" for cell in cells))
    for key, what in (("classifier_accuracy", "right of unseen real images"), ("as_asked", "as the class of a sample asks")):
        if record[key]:
            lines.append(f"{what}: " + ", ".join(f"{name} {share:.3f}" for name, share in record[key].items()))
    return "\n".join(lines)


def main() -> None:
    """The console command aigc-directions."""
    command_line.run("directions", directions, nullable=("paths.data", "data.path"))


if __name__ == "__main__":
    main()
