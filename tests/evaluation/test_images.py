"""The suite for images: which samples it takes, who draws them, and what the discriminator says of them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from src.config.errors import Diverged, UserError
from src.data.digits import Digits
from src.data.spec import Batch, Spec
from src.evaluation.images import BATCH, ImageSuite, logits, sampler
from src.evaluation.suite import Main
from src.models.latent import SAMPLE_BATCH
from src.runs.load import load_run


@pytest.mark.parametrize(
    ("settings", "kind", "shape", "message"),
    [
        ({"extractor": "points"}, "image", (1, 8, 8), r"points cannot measure samples of shape \[1, 8, 8\]"),
        ({"extractor": "digits"}, "points", (2,), r"digits cannot measure samples of shape \[2\]"),
        ({"extractor": "stacked_digits"}, "image", (1, 28, 28), "pick another extractor"),
        ({"extractor": "digits"}, "tokens", (16,), "measures images and points, not tokens: take another evaluation="),
        ({"extractor": None}, "image", (1, 8, 8), "evaluation.extractor=null cannot measure"),
        ({"weights": "nope"}, "image", (1, 8, 8), "evaluation.weights=nope is no file"),
        ({"weights": "."}, "image", (1, 8, 8), "evaluation.weights=. is no file"),
    ],
)
def test_data_that_cannot_be_measured_so(settings: Any, kind: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ImageSuite(**settings).check(Spec.of(kind, shape))


@pytest.mark.parametrize(
    ("extractor", "kind", "shape"),
    [
        ("points", "points", (2,)),
        ("digits", "image", (1, 8, 8)),
        ("digits", "image", (3, 8, 8)),
        ("stacked_digits", "image", (3, 28, 28)),
    ],
)
def test_data_that_can_be_measured(extractor: str, kind: str, shape: tuple[int, ...]) -> None:
    ImageSuite(extractor).check(Spec.of(kind, shape))


def test_it_goes_by_the_frechet_distance() -> None:
    assert ImageSuite("digits").main == Main("fd_digits", "lower")


class Discriminating(SimpleNamespace):
    """Answers with the mean of the sample, plus the label where it is given one."""

    device = torch.device("cpu")

    def discriminate(self, batch: Batch) -> Tensor:
        self.batches.append(len(batch["x"]))
        return batch["x"].flatten(1).mean(dim=1) + batch.get("y", 0)


def test_logits_of_bytes_and_of_points_with_and_without_labels() -> None:
    model = Discriminating(spec=Spec.of("image", (1, 1, 1)), batches=[])
    images = torch.arange(256, dtype=torch.uint8).repeat(3)[: BATCH + 100].view(-1, 1, 1, 1)
    plain = images.flatten().float() / 127.5 - 1
    labels = torch.arange(len(images)) % 10
    assert torch.allclose(logits(model, {"x": images}), plain, atol=1e-6)
    assert torch.allclose(logits(model, {"x": images, "y": labels}), plain + labels, atol=1e-6)
    assert model.batches == [BATCH, 100] * 2
    points = Discriminating(spec=Spec.of("points", (2,)), batches=[])
    assert logits(points, {"x": torch.tensor([[0.5, -0.25], [3.0, 1.0]])}).tolist() == [0.125, 2.0]


def test_samples_that_are_no_numbers() -> None:
    model = SimpleNamespace(sample=lambda seeds, weights: torch.full((len(seeds), 1, 8, 8), float("nan")))
    with pytest.raises(Diverged, match="the samples contain NaN"):
        sampler(model, Digits().spec, seed=0)(10)


def three(rank: int, folder: str, run: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=3)
    model = load_run(run)
    made = []
    draw = model.sample
    model.sample = lambda seeds, **words: made.extend(seeds) or draw(seeds, **words)
    samples = sampler(model, model.spec, seed=7)(10_001)
    torch.save({"made": made, "samples": samples}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_three_processes_share_10001_samples(tiny_run: Path, tmp_path: Path) -> None:
    """Each sample is made once, and is the one that a single process makes, to the last bit."""
    mp.start_processes(three, (str(tmp_path), str(tiny_run)), nprocs=3, start_method="fork")
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(3)]
    assert [seed for part in parts for seed in part["made"]] == list(range(7, 10_008))
    assert max(len(part["made"]) for part in parts) - min(len(part["made"]) for part in parts) <= SAMPLE_BATCH
    model = load_run(tiny_run)
    alone = sampler(model, model.spec, seed=7)(10_001)
    assert all(torch.equal(part["samples"], alone) for part in parts)
