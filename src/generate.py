"""python -m src.generate run=PATH [n=64 class=3 interpolate=8 format=png|npz|safetensors|onnx]: run folder to samples."""

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from itertools import tee
from pathlib import Path
from typing import Any

from src import cli
from src.errors import UserError, nearest
from src.progress import Line, minutes
from src.run import RunFolder, load_run

SAMPLES, STRIPS = 64, 8  # how many where n is not given
PORTION = 1024  # samples that are drawn while those before them are written


def generate(config: dict[str, Any]) -> Path:
    """Draw what the config asks for from a run's model; the folder or file that holds it."""
    run = RunFolder.existing(config["run"])
    run.config()  # it can be read and names nothing that is not allowed
    checkpoint = run.checkpoint(config["checkpoint"])

    import torch

    from src.export import save_safetensors, state_hash, to_onnx

    model = load_run(run.path, config["checkpoint"])
    network = model.sampler(config["weights"])
    modality = importlib.import_module(f"src.modalities.{model.spec.kind}")
    provenance = {
        "model": state_hash(network.state_dict()),
        "weights": config["weights"] if model.ema else "raw",
        "run": run.path.parent.name,
        "seed": run.path.name,
        "checkpoint": checkpoint.name,
    }
    kind = f"interpolate{config['interpolate']}" if config["interpolate"] else config["format"]
    out = Path(config["out"] or run.path / "generated" / f"{kind}-seed{config['seed']}")
    if config["format"] == "safetensors":
        save_safetensors(network, out := out.with_name("generator.safetensors"), provenance)
    elif config["format"] == "onnx":
        inputs = model.example_inputs()
        to_onnx(network, inputs, out := out.with_name("generator.onnx"), ["z", "y"][: len(inputs)], provenance)
    elif config["interpolate"]:
        rows = config["n"] or STRIPS
        how = config["weights"], config["truncation"], config["side"]
        strips = model.interpolate(rows, config["interpolate"], config["seed"], labels(model, config["class"], rows), *how)
        modality.strip(modality.to_uint8(strips), out := out.with_suffix(".png"), provenance)
    else:
        seeds = range(config["seed"], config["seed"] + (config["n"] or SAMPLES))
        portions = draw(model, config, seeds, modality.to_uint8)
        if config["format"] == "png":
            portions, again = tee(portions)
            modality.save(portions, out, seeds, provenance)
            modality.preview(torch.cat(list(again)), out / "grid.png", provenance=provenance)
        else:
            modality.save_npz(torch.cat(list(portions)), out := out.with_suffix(".npz"), seeds, provenance)
    print(out)
    return out


def draw(model: Any, config: dict[str, Any], seeds: range, finish: Callable[[Any], Any]) -> Iterator[Any]:
    """Samples [N, ...] of the seeds, portion by portion, each finished; stderr says how far that is."""
    y = labels(model, config["class"], len(seeds))
    line, began = Line(sys.stderr), time.monotonic()
    for start in range(0, len(seeds), PORTION):
        rows = slice(start, start + PORTION)
        asked = None if y is None else y[rows]
        yield finish(model.sample(seeds[rows], asked, config["weights"], config["truncation"], config["side"]))
        if line.due():
            done = min(start + PORTION, len(seeds))
            rate = done / (time.monotonic() - began)
            line.show(f"{done:,} of {len(seeds):,} samples  {rate:,.0f}/s  left {minutes((len(seeds) - done) / rate)}")
    line.end()


def labels(model: Any, name: Any, n: int) -> Any:
    """The class that the user names, `n` times; None where none is named."""
    if name is None:
        return None
    import torch

    classes = model.spec.classes
    if model.labels([0]) is None:
        raise UserError("this model is not class-conditional: leave class= out")
    if str(name) not in classes and not (str(name).isdigit() and int(name) < len(classes)):
        raise UserError(f"class={name} is none of the data's: {nearest(str(name), classes)}")
    return torch.full((n,), classes.index(str(name)) if str(name) in classes else int(name))


if __name__ == "__main__":
    cli.run("generate", generate, nullable=("n",))
