"""python -m src.tools.extractor data=mnist: train the classifier whose features the distance metrics use.

It made the pinned weights in src/evaluation/extractors/weights: anyone can repeat that and compare the SHA-256.
"""

from pathlib import Path
from typing import Any

from src.config import command_line
from src.config.build import instantiate
from src.config.errors import UserError
from src.system.files import check_writable


def extractor(config: dict[str, Any]) -> None:
    """Train on the config's data, write the weights to `output`, and say whether they are the pinned ones."""
    dataset, output = instantiate(config["data"]["source"], "data.source"), Path(config["output"])
    if dataset.spec.shape != (1, 28, 28) or not dataset.spec.classes:
        raise UserError(f"data={dataset.name}: the classifier takes grey images of 28 x 28 with classes, such as data=mnist")
    if output.is_dir():
        raise UserError(f"output={output} is a folder: name a file")
    check_writable(output.parent, "output")
    dataset.prepare()

    import torch

    from src.evaluation.extractors.extractor import CLASSIFIERS
    from src.tools.classifier_training import save, train_extractor

    torch.set_num_threads(1)  # as for the pinned weights: another number rounds differently
    model, accuracy = train_extractor(dataset, config["seed"], config["epochs"])
    digest = save(model, output)
    name = config["data"]["extractor"]
    pinned = CLASSIFIERS[name].sha256 if name in CLASSIFIERS else "there are none"
    print(f"{output}: test accuracy {accuracy:.4f}, SHA-256 {digest}")
    print("bitwise the pinned weights" if digest == pinned else f"not the pinned weights ({pinned}): other machine or settings")


if __name__ == "__main__":
    command_line.run("extractor", extractor)
