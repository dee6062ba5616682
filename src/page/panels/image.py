"""Images: draw, of words too, move along directions, go from one latent to another, and restore what a person draws."""

import base64
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from src.evaluation.steering import REACH
from src.modalities.image import Image
from src.modalities.pictures import png
from src.modalities.sidecars import marks_of
from src.models.capabilities import Interpolates, Reconstructs, Samples
from src.page.panels.panel import (
    Control,
    Item,
    LoadedRun,
    Output,
    Tab,
    arguments,
    classes,
    count,
    drawn,
    let_through,
    sampling,
    seed,
    without_seed,
)
from src.runs.layouts import reads_layouts
from src.runs.picture_sources import reads_pictures
from src.runs.prompts import reads_captions
from src.runs.sampling import condition

STEPS = 16  # pictures between two latents
CLOSED = 5  # closed-form directions
PROMPT = "a red apple"  # those of its words that the training captions have are the first prompt
LAYOUT = "[{{name: {0}, box: [0.1, 0.15, 0.375, 0.375]}}, {{name: {1}, box: [0.55, 0.5, 0.375, 0.375]}}]"  # the first one
LONGEST = 1000  # characters of a prompt or a layout
COMMON = "red blue green yellow heart apple face cat sun disc"  # words for its hint, if they are known


def supports(run: LoadedRun) -> bool:
    return isinstance(run.modality, Image) and not reads_pictures(run.model)


def tabs(run: LoadedRun, most: int) -> dict[str, Tab]:
    model, found = run.model, {}
    channels, height, width = run.modality.spec.shape
    if isinstance(model, Samples):
        found["sample"] = Tab((*prompt(run), count(most), *classes(run), *sampling(run, model.sample), seed()), judged=True)
    if run.steering:
        names, number = tuple(run.steering.names(CLOSED)), Control("n", "range", min(4, most), low=1, high=most)
        sliders = Control("directions", "sliders", None, low=-REACH, high=REACH, step=0.25, choices=names, off=True)
        found["directions"] = Tab((*prompt(run), sliders, number, *classes(run), seed()))
    if isinstance(model, Interpolates) and most >= STEPS:
        pairs = Control("n", "range", min(4, most // STEPS), low=1, high=most // STEPS)
        between = (pairs, *classes(run, off=False), *sampling(run, model.interpolate), seed())
        found["morph"] = Tab(between, words=(f"interpolate={STEPS}",))
    if isinstance(model, Reconstructs) and channels == 1:
        paper = Control("drawing", "drawing", [0] * (height * width), shape=(height, width))
        found["reconstruct"] = Tab((paper, *classes(run)), words=None)
    return found


def prompt(run: LoadedRun) -> tuple[Control, ...]:
    """What the pictures show: in words of the training captions, or what lies where, if the model reads one of them."""
    if reads_layouts(run.model):
        names = run.model.spec.fields["layout"].names
        return (Control("layout", "text", LAYOUT.format(names[0], names[-1]), high=LONGEST, example=", ".join(names)),)
    if not reads_captions(run.model):
        return ()
    known = run.model.spec.fields["caption"].names
    own = [name for name in known if name.isalpha()][:1]
    first, some = ([word for word in words if word in known] or own for words in (PROMPT.split(), COMMON.split()))
    return (Control("prompt", "text", " ".join(first), high=LONGEST, named="caption", example=", ".join(some)),)


def draw(run: LoadedRun, tab: str, settings: dict[str, Any]) -> Output:
    marks = marks_of(run.provenance)
    if tab == "morph":
        frames = interpolation(run, settings)  # [n, STEPS, C, H, W]
        return Output("morph", [picture(x, marks) for x in frames.flatten(0, 1)], STEPS)
    if tab == "reconstruct":
        given_image, restored = reconstruction(run, settings)
        return Output("grid", [picture(given_image, {}, label="seen"), picture(restored, marks, label="restored")])
    images, seeds, _, left_out = let_through(run, samples, settings)
    how = without_seed(settings)
    return Output(
        "large" if tab == "directions" else "grid",
        [picture(x, {**marks, "seed": str(number)}, {"seed": number, **how}) for x, number in zip(images, seeds, strict=True)],
        left_out=left_out,
    )


def save(run: LoadedRun, tab: str, settings: dict[str, Any], folder: Path) -> None:
    provenance = drawn(run, {name: value for name, value in settings.items() if name != "drawing"})
    if tab == "morph":
        run.modality.strip(interpolation(run, settings), folder / "interpolation.png", provenance)
    elif tab == "reconstruct":
        run.modality.preview(torch.stack(reconstruction(run, settings)), folder / "reconstruction.png", provenance)
    else:
        images, seeds, provenance, _ = let_through(run, samples, settings)
        run.modality.save([images], folder, seeds, provenance)


def samples(run: LoadedRun, seeds: Sequence[int], settings: Mapping[str, Any]) -> Any:
    """uint8 [N, C, H, W]."""
    sample = run.model.sample
    if settings.get("directions") is not None:
        sample = partial(run.steering.sample, moves=settings["directions"])  # type: ignore[union-attr]
    return run.modality.finish(sample(seeds, **arguments(run, settings, len(seeds))))


def item(run: LoadedRun, sample: Any, settings: dict[str, Any] | None = None) -> Item:
    return picture(sample, {}, settings)


def interpolation(run: LoadedRun, settings: dict[str, Any]) -> Any:
    """uint8 [n, STEPS, C, H, W]."""
    rows = settings["n"]
    return run.modality.finish(run.model.interpolate(rows, STEPS, settings["seed"], **arguments(run, settings, rows)))


def reconstruction(run: LoadedRun, settings: dict[str, Any]) -> tuple[Any, Any]:
    """The drawing and what the model restores of it, uint8 [1, H, W]; without a class, the class that fits it best."""
    shape = run.model.spec.shape
    image = centred(torch.tensor(settings["drawing"], dtype=torch.uint8).view(shape))
    names = [settings["class"]] if settings.get("class") is not None else run.model.spec.classes
    batch = {"x": image[None]}
    if "y" in run.model.conditions([0]):
        batch = {"x": image.expand(len(names), *shape), "y": torch.cat([condition(run.model, name, 1)["y"] for name in names])}
    batch = run.model.spec.to_model(batch, run.model.dtype)
    restored = run.model.reconstruct(batch)
    best = (restored - batch["x"]).square().flatten(1).sum(1).argmin()
    return image, run.modality.finish(restored[best])


def centred(image: Any) -> Any:
    """An image [C, H, W] moved so that its centre of mass is in the middle, as it is in MNIST's images."""
    weight = image[0].double()
    if not weight.sum():
        return image
    for dim in (1, 2):
        size = image.shape[dim]
        along = weight.sum(2 - dim)  # of the rows, then of the columns
        centre = (along * torch.arange(size)).sum() / along.sum()
        image = image.roll(round(float((size - 1) / 2 - centre)), dims=dim)
    return image


def picture(x: Any, marks: Mapping[str, str], settings: dict[str, Any] | None = None, label: str = "") -> Item:
    """uint8 [C, H, W] as a PNG in a data: URL."""
    data = base64.b64encode(png(x.permute(1, 2, 0).numpy(), marks)).decode()
    return Item("image", f"data:image/png;base64,{data}", settings, label)
