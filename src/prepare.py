"""python -m src.prepare data=mnist: get a data set's files where they are missing, and check them."""

from typing import Any

from src.config import command_line
from src.runs.folder import build_dataset


def prepare(config: dict[str, Any]) -> None:
    dataset = build_dataset(config)
    dataset.prepare()
    sizes = ", ".join(f"{name} {len(dataset.split(name).x):,}" for name in ("train", "validation", "test"))
    print(f"{dataset.name}: complete and checked; {sizes}; {dataset.spec.kind} {list(dataset.spec.shape)}")


if __name__ == "__main__":
    command_line.run("prepare", prepare)
