"""python -m src.tools.references: what the default protocol measures of real images, for src/evaluation/references.

To be run again whenever the description of the protocol changes (data, extractor, revision, version of torch-fidelity): a test
compares them. One thread; about two CPU minutes for each data set.
"""

import io
import json
from pathlib import Path

import numpy as np

from src.config import command_line
from src.config.experiment import Experiment
from src.evaluation.cache import REFERENCES, Arrays, reference_path
from src.evaluation.extractors.extractor import load_extractor
from src.evaluation.protocol import Protocol, conditional_controls, derived, describe, real_reference, sample_count
from src.system.files import write_atomic
from src.system.numerics import set_numerics

DATA = ("mnist", "fashion_mnist")


def reference(data: str) -> tuple[dict[str, object], Arrays]:
    """The description of a data set's default protocol, and its arrays without the features."""
    experiment = Experiment(command_line.compose("train", [f"data={data}"]))
    dataset, suite = experiment.dataset, experiment.suite
    dataset.prepare()
    protocol = Protocol(suite.extractor_name, suite.weights, suite.samples, suite.split)
    extractor = load_extractor(protocol.extractor, protocol.weights)
    count = sample_count(dataset, protocol)
    features = real_reference(dataset, protocol, extractor, count, known={})
    found = derived(dataset, protocol, extractor, count, features)
    found |= conditional_controls(dataset, protocol, extractor, count, features | found)
    return describe(dataset, protocol, extractor, count), found


def write(described: dict[str, object], arrays: Arrays, folder: Path = REFERENCES) -> Path:
    """Write one file; the same arrays give the same bytes."""
    path, buffer = reference_path(described, folder), io.BytesIO()
    np.savez_compressed(buffer, described=np.array(json.dumps(described)), **arrays)  # type: ignore[arg-type]
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, buffer.getvalue())
    return path


def main() -> None:
    set_numerics(1, "highest")
    for data in DATA:
        path = write(*reference(data))
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
