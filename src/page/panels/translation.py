"""Pictures from pictures: translate, repair or restyle a picture of a person's, or one of the test data."""

import base64
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from src.config.errors import UserError
from src.modalities.image import Image
from src.modalities.sidecars import marks_of
from src.models.capabilities import ConditionsFromData, Samples
from src.page.panels.image import item, picture
from src.page.panels.panel import SEEDS, Control, LoadedRun, Output, Tab, arguments, classes, drawn, sampling, seed
from src.page.real import real_split
from src.runs import picture_sources
from src.runs.sampling import batch_of

__all__ = ["draw", "item", "samples", "save", "supports", "tabs"]
LARGEST = 900_000  # characters of a picture in base64
DIRECTIONS = "forward", "backward"


def supports(run: LoadedRun) -> bool:
    return isinstance(run.modality, Image) and isinstance(run.model, Samples) and picture_sources.reads_pictures(run.model)


def tabs(run: LoadedRun, most: int) -> dict[str, Tab]:
    model, found = run.model, {}
    controls = [Control("picture", "picture", None, high=LARGEST, off=True), Control("test_picture", "number", 0, high=SEEDS)]
    if "direction" in inspect.signature(model.sample).parameters:
        controls.append(Control("direction", "choice", DIRECTIONS[0], choices=DIRECTIONS))
    random = getattr(model, "z_dim", 0) or isinstance(model, ConditionsFromData)  # a latent, or holes
    how = (*classes(run), *sampling(run, model.sample), *((seed(),) if random else ()))
    found["translate"] = Tab((*controls, *how), words=None)
    return found


def draw(run: LoadedRun, tab: str, settings: dict[str, Any]) -> Output:
    sources, made = translated(run, settings)
    marks = marks_of(run.provenance)
    return Output("grid", [picture(sources[0], {}, label="source"), picture(made[0], marks, label="translated")])


def save(run: LoadedRun, tab: str, settings: dict[str, Any], folder: Path) -> None:
    sources, made = translated(run, settings)
    own = settings["picture"] is not None
    kept = {name: value for name, value in settings.items() if name != ("test_picture" if own else "picture")}
    provenance = drawn(run, {**kept, "picture": "of the person's own"} if own else kept)
    run.modality.save([made], folder, [settings.get("seed", 0)], provenance, sources=sources)


def samples(run: LoadedRun, seeds: Sequence[int], settings: Mapping[str, Any]) -> Any:
    """uint8 [N, C, H, W], of successive test pictures."""
    return translated(run, settings, seeds)[1]


def translated(run: LoadedRun, settings: Mapping[str, Any], seeds: Sequence[int] | None = None) -> tuple[Any, Any]:
    """(sources, what the model makes of them), both uint8 [N, C, H, W], N = 1 without seeds."""
    model, config = run.model, {"mask": None, "side": None, "direction": settings.get("direction")}
    seeds = [settings.get("seed", 0)] if seeds is None else seeds
    if settings.get("picture") is not None:
        found = picture_sources.one_of(uploaded(settings["picture"]), "your picture", model, config)
        batch = {picture_sources.field_of(model, config): found[None]}
    else:
        batch = batch_of(model, real_split(run.folder.path, run.data), settings.get("test_picture", 0), len(seeds))
    how = arguments(run, settings, len(seeds))
    cond = picture_sources.conditions(model, config, batch, seeds) | how.pop("cond", {})
    return run.modality.finish(cond["source"]), run.modality.finish(model.sample(seeds, cond, **how))


def uploaded(url: str) -> bytes:
    """The bytes of a data: URL in base64."""
    try:
        return base64.b64decode(url.partition(";base64,")[2], validate=True)
    except ValueError as error:
        raise UserError("your picture has not arrived: choose it again") from error
