"""Music: compose tunes, hear and read them, and go from one latent to another."""

import base64
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from src.data.music.notes import bar_steps
from src.data.vocabulary import END
from src.modalities.modality import Plays
from src.modalities.music.music import Music
from src.modalities.sidecars import marks_of
from src.models.capabilities import Interpolates, Samples
from src.page.panels.panel import (
    Control,
    Item,
    LoadedRun,
    Output,
    Tab,
    arguments,
    classes,
    drawn,
    let_through,
    sampling,
    seed,
    shown,
    without_seed,
)
from src.runs import tunes

STEPS = 8  # tunes between two latents
MOST = 8  # tunes at once: each is a megabyte of sound or more
SLOWEST, FASTEST = 40, 240  # quarter notes per minute
KEYS = "C", "G", "D", "A", "E", "F", "Bb", "Eb", "Am", "Em", "Bm", "Dm", "Gm", "Cm"
FILES = {"sound": ".wav", "roll": ".png", "score": ".svg", "midi": ".mid"}  # of a tune on the page
TYPES = {".wav": "audio/wav", ".png": "image/png", ".svg": "image/svg+xml", ".mid": "audio/midi"}


def supports(run: LoadedRun) -> bool:
    return isinstance(run.modality, Plays)


def tabs(run: LoadedRun, most: int) -> dict[str, Tab]:
    model, found = run.model, {}
    if not isinstance(model, Samples):
        return {}
    tempo = Control("tempo", "range", round(run.modality.tempo), low=SLOWEST, high=FASTEST, step=1)
    key = Control("key", "choice", None, choices=KEYS, off=True)
    number = Control("n", "range", min(2, most), low=1, high=min(MOST, most))
    how = (*classes(run, off=False), *bars(run), tempo, key)
    found["compose"] = Tab((number, *how, *sampling(run, model.sample), seed()), judged=True)
    if isinstance(model, Interpolates) and most >= STEPS:
        between = (*classes(run, off=False), tempo, *sampling(run, model.interpolate), seed())
        found["morph"] = Tab(between, words=("n=1", f"interpolate={STEPS}"))
    return found


def bars(run: LoadedRun) -> list[Control]:
    """The choice of a length, if the model's tunes can be made to have it."""
    music: Music = run.modality
    forced = "constraints" in inspect.signature(run.model.sample).parameters
    if END in music.symbols.names and not forced:
        return []
    bar = min(bar_steps(music.metre_of(number)) for number in (None, *range(len(music.spec.classes))))
    most = (music.steps - (END in music.symbols.names)) // bar
    return [Control("bars", "range", None, low=1, high=most, off=True)]


def draw(run: LoadedRun, tab: str, settings: dict[str, Any]) -> Output:
    marks = marks_of(run.provenance)
    if tab == "morph":
        rows = interpolation(run, settings)
        return Output("morph", [tune(run, x, settings, marks) for x in rows.flatten(0, 1)], STEPS)
    symbols, seeds, _, left_out = let_through(run, samples, settings)
    found, how = [], without_seed(settings)
    for x, number in zip(symbols, seeds, strict=True):
        own = {"seed": number, **how}
        found.append(tune(run, x, own, {**marks, "seed": str(number)}, own))
    return Output("grid", found, left_out=left_out)


def save(run: LoadedRun, tab: str, settings: dict[str, Any], folder: Path) -> None:
    modality = shown(run, settings)
    if tab == "morph":
        modality.strip(interpolation(run, settings), folder / "interpolation.png", drawn(run, settings))
        return
    symbols, seeds, provenance, _ = let_through(run, samples, settings)
    modality.save([symbols], folder, seeds, provenance)


def samples(run: LoadedRun, seeds: Sequence[int], settings: Mapping[str, Any]) -> Any:
    """Symbols int64 [N, T, V]."""
    asked = {"class": settings.get("class"), "bars": settings.get("bars")}
    sample = tunes.typed(run.model, run.modality, asked).sample
    how = arguments(run, settings, len(seeds))
    return run.modality.finish(sample(seeds, how.pop("cond", None), **how))


def interpolation(run: LoadedRun, settings: Mapping[str, Any]) -> Any:
    """Symbols int64 [1, STEPS, T, V]."""
    return run.modality.finish(run.model.interpolate(1, STEPS, settings["seed"], **arguments(run, settings, 1)))


def item(run: LoadedRun, sample: Any, settings: dict[str, Any] | None = None) -> Item:
    if sample.dtype == torch.uint8:  # a real piano roll
        sample = run.modality.finish(sample)
    return tune(run, sample, settings or {}, {}, settings)


def tune(
    run: LoadedRun,
    x: Any,
    shown_as: Mapping[str, Any],
    marks: Mapping[str, str],
    settings: dict[str, Any] | None = None,
) -> Item:
    """Symbols [T, V] as JSON: data: URLs by the names of FILES, the name of the MIDI file, the key and metre."""
    modality = shown(run, shown_as)
    (found,) = modality.tunes(x[None])
    parts = {name: address(modality.encode(found, suffix, marks), suffix) for name, suffix in FILES.items()}
    number = "" if settings is None else f"-{settings['seed']}"
    return Item("music", json.dumps({**parts, "file": f"tune{number}.mid", "title": found.title}), settings)


def address(data: bytes, suffix: str) -> str:
    return f"data:{TYPES[suffix]};base64,{base64.b64encode(data).decode()}"
