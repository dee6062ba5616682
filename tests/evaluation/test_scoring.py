from pathlib import Path
from types import SimpleNamespace

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from src.evaluation.scoring import BATCH, logits, sampler
from src.models.latent import SAMPLE_BATCH
from src.runs.folder import load_run


class Discriminator:
    """Answers with the mean of the image, plus the label where it is given one."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, x: Tensor, y: Tensor | None) -> Tensor:
        self.batches.append(len(x))
        return x.flatten(1).mean(dim=1) + (0 if y is None else y)


def test_logits_of_bytes_and_of_points_with_and_without_labels() -> None:
    model = SimpleNamespace(discriminator=Discriminator())
    images = torch.arange(256, dtype=torch.uint8).repeat(3)[: BATCH + 100].view(-1, 1, 1, 1)
    plain = images.flatten().float() / 127.5 - 1
    labels = torch.arange(len(images)) % 10
    assert torch.allclose(logits(model, images), plain, atol=1e-6)
    assert torch.allclose(logits(model, images, labels), plain + labels, atol=1e-6)
    assert model.discriminator.batches == [BATCH, 100] * 2
    points = torch.tensor([[0.5, -0.25], [3.0, 1.0]])
    assert logits(model, points).tolist() == [0.125, 2.0]


def three(rank: int, folder: str, run: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=3)
    model = load_run(run)
    made = []
    draw = model.sample
    model.sample = lambda seeds, **words: made.extend(seeds) or draw(seeds, **words)
    samples = sampler(model, seed=7)(10_001)
    torch.save({"made": made, "samples": samples}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_three_processes_share_10001_samples(tiny_run: Path, tmp_path: Path) -> None:
    """Each sample is made once, and is the one that a single process makes, to the last bit."""
    mp.spawn(three, (str(tmp_path), str(tiny_run)), nprocs=3)
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(3)]
    assert [seed for part in parts for seed in part["made"]] == list(range(7, 10_008))
    assert max(len(part["made"]) for part in parts) - min(len(part["made"]) for part in parts) <= SAMPLE_BATCH
    alone = sampler(load_run(tiny_run), seed=7)(10_001)
    assert all(torch.equal(part["samples"], alone) for part in parts)
