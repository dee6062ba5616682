"""python -m src.generate run=PATH [n=64 class=3 interpolate=8 format=files|npz|safetensors|onnx]: run folder to samples.

attributes= chooses classes by words in their names; directions={sefa-1: 2} moves latents.
Of text: prompt=, source=, heads=, form=, rhyme=true, script=; chat=true answers lines on stdin. Of music: tempo=, key=, bars=,
lyrics=, attribute=, strength=, and MIDI files for prompt=, melody=, from=, to=. Of pictures made from others: source=, a file
or a folder, mask=, direction=. Of pictures from captions: prompt=; from layouts: layout=.
filter.words= and filter.clip= leave samples out.
reconstruct=, traverse=, attribute= and samples of a model that reads a source, a caption or a layout, where none is given, also
read the run's data.
"""

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, tee
from pathlib import Path
from typing import Any

from src.config import command_line
from src.config.errors import UserError
from src.config.experiment import Experiment
from src.runs import filters, layouts, picture_sources, prompts, tunes
from src.runs.folder import RunFolder
from src.runs.outputs import FILES, PICTURES, SAMPLES, SAMPLING_KEYS, output_path, picture_asked
from src.runs.sampling import batch_of, condition_asked, load_split, provenance_of, sampling_settings
from src.system.files import NO_ROOM
from src.system.progress import Line

# Capability -> what a model without it cannot do.
CANNOT = {
    "Samples": "draws no samples",
    "Interpolates": "has no latents to go between",
    "Reconstructs": "has no encoder, so that it cannot reconstruct data",
    "Traverses": "has no encoder, which says what its latent coordinates do",
    "Unfolds": "has no way to its samples to film",
    "Exports": "cannot be exported",
}
STRIPS = 8  # default n of rows of pictures
ENCODED = 1000  # images that tell how active latent coordinates are
FRAMES = 40  # of a film
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
    existed = bool(config["out"]) and Path(config["out"]).is_dir()
    out = output_path(config, run, experiment.modality_suffix if picture_asked(config) else "")
    try:
        write(config, run, experiment, checkpoint.name, out)
    except UserError:
        if out.is_dir() and not existed:
            with contextlib.suppress(OSError):  # it is not empty
                out.rmdir()
        raise
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise UserError(f"no room left to write {out} ({error.strerror}): make some, or choose another with out=") from error
    print(out)
    return out


def write(config: dict[str, Any], run: RunFolder, experiment: Experiment, checkpoint: str, out: Path) -> None:
    """Draw samples or export the network, and write the result to the folder or file `out`."""
    judges = filters.asked(config)
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
    elif picture and config["from"]:
        samples, modality = tunes.between(model, modality, config)
        modality.strip(samples, out, drawn | tunes.given(config))
    elif picture:
        rows = {"interpolate": interpolations, "reconstruct": reconstructions, "traverse": traversals}
        modality, drawn = tunes.shown(modality, config), drawn | tunes.given(config)
        modality.strip(modality.finish(rows[picture](model, config, run)), out, drawn)
    else:
        single = out.suffix != modality.suffix and out.suffix in getattr(modality, "formats", ())  # one file of one sample
        files = picture_sources.asked(model, config)
        layouts.check(model, config)
        usual = len(files) or (1 if single or config["from"] else getattr(modality, "usual", SAMPLES))
        seeds = range(config["seed"], config["seed"] + (config["n"] or usual))
        if single and len(seeds) > 1:
            raise UserError(f"out={out} holds one sample: leave n= out, or name a folder")
        training = partial(load_split, run, config["paths"]["data"], config["data"]["path"], "train")
        typed = tunes.typed(model, modality, config, training)
        modality, drawn = typed.modality, drawn | typed.record
        drawn |= picture_sources.given(config) | picture_sources.names(files, config)
        cond, shown = conditions(model, config, typed, run, seeds, files)
        drawn |= {} if config["prompt"] is not None else prompts.captions_record(model, cond)
        drawn |= layouts.record(model, config, cond)
        settings = sampling_settings(config, model.sample)
        if config["directions"] is not None:
            typed, settings = typed._replace(sample=steered(model, config, run, provenance["model"])), {}
        for judge in judges:
            judge.prepare(modality)
        portions: Iterator[Any] = draw(lambda *row: modality.finish(typed.sample(*row, **settings)), seeds, cond)
        portions = chain([next(portions)], portions)  # what cannot be drawn is refused before anything is deleted
        written: Sequence[int] = seeds
        if judges:
            samples = torch.cat(list(portions))
            kept, drawn["filter"] = filters.keep(judges, samples, seeds, modality)
            shown = {name: None if part is None else part[kept] for name, part in shown.items()}
            portions, written = iter([samples[kept]]), [seeds[place] for place in kept]
        if single:
            modality.save_one(next(portions)[0], out, written[0], drawn, **shown)
        elif kind == "files" and out.suffix.lower() in FILES:
            if out.suffix != modality.suffix:
                one = "".join(f", or a {suffix} file for a single one" for suffix in getattr(modality, "formats", ()))
                raise UserError(
                    f"out={out}: name a folder for the samples, or a {modality.suffix} file for one picture of them{one}"
                )
            modality.preview(torch.cat(list(portions)), out, provenance=drawn, **shown)
        elif kind == "files":
            grid = out / f"grid{modality.suffix}"
            remove_marked(grid)
            portions, again = tee(portions)
            modality.save(portions, out, written, drawn, **shown)
            modality.preview(torch.cat(list(again)), grid, provenance=drawn, **shown)
        else:
            modality.save_archive(torch.cat(list(portions)), out, written, drawn)


def steered(model: Any, config: dict[str, Any], run: RunFolder, network: str) -> Callable[..., Any]:
    """The function (seeds, cond) -> samples that directions= asks for. network: the hash of the weights."""
    from src.evaluation.steering import Steering, recorded, steerable

    if refused := steerable(model):
        raise UserError(f"directions=: this model {refused}")
    steering = Steering(model, config["weights"], recorded(run.directions, network))
    return partial(steering.sample, moves=config["directions"])


def write_film(model: Any, config: dict[str, Any], modality: Any, out: Path, provenance: dict[str, Any]) -> None:
    """Write a film of how the seeds' samples come to be."""
    seeds = range(config["seed"], config["seed"] + (config["n"] or SAMPLES))
    cond = condition_asked(model, config, seeds)
    frames = model.unfold(seeds, FRAMES, cond, **sampling_settings(config, model.unfold))
    with tempfile.TemporaryDirectory() as folder:
        pictures = [Path(folder) / f"{number:03d}{modality.suffix}" for number in range(len(frames))]
        for frame, path in zip(frames, pictures, strict=True):
            modality.preview(modality.finish(frame), path)
        modality.film(pictures, out, provenance=provenance)


def interpolations(model: Any, config: dict[str, Any], run: RunFolder) -> Any:
    """Samples [n, steps, *shape] between random latents."""
    rows = config["n"] or STRIPS
    cond, settings = condition_asked(model, config, range(rows)), sampling_settings(config, model.interpolate)
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
    cond, settings = condition_asked(model, config, [config["seed"]]), sampling_settings(config, model.traverse)
    return model.traverse(test_batch(model, config, run, ENCODED), rows, steps, config["seed"], cond, **settings)


def test_batch(model: Any, config: dict[str, Any], run: RunFolder, n: int) -> Any:
    """The n images of the run's test split from number `seed` on, in the model's format."""
    return batch_of(model, load_split(run, config["paths"]["data"], config["data"]["path"]), config["seed"], n)


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


def conditions(
    model: Any, config: dict[str, Any], typed: prompts.Typed, run: RunFolder, seeds: range, files: Sequence[Path] = ()
) -> tuple[Any, dict[str, Any]]:
    """The conditions of samples, None for the default ones; and what to show them with, by the name of the argument.

    That is their sources, or of music their classes, which say the metre. Without source=, a model that reads a source gets
    those of test samples, from number `seed` on. files: pictures that source= names.
    """
    from src.modalities.modality import Plays

    n = len(seeds)
    cond = condition_asked(model, config, seeds)
    if isinstance(typed.modality, Plays):
        return cond, {"classes": (cond or model.conditions(seeds)).get("y")}
    if picture_sources.reads_pictures(model):
        batch = picture_sources.read(files, model, config) if files else test_batch(model, config, run, n)
        found = picture_sources.conditions(model, config, batch, seeds)
        return found | (cond or {}), {"sources": found["source"]}
    if typed.caption is not None:
        return {"caption": typed.caption.expand(n, -1)}, {}
    if prompts.reads_captions(model):
        return {"caption": test_batch(model, config, run, n)["caption"]} | (cond or {}), {}
    if layouts.reads_layouts(model):
        tested = partial(test_batch, model, config, run, n)
        return layouts.conditions(model, config, tested, n) | (cond or {}), {}
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
