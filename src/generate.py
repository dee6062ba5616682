"""python -m src.generate run=PATH [n=64 class=3 interpolate=8 format=files|npz|safetensors|onnx]: run folder to samples.

Of text: prompt=, source=, heads=, form=, rhyme=true, script=; chat=true answers lines on stdin. reconstruct=, traverse= and
samples of a model that reads a source, without source=, also read the run's data.
"""

import hashlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import chain, tee
from pathlib import Path
from typing import Any

from src.config import command_line
from src.config.errors import UserError
from src.config.experiment import Experiment
from src.config.structure import CONF, read
from src.runs import prompts
from src.runs.folder import RunFolder
from src.runs.sampling import SETTINGS, batch_of, condition, load_test_split, provenance_of, sampling_settings
from src.system.files import NO_ROOM, check_writable
from src.system.progress import Line

FILES = ".gif", ".jpeg", ".jpg", ".npz", ".onnx", ".png", ".safetensors", ".txt", ".webp"  # out= names a file, not a folder
NETWORK = "safetensors", "onnx"  # formats of the network, not of samples
SAMPLING_KEYS = "class", *SETTINGS  # recorded with the samples where they are given, as settings of text are
NOT_NAMED = "run", "format", "out", "paths", "data", "seed", "film", "chat"  # not in a file's name, or elsewhere in it
LONGEST_WORD = 24  # characters of a setting in a file's name
PICTURES = "interpolate", "reconstruct", "traverse", "film"  # settings that each ask for one picture instead of samples
# Capability -> what a model without it cannot do.
CANNOT = {
    "Samples": "draws no samples",
    "Interpolates": "has no latents to go between",
    "Reconstructs": "has no encoder, so that it cannot reconstruct data",
    "Traverses": "has no encoder, which says what its latent coordinates do",
    "Unfolds": "has no way to its samples to film",
    "Exports": "cannot be exported",
}
SAMPLES, STRIPS = 64, 8  # default n, for samples and for rows of pictures
ENCODED = 1000  # images that tell how active latent coordinates are
FRAMES = 40  # of a film
SEEDS = 2**63  # archives store seeds as int64: all must be below this
PORTION = 1024  # samples drawn at a time, while the portion before is written


def chat_or_generate(config: dict[str, Any]) -> None:
    """What the command does."""
    if not config["chat"]:
        generate(config)
        return
    for key in ("n", "out", "source"):
        if config[key] is not None:
            raise UserError(f"chat=true answers each line of stdin with one sample: leave {key}= out")
    if config["format"] != "files" or picture_asked(config):
        raise UserError("chat=true writes no files: leave format= and pictures out")
    from src.runs.chat import chat

    chat(config)


def generate(config: dict[str, Any]) -> Path:
    """Draw samples from a run's model, or export it, as the config says. Returns the folder or file that was written."""
    config = config | {"source": prompts.source_text(config["source"])}
    run = RunFolder.existing(config["run"])
    experiment = run.experiment()  # UserError if its config is damaged or names a class that is not allowed
    checkpoint = run.weights(config["checkpoint"])
    out = output_path(config, run, experiment.modality_suffix if picture_asked(config) else "")
    try:
        write(config, run, experiment, checkpoint.name, out)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise UserError(f"no room left to write {out} ({error.strerror}): make some, or choose another with out=") from error
    print(out)
    return out


def write(config: dict[str, Any], run: RunFolder, experiment: Experiment, checkpoint: str, out: Path) -> None:
    """Draw samples or export the network, and write the result to the folder or file `out`."""
    import torch

    from src.modalities.modality import Films, ShowsInterpolations
    from src.modalities.sidecars import remove_marked
    from src.models.capabilities import Exports, Interpolates, Reconstructs, Samples, Traverses, Unfolds
    from src.runs.export import save_safetensors, to_onnx
    from src.runs.load import load_run

    model = load_run(run.path, config["checkpoint"])
    if checkpoint.endswith(".safetensors") and model.ema and config["weights"] == "raw":
        raise UserError(f"{run.path} is published with the averaged weights alone: leave weights=raw out")
    modality = experiment.modality(model.spec)
    provenance = provenance_of(run, model, config["weights"], config["checkpoint"])
    drawn = provenance | {
        "first_seed": config["seed"],
        **{key: config[key] for key in SAMPLING_KEYS if config[key] is not None},
    }
    kind = config["format"]
    if kind == "safetensors":
        save_safetensors(model.network(config["weights"]), out, provenance)
        return
    picture = picture_asked(config)
    if picture and not isinstance(modality, Films if picture == "film" else ShowsInterpolations):
        raise UserError(f"{model.spec.kind} has no picture for {picture}=: leave it out")
    capabilities: Any = dict(zip(PICTURES, (Interpolates, Reconstructs, Traverses, Unfolds), strict=True))
    needed = capabilities.get(picture, Exports if kind == "onnx" else Samples)
    if not isinstance(model, needed):
        raise UserError(f"{experiment.name} {CANNOT[needed.__name__]}: ask another run, or take format=safetensors")
    if kind == "onnx":
        inputs = model.example_inputs()
        to_onnx(model.generator_of(config["weights"]), tuple(inputs.values()), out, list(inputs), provenance)
    elif picture == "film":
        write_film(model, config, modality, out, drawn)
    elif picture:
        rows = {"interpolate": interpolations, "reconstruct": reconstructions, "traverse": traversals}
        modality.strip(modality.finish(rows[picture](model, config, run)), out, drawn)
    else:
        seeds = range(config["seed"], config["seed"] + (config["n"] or SAMPLES))
        typed = prompts.typed(model, modality, config)
        modality, drawn = typed.modality, drawn | typed.record
        cond, shown = conditions(model, config, typed, run, len(seeds))
        settings = sampling_settings(config, model.sample)
        portions = draw(lambda *row: modality.finish(typed.sample(*row, **settings)), seeds, cond)
        portions = chain([next(portions)], portions)  # what cannot be drawn is refused before anything is deleted
        if kind == "files" and out.suffix.lower() in FILES:
            if out.suffix != modality.suffix:
                raise UserError(
                    f"out={out}: name a folder for the samples, or a {modality.suffix} file for one picture of them"
                )
            modality.preview(torch.cat(list(portions)), out, provenance=drawn, **shown)
        elif kind == "files":
            grid = out / f"grid{modality.suffix}"
            remove_marked(grid)
            portions, again = tee(portions)
            modality.save(portions, out, seeds, drawn, **shown)
            modality.preview(torch.cat(list(again)), grid, provenance=drawn, **shown)
        else:
            modality.save_archive(torch.cat(list(portions)), out, seeds, drawn)


def write_film(model: Any, config: dict[str, Any], modality: Any, out: Path, provenance: dict[str, Any]) -> None:
    """Write a film of how the seeds' samples come to be."""
    seeds = range(config["seed"], config["seed"] + (config["n"] or SAMPLES))
    cond = condition(model, config["class"], len(seeds))
    frames = model.unfold(seeds, FRAMES, cond, **sampling_settings(config, model.unfold))
    with tempfile.TemporaryDirectory() as folder:
        pictures = [Path(folder) / f"{number:03d}{modality.suffix}" for number in range(len(frames))]
        for frame, path in zip(frames, pictures, strict=True):
            modality.preview(modality.finish(frame), path)
        modality.film(pictures, out, provenance=provenance)


def interpolations(model: Any, config: dict[str, Any], run: RunFolder) -> Any:
    """Samples [n, steps, *shape] between random latents."""
    rows = config["n"] or STRIPS
    cond, settings = condition(model, config["class"], rows), sampling_settings(config, model.interpolate)
    return model.interpolate(rows, config["interpolate"], config["seed"], cond, **settings)


def reconstructions(model: Any, config: dict[str, Any], run: RunFolder) -> Any:
    """[2 n, columns, *shape]: rows of test images, each above the row of their reconstructions."""
    import torch

    rows, columns = config["n"] or STRIPS, config["reconstruct"]
    batch, settings = test_batch(model, config, run, rows * columns), sampling_settings(config, model.reconstruct)
    pairs = [x.cpu().unflatten(0, (rows, columns)) for x in (batch["x"], model.reconstruct(batch, **settings))]
    return torch.stack(pairs, dim=1).flatten(0, 1)


def traversals(model: Any, config: dict[str, Any], run: RunFolder) -> Any:
    """Samples [n or fewer, steps, *shape]: one latent coordinate in each row."""
    rows, steps = config["n"] or STRIPS, config["traverse"]
    cond, settings = condition(model, config["class"], 1), sampling_settings(config, model.traverse)
    return model.traverse(test_batch(model, config, run, ENCODED), rows, steps, config["seed"], cond, **settings)


def test_batch(model: Any, config: dict[str, Any], run: RunFolder, n: int) -> Any:
    """The n images of the run's test split from number `seed` on, in the model's format."""
    return batch_of(model, load_test_split(run, config["paths"]["data"], config["data"]["path"]), config["seed"], n)


def output_path(config: dict[str, Any], run: RunFolder, strip: str = ".png") -> Path:
    """The folder or file to write to; UserError for settings that the format does not support, or an unwritable place.

    strip: suffix of the file that shows rows of samples.
    """
    kind, picture = config["format"], picture_asked(config)
    if picture and kind != "files":
        raise UserError(f"{picture}= makes one picture, format={kind} has no place for it: leave one of them out")
    if picture and (text := [*prompts.given(config)]):
        raise UserError(f"{text[0]}= is for samples of text and {picture}= makes a picture: leave one of them out")
    if picture == "reconstruct" and config["class"] is not None:
        raise UserError("reconstruct= takes each image with its own class: leave class= out")
    meant = [key for key in ("n", *SAMPLING_KEYS) if config[key] is not None] + [*prompts.given(config)]
    if kind in NETWORK and meant:
        raise UserError(f"format={kind} exports the network and draws no samples: leave {meant[0]}= out")
    if kind == "npz" and config["script"]:
        raise UserError("script= is for what people read, and format=npz holds symbols: leave one of them out")
    if kind == "npz" and config["seed"] + (config["n"] or SAMPLES) > SEEDS:
        raise UserError(f"seed={config['seed']}: format=npz holds seeds of 64 bits, up to {SEEDS - 1}: choose a smaller one")
    asked = Path(config["out"] or "").suffix
    if picture:
        suffix = ".gif" if picture == "film" else strip
    else:
        suffix = f".{kind}" if kind != "files" else asked if asked.lower() in FILES else ""
    if config["out"]:
        out = Path(config["out"])
        out = out if out.suffix == suffix else out.with_name(out.name + suffix)
    else:
        name = "network" if kind in NETWORK else picture or "samples"
        name = f"{name}{settings_in_name(config, picture)}" + (f"-seed{config['seed']}" if kind not in NETWORK else "")
        out = run.path / "generated" / (name + suffix)
    if suffix and out.is_dir():
        raise UserError(f"out={out} is a folder: name another file with out=")
    check_writable(out if not suffix else out.parent, "out")
    return out


def settings_in_name(config: dict[str, Any], picture: str) -> str:
    """All settings that differ from the defaults in conf/generate.yaml, as part of a file's name: "8-n4-class3-weights=raw".

    So no other settings write to the same place. The value of the picture's own setting comes first, without its name.
    """
    defaults = read(CONF / "generate.yaml")
    changed = {key: config[key] for key in defaults if key in config and key not in NOT_NAMED and config[key] != defaults[key]}
    first = str(changed.pop(picture, ""))
    words = [f"{key}{'=' * (isinstance(value, str) and key != 'class')}{short(value)}" for key, value in changed.items()]
    return "".join([first, *(f"-{word}" for word in words)]).replace("/", "%2F")


def short(value: Any) -> str:
    """A value for a file's name; a long text, or one of several lines, is cut and gets a digest."""
    text = str(value)
    if len(text) <= LONGEST_WORD and text.isprintable():
        return text
    begin = "".join(character for character in text[: LONGEST_WORD // 2] if character.isprintable())
    return f"{begin}~{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def picture_asked(config: dict[str, Any]) -> str:
    """Which of PICTURES the config asks for, empty for none; UserError for two."""
    asked = [key for key in PICTURES if config[key]]
    if len(asked) > 1:
        raise UserError(f"{asked[0]}= and {asked[1]}= are two pictures: leave one of them out")
    return asked[0] if asked else ""


def draw(sample: Callable[[range, Any], Any], seeds: range, cond: Any) -> Iterator[Any]:
    """Yield the seeds' samples in order, at most PORTION at a time; progress goes to stderr.

    sample: finished samples of (seeds, their conditions).
    """
    line = Line(sys.stderr)
    for start in range(0, len(seeds), PORTION):
        rows = slice(start, start + PORTION)
        asked = None if cond is None else {name: part[rows] for name, part in cond.items()}
        yield sample(seeds[rows], asked)
        line.count(min(start + PORTION, len(seeds)), len(seeds), "samples")
    line.end()


def conditions(model: Any, config: dict[str, Any], typed: prompts.Typed, run: RunFolder, n: int) -> tuple[Any, dict[str, Any]]:
    """The conditions of n samples, None for the default ones; and the sources to show with them, by the name of the argument.

    Without source=, a model that reads a source gets those of test samples, from number `seed` on.
    """
    cond = condition(model, config["class"], n)
    if typed.source is not None:
        return prompts.source_condition(model, typed.modality, typed.source, n) | (cond or {}), {}
    if "source" not in model.conditions([0]):
        return cond, {}
    batch = test_batch(model, config, run, n)
    found = {name: batch[name] for name in model.conditions([0])} | (cond or {})
    return found, {"sources": found["source"]}


def main() -> None:
    """The console command aigc-generate."""
    command_line.run("generate", chat_or_generate, nullable=("n", "paths.data", "data.path"))


if __name__ == "__main__":
    main()
