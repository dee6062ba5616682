"""Video: draw clips, which move on the page."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from src.modalities.clips import gif
from src.modalities.sidecars import marks_of
from src.modalities.video import Video
from src.models.capabilities import Samples
from src.page.panels.panel import (
    Item,
    LoadedRun,
    Output,
    Tab,
    arguments,
    classes,
    count,
    drawn,
    given,
    sampling,
    seed,
)


def supports(run: LoadedRun) -> bool:
    return isinstance(run.modality, Video)


def tabs(run: LoadedRun, most: int) -> dict[str, Tab]:
    model = run.model
    if not isinstance(model, Samples):
        return {}
    return {"sample": Tab((count(most), *classes(run), *sampling(run, model.sample), seed()), judged=True)}


def draw(run: LoadedRun, tab: str, settings: dict[str, Any]) -> Output:
    seeds, marks = range(settings["seed"], settings["seed"] + settings["n"]), marks_of(run.provenance)
    how = {name: value for name, value in given(settings).items() if name not in ("n", "seed")}
    clips = samples(run, seeds, how)
    return Output(
        "grid",
        [
            moving(run, clip, {**marks, "seed": str(number)}, {"seed": number, **how})
            for clip, number in zip(clips, seeds, strict=True)
        ],
    )


def save(run: LoadedRun, tab: str, settings: dict[str, Any], folder: Path) -> None:
    seeds = range(settings["seed"], settings["seed"] + settings["n"])
    run.modality.save([samples(run, seeds, settings)], folder, seeds, drawn(run, settings))


def samples(run: LoadedRun, seeds: Sequence[int], settings: Mapping[str, Any]) -> Any:
    """uint8 [N, T, C, H, W]."""
    return run.modality.finish(run.model.sample(seeds, **arguments(run, settings, len(seeds))))


def item(run: LoadedRun, sample: Any, settings: dict[str, Any] | None = None) -> Item:
    return moving(run, sample, {}, settings)


def moving(run: LoadedRun, clip: Any, marks: Mapping[str, str], settings: dict[str, Any] | None = None) -> Item:
    """A clip uint8 [T, C, H, W] as a GIF in a data: URL."""
    data = gif(clip.permute(0, 2, 3, 1).numpy(), run.modality.rate, marks)
    return Item("image", f"data:image/gif;base64,{base64.b64encode(data).decode()}", settings)
