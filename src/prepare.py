"""python -m src.prepare data=mnist: get a data set's files where they are missing, and check them."""

from typing import Any

from src import cli
from src.run import build_dataset


def prepare(config: dict[str, Any]) -> None:
    dataset = build_dataset(config)
    dataset.prepare()
    sizes = ", ".join(f"{name} {len(dataset.split(name).x):,}" for name in ("train", "validation", "test"))
    print(f"{dataset.name}: complete and checked; {sizes}; {dataset.spec.kind} {list(dataset.spec.shape)}")


if __name__ == "__main__":
    cli.run("prepare", prepare)
