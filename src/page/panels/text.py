"""Text: continue what a person writes, and go from one latent to another."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from src.data.scripts import CONVERSIONS, HAN
from src.data.vocabulary import SPECIAL
from src.modalities.text import Text
from src.models.capabilities import Continues, Interpolates, Samples
from src.models.constraints import QUATRAINS, constraints_of
from src.page.panels.panel import (
    Control,
    Item,
    LoadedRun,
    Output,
    Tab,
    arguments,
    drawn,
    let_through,
    sampling,
    seed,
    shown,
    without_seed,
)
from src.reporting.verses import columns, is_verse

STEPS = 8  # texts between two latents


def supports(run: LoadedRun) -> bool:
    return isinstance(run.modality, Text)


def tabs(run: LoadedRun, most: int) -> dict[str, Tab]:
    model = run.model
    if not (isinstance(model, Continues) and isinstance(model, Samples)):
        return {}
    prompt = Control("prompt", "text", "", high=run.model.spec.shape[0] - 1)
    number = Control("n", "range", min(4, most), low=1, high=most)
    chinese = any(map(HAN.match, run.model.spec.x.names))
    script = [Control("script", "choice", None, choices=tuple(CONVERSIONS), off=True)] if chinese else []
    controls = (prompt, number, *script, *forms(run), *sampling(run, model.continue_from), seed())
    found = {}
    found["continue"] = Tab(controls, judged=True)
    if isinstance(model, Interpolates) and most >= STEPS:
        pairs = Control("n", "range", min(2, most // STEPS), low=1, high=most // STEPS)
        found["morph"] = Tab((pairs, *sampling(run, model.interpolate), seed()), words=(f"interpolate={STEPS}",))
    return found


def forms(run: LoadedRun) -> list[Control]:
    """The rules of verse that quatrains can be forced to keep."""
    spec, known = run.model.spec, inspect.signature(run.model.continue_from).parameters
    characters = all(len(name) == 1 or name in SPECIAL for name in spec.x.names)
    form = QUATRAINS.get(spec.shape[0])
    if not (form and characters and "constraints" in known and any(map(HAN.match, spec.x.names))):
        return []
    heads = Control("heads", "text", None, high=len(form.split(",")), off=True)
    return [heads, Control("rhyme", "choice", None, choices=("forced",), off=True)]


def constraints(run: LoadedRun, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The argument `constraints` of `continue_from`, if the settings ask for a form."""
    heads, rhyme = settings.get("heads"), settings.get("rhyme") is not None
    if not (heads or rhyme):
        return {}
    return {"constraints": constraints_of(run.model.spec, heads and run.modality.read(heads).text, rhyme=rhyme)}


def draw(run: LoadedRun, tab: str, settings: dict[str, Any]) -> Output:
    if tab == "morph":
        return Output("morph", [item(run, x) for x in interpolation(run, settings).flatten(0, 1)], STEPS)
    texts, seeds, _, left_out = let_through(run, samples, settings)
    how = without_seed(settings)
    items = [item(run, x, {"seed": number, **how}) for x, number in zip(texts, seeds, strict=True)]
    return Output("grid", items, left_out=left_out)


def save(run: LoadedRun, tab: str, settings: dict[str, Any], folder: Path) -> None:
    if tab == "morph":
        run.modality.strip(interpolation(run, settings), folder / "interpolation.txt", drawn(run, settings))
        return
    texts, seeds, provenance, _ = let_through(run, samples, settings)
    read = run.modality.read(settings["prompt"]).text
    provenance |= {"prompt_read_as": read} if read != settings["prompt"] else {}
    if forced := constraints(run, settings).get("constraints"):
        provenance["forced"] = [rule.name for rule in forced]
    shown(run, settings).save([texts], folder, seeds, provenance)


def samples(run: LoadedRun, seeds: Sequence[int], settings: Mapping[str, Any]) -> Any:
    """int64 [N, T], which begin with the prompt; a prompt in the other Chinese script is converted."""
    prompt = run.modality.encode(run.modality.read(settings.get("prompt", "")).text, "prompt")
    how = arguments(run, settings, len(seeds)) | constraints(run, settings)
    return run.modality.finish(run.model.continue_from(prompt, seeds, **how))


def interpolation(run: LoadedRun, settings: dict[str, Any]) -> Any:
    """int64 [n, STEPS, T]."""
    rows = settings["n"]
    return run.modality.finish(run.model.interpolate(rows, STEPS, settings["seed"], **arguments(run, settings, rows)))


def item(run: LoadedRun, sample: Any, settings: dict[str, Any] | None = None) -> Item:
    text = shown(run, settings or {}).text(sample)
    return Item("verse", "\n".join(columns(text)), settings) if is_verse(text) else Item("text", text, settings)
