"""python -m src.generate run=PATH [n=64 class=3 interpolate=8 format=png|npz|safetensors|onnx]: run folder to samples."""

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from itertools import tee
from pathlib import Path
from typing import Any

from src.config import command_line
from src.config.errors import UserError, nearest
from src.runs.folder import RunFolder, load_run
from src.system.files import NO_ROOM, check_writable
from src.system.interpreter import gc_paused
from src.system.progress import Line, minutes

NETWORK = "safetensors", "onnx"  # formats of the generator, not of samples
HOW = "class", "truncation", "side"  # may be given; a picture's record says so
SAMPLES, STRIPS = 64, 8  # how many where n is not given
SEEDS = 2**63  # int64, which archives hold seeds in, ends below it
PORTION = 1024  # samples that are drawn while those before them are written


def generate(config: dict[str, Any]) -> Path:
    """Draw what the config asks for from a run's model; the folder or file that holds it."""
    run = RunFolder.existing(config["run"])
    run.config()  # it can be read and names nothing that is not allowed
    checkpoint = run.checkpoint(config["checkpoint"])
    out = place(config, run)
    try:
        write(config, run, checkpoint.name, out)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise UserError(f"no room left to write {out} ({error.strerror}): make some, or choose another with out=") from error
    print(out)
    return out


def write(config: dict[str, Any], run: RunFolder, checkpoint: str, out: Path) -> None:
    """Draw, and write it to the folder or file `out`."""
    with gc_paused():
        import torch

        from src.runs.export import save_safetensors, state_hash, to_onnx

    model = load_run(run.path, config["checkpoint"])
    network = model.sampler(config["weights"])
    modality = importlib.import_module(f"src.modalities.{model.spec.kind}")
    provenance = {
        "model": state_hash(network.state_dict()),
        "weights": config["weights"] if model.ema else "raw",
        "run": run.path.parent.name,
        "seed": run.path.name,
        "checkpoint": checkpoint,
    }
    drawn = provenance | {"first_seed": config["seed"], **{key: config[key] for key in HOW if config[key] is not None}}
    if config["format"] == "safetensors":
        save_safetensors(network, out, provenance)
    elif config["format"] == "onnx":
        inputs = model.example_inputs()
        to_onnx(network, inputs, out, ["z", "y"][: len(inputs)], provenance)
    elif config["interpolate"]:
        rows = config["n"] or STRIPS
        how = config["weights"], config["truncation"], config["side"]
        strips = model.interpolate(rows, config["interpolate"], config["seed"], labels(model, config["class"], rows), *how)
        modality.strip(modality.to_uint8(strips), out, drawn)
    else:
        seeds = range(config["seed"], config["seed"] + (config["n"] or SAMPLES))
        portions = draw(model, config, seeds, modality.to_uint8)
        if config["format"] == "png":
            for name in ("grid.png", "grid.json"):  # an earlier drawing's
                (out / name).unlink(missing_ok=True)
            portions, again = tee(portions)
            modality.save(portions, out, seeds, drawn)
            modality.preview(torch.cat(list(again)), out / "grid.png", provenance=drawn)
        else:
            modality.save_npz(torch.cat(list(portions)), out, seeds, drawn)


def place(config: dict[str, Any], run: RunFolder) -> Path:
    """The folder or file that the samples or weights go to; UserError for what no format has, and where it cannot be made."""
    kind, strips = config["format"], config["interpolate"]
    if strips and kind != "png":
        raise UserError(f"interpolate= makes a PNG, format={kind} has no place for it: leave one of them out")
    meant = [key for key in ("n", *HOW) if config[key] is not None]
    if kind in NETWORK and meant:
        raise UserError(f"format={kind} is the generator itself, whatever is drawn from it: leave {meant[0]}= out")
    if kind == "npz" and config["seed"] + (config["n"] or SAMPLES) > SEEDS:
        raise UserError(f"seed={config['seed']}: format=npz holds seeds of 64 bits, up to {SEEDS - 1}: choose a smaller one")
    suffix = "" if kind == "png" and not strips else f".{kind}"
    if config["out"]:
        out = Path(config["out"])
        out = out if out.suffix == suffix else out.with_name(out.name + suffix)
    else:
        name = "generator" if kind in NETWORK else f"{f'interpolate{strips}' if strips else kind}-seed{config['seed']}"
        out = run.path / "generated" / (name + suffix)
    if suffix and out.is_dir():
        raise UserError(f"out={out} is a folder: name another file with out=")
    check_writable(out if not suffix else out.parent, "out")
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
    command_line.run("generate", generate, nullable=("n",))
