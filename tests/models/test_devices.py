"""Everything that reaches a network is on the model's device; `meta` stands for one that is not the CPU."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from clips import words_of_clips
from torch import Tensor
from torch.nn.modules.module import register_module_forward_pre_hook

from pictures import PICTURES, words_of_pictures
from src.config.experiment import Experiment
from src.data.dataset import read_all
from src.evaluation.images import ImageSuite, logits
from src.evaluation.representation import RepresentationSuite
from src.evaluation.retrieval import RetrievalSuite
from tunes import words_of_walks

README = Path(__file__).parents[2] / "README.md"
META = torch.device("meta")


class Seen(Exception):
    """A module was called."""


def devices(call: Callable[[], object]) -> set[torch.device]:
    """Those of the tensors that a call gives to the first module that it comes to."""
    found: set[torch.device] = set()

    def note(module: Any, args: tuple) -> None:
        parts = [part for arg in args for part in (arg.values() if isinstance(arg, dict) else [arg])]
        found.update(part.device for part in parts if isinstance(part, Tensor))
        raise Seen

    handle = register_module_forward_pre_hook(note)
    with pytest.raises(Seen):
        call()
    handle.remove()
    return found


@pytest.fixture(
    params=[
        "mlp_gan",
        "cdcgan",
        "stylegan2",
        "vae",
        "flow",
        "diffusion",
        "autoregressive",
        "text_vae",
        "text_gan",
        "contrastive",
        "music_gpt",
        "music_vae",
        "music_gan",
        "pix2pix",
        "cyclegan",
        "inpainting",
        "style",
        "clip",
        "text_to_image",
        "text_to_image_gan",
        "layout_to_image",
        "video_gan",
    ]
)
def experiment(request: Any, compose: Any) -> Experiment:
    texts = request.param in ("autoregressive", "text_vae", "text_gan")
    data = ["data=text", f"data.path={README}"] if texts else ["data=digits"]
    data = words_of_walks(request.param) if request.param.startswith("music_") else data
    data = words_of_pictures(request.param) if request.param in PICTURES else data
    data = words_of_clips(suite=False) if request.param == "video_gan" else data
    return Experiment(compose(f"model={request.param}", *data, "debug=tiny"))


def test_samples_measures_and_losses(experiment: Experiment) -> None:
    dataset = experiment.dataset
    dataset.prepare()
    model = experiment.model(dataset.spec).to(META).eval()
    rows = {name: torch.from_numpy(read_all(dataset.split("validation"), name)[:4].copy()) for name in dataset.spec.fields}
    calls: dict[str, Callable[[], object]] = {}
    if hasattr(model, "sample"):
        calls["sample"] = lambda: model.sample(range(4))
    if hasattr(model, "interpolate"):
        calls["interpolate"] = lambda: model.interpolate(2, 3, 0)
    if hasattr(model, "embed"):
        suite = RepresentationSuite(samples=4, training=4, validation_samples=4)
        calls["embed"] = lambda: suite.validate(model, dataset)
    if hasattr(model, "embed_field"):
        calls["embed_field"] = lambda: RetrievalSuite().validate(model, dataset)
    for name, call in calls.items():
        assert devices(call) == {META}, name
    if hasattr(model, "discriminate"):
        assert devices(lambda: logits(model, rows)) == {META}


def test_the_extractor_follows_the_model() -> None:
    suite = ImageSuite("digits")
    assert suite.place(SimpleNamespace(device=META)) == "meta"  # type: ignore[arg-type]
    module = suite.extractor._backbone.module
    assert {parameter.device for parameter in module.parameters()} == {META}
    images = torch.zeros(4, 1, 28, 28, dtype=torch.uint8)
    assert devices(lambda: suite.extractor(images)) == {META}
