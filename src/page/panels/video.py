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
    let_through,
    sampling,
    seed,
    without_seed,
)


def supports(run: LoadedRun) -> bool:
    return isinstance(run.modality, Video)


def tabs(run: LoadedRun, most: int) -> dict[str, Tab]:
    model = run.model
    if not isinstance(model, Samples):
        return {}
    return {"sample": Tab((count(most), *classes(run), *sampling(run, model.sample), seed()), judged=True)}


def draw(run: LoadedRun, tab: str, settings: dict[str, Any]) -> Output:
    clips, seeds, _, left_out = let_through(run, samples, settings)
    marks, how = marks_of(run.provenance), without_seed(settings)
    return Output(
        "grid",
        [
            moving(run, clip, {**marks, "seed": str(number)}, {"seed": number, **how})
            for clip, number in zip(clips, seeds, strict=True)
        ],
        left_out=left_out,
    )


def save(run: LoadedRun, tab: str, settings: dict[str, Any], folder: Path) -> None:
    clips, seeds, provenance, _ = let_through(run, samples, settings)
    run.modality.save([clips], folder, seeds, provenance)


def samples(run: LoadedRun, seeds: Sequence[int], settings: Mapping[str, Any]) -> Any:
    """uint8 [N, T, C, H, W]."""
    return run.modality.finish(run.model.sample(seeds, **arguments(run, settings, len(seeds))))


def item(run: LoadedRun, sample: Any, settings: dict[str, Any] | None = None) -> Item:
    return moving(run, sample, {}, settings)


def moving(run: LoadedRun, clip: Any, marks: Mapping[str, str], settings: dict[str, Any] | None = None) -> Item:
    """A clip uint8 [T, C, H, W] as a GIF in a data: URL."""
    data = gif(clip.permute(0, 2, 3, 1).numpy(), run.modality.rate, marks)
    return Item("image", f"data:image/gif;base64,{base64.b64encode(data).decode()}", settings)
