"""python -m src.extractor data=mnist: train the classifier in whose features distances are measured, from its data.

The pinned weights in src/metrics/weights are what this makes; anyone can make them again and compare the SHA-256.
"""

from pathlib import Path
from typing import Any

from src import cli
from src.run import build_dataset


def extractor(config: dict[str, Any]) -> None:
    """Train on the config's data, write the weights to `output`, and say whether they are the pinned ones."""
    dataset = build_dataset(config)
    dataset.prepare()

    import torch

    from src.metrics.extractors import CLASSIFIERS
    from src.metrics.training import save, train_extractor

    torch.set_num_threads(1)  # as the pinned weights were made: another number rounds differently
    model, accuracy = train_extractor(dataset, config["seed"], config["epochs"])
    digest = save(model, Path(config["output"]))
    pinned = CLASSIFIERS[config["data"]["extractor"]].sha256
    print(f"{config['output']}: test accuracy {accuracy:.4f}, SHA-256 {digest}")
    print("bitwise the pinned weights" if digest == pinned else f"not the pinned weights ({pinned}): other machine or settings")


if __name__ == "__main__":
    cli.run("extractor", extractor)
