"""Train the small classifier in whose features digits are measured, so that anyone can make its weights again."""

import hashlib
import logging
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy

from src import rng
from src.data.dataset import Dataset
from src.networks.classifier import Classifier

log = logging.getLogger(__name__)


def train_extractor(
    dataset: Dataset,
    seed: int = 0,
    epochs: int = 8,
    batch_size: int = 128,
    learning_rate: float = 2e-3,
    shift: int = 2,
) -> tuple[Classifier, float]:
    """A classifier trained on the train split, in evaluation mode, and its accuracy on the test split.

    Adam with cosine decay to zero; every image is moved by up to `shift` pixels each way. On the same kind of machine,
    with the same number of threads, the weights are bitwise the same.
    """
    train = dataset.split("train")
    assert train.y is not None, f"{dataset.name} has no labels to train a classifier on"
    x, y = torch.from_numpy(train.x.copy()), torch.from_numpy(train.y.copy())

    steps_per_epoch = len(x) // batch_size
    with torch.random.fork_rng(devices=[]):
        rng.seed_layers(seed, 0)
        model = Classifier(classes=len(dataset.spec.classes)).to(memory_format=torch.channels_last)  # twice as fast
        optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * steps_per_epoch)
        for epoch in range(epochs):
            order = torch.randperm(len(x), generator=rng.generator(seed, "order", epoch))
            for index in range(steps_per_epoch):
                step = epoch * steps_per_epoch + index
                rows = order[index * batch_size : (index + 1) * batch_size]
                images = shifted(scaled(x[rows]), shift, rng.generator(seed, "augmentation", step))
                rng.seed_layers(seed, step)
                _, logits = model(images)
                loss = F.cross_entropy(logits, y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            log.info("epoch %d/%d: loss of the last batch %.4f", epoch + 1, epochs, loss.item())
    return model.eval(), measure_accuracy(model, dataset)


def scaled(x: Tensor) -> Tensor:
    """uint8 0..255 -> float in [-1, 1]."""
    return x.float() / 127.5 - 1


def shifted(x: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Images [B, C, H, W] in [-1, 1], each moved by up to `most` pixels along both axes, black coming in."""
    count, _, height, width = x.shape
    padded = F.pad(x, [most] * 4, value=-1.0)
    top, left = torch.randint(0, 2 * most + 1, (2, count), generator=generator)
    rows = (top[:, None] + torch.arange(height))[:, None, :, None]  # [B, 1, H, 1]
    columns = (left[:, None] + torch.arange(width))[:, None, None, :]  # [B, 1, 1, W]
    return padded[torch.arange(count)[:, None, None, None], torch.arange(x.shape[1])[:, None, None], rows, columns]


@torch.no_grad()
def measure_accuracy(model: Classifier, dataset: Dataset) -> float:
    """Share of the test split that the classifier, in evaluation mode, labels rightly: 0 to 1."""
    test = dataset.split("test")
    assert test.y is not None, f"{dataset.name} has no labels to compare with"
    y = torch.from_numpy(test.y.copy())
    accuracy = MulticlassAccuracy(len(dataset.spec.classes), average="micro")
    for start in range(0, len(test.x), 1000):
        images = torch.from_numpy(test.x[start : start + 1000].copy())
        accuracy.update(model(scaled(images))[1], y[start : start + 1000])
    return float(accuracy.compute())


def save(model: Classifier, path: Path) -> str:
    """Write the weights (safetensors, float32) and give their SHA-256; the bytes depend on the weights alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = safetensors.torch.save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()
