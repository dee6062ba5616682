"""python -m src.prepare data=mnist: get a data set's files where they are missing, and check them."""

from pathlib import Path
from typing import Any

from src.config import command_line
from src.config.build import instantiate
from src.data.clients import commit_to_dvc
from src.data.dataset import SPLITS, licence_of, notes_of


def prepare(config: dict[str, Any]) -> None:
    dataset = instantiate(config["data"]["source"], "data.source")
    dataset.prepare()
    if folder := getattr(dataset, "folder", None):
        commit_to_dvc(Path(folder))  # also of files that were there
    sizes = ", ".join(f"{name} {len(dataset.split(name)):,}" for name in SPLITS)
    fields = ", ".join(f"{name}: {field.kind} {list(field.shape)}" for name, field in dataset.spec.fields.items())
    print(f"{dataset.name}: complete and checked; {sizes}; {fields}")
    if licence := licence_of(dataset):
        print(f"licence: {licence}")
    if notes := notes_of(dataset):
        print(", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in notes.items()))


def main() -> None:
    """The console command aigc-prepare."""
    command_line.run("prepare", prepare)


if __name__ == "__main__":
    main()
