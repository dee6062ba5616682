"""Train the classifiers whose features the distance metrics use; the command is src/tools/extractor.py."""

import hashlib
from pathlib import Path

import safetensors.torch
import torch
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy

from src.config.errors import UserError
from src.data.dataset import Dataset, read_all
from src.data.pixels import from_uint8
from src.models.augment import Translate
from src.networks.classifier import Classifier
from src.system.files import write_atomic
from src.training import rng


def train_extractor(
    dataset: Dataset,
    seed: int = 0,
    epochs: int = 8,
    batch_size: int = 128,
    learning_rate: float = 2e-3,
    shift: int = 2,
) -> tuple[Classifier, float]:
    """(classifier in evaluation mode, trained on the train split; its accuracy on the test split, 0 to 1).

    Adam with cosine decay to zero; every image is shifted by up to `shift` pixels in each direction. The same kind of machine
    with the same number of threads gives bitwise equal weights. UserError for fewer training images than a batch.
    """
    train = dataset.split("train")
    x, y = (torch.from_numpy(read_all(train, name).copy()) for name in ("x", "y"))
    if len(x) < batch_size:
        raise UserError(f"data={dataset.name}: {len(x)} training images are fewer than a batch of {batch_size}: add images")

    steps_per_epoch, augment = len(x) // batch_size, Translate(shift)
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
                images = augment(from_uint8(x[rows]), torch.rand(batch_size, 2, generator=rng.generator(seed, "augment", step)))
                rng.seed_layers(seed, step)
                _, logits = model(images)
                loss = F.cross_entropy(logits, y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            print(f"epoch {epoch + 1} of {epochs}: loss of the last batch {loss.item():.4f}", flush=True)
    return model.eval(), measure_accuracy(model, dataset)


@torch.no_grad()
def measure_accuracy(model: Classifier, dataset: Dataset) -> float:
    """Share of the test split that the classifier, in evaluation mode, labels correctly: 0 to 1."""
    test = dataset.split("test")
    x, y = read_all(test, "x"), torch.from_numpy(read_all(test, "y").copy())
    accuracy = MulticlassAccuracy(len(dataset.spec.classes), average="micro")
    for start in range(0, len(x), 1000):
        images = torch.from_numpy(x[start : start + 1000].copy())
        accuracy.update(model(from_uint8(images))[1], y[start : start + 1000])
    return float(accuracy.compute())


def save(model: Classifier, path: Path) -> str:
    """Write the weights (safetensors, float32) and return the file's SHA-256; its bytes depend on the weights alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = safetensors.torch.save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})
    write_atomic(path, content)
    return hashlib.sha256(content).hexdigest()
