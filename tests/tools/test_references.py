from pathlib import Path

import numpy as np
import pytest
import torch

from src.data.mnist import MNIST
from src.evaluation import protocol as module
from src.evaluation.cache import reference_path, shipped
from src.evaluation.extractors.extractor import load_extractor
from src.evaluation.image_metrics import NEIGHBOURS
from src.evaluation.protocol import Protocol, describe, evaluate
from src.tools import references

COUNT = 10_000
EXTRACTORS = {"mnist": "digits", "fashion_mnist": "fashion"}


@pytest.mark.parametrize("data", references.DATA)
def test_the_repository_has_those_of_the_default_protocol(data: str, request: pytest.FixtureRequest) -> None:
    dataset: MNIST = request.getfixturevalue(data)
    extractor = load_extractor(EXTRACTORS[data])
    described = describe(dataset, Protocol(extractor.name), extractor, COUNT)
    found = shipped(described)
    assert found is not None, "python -m src.tools.references writes them for this protocol"
    assert shipped(described | {"revision": 0}) is None
    assert sum(path.stat().st_size for path in reference_path(described).parent.iterdir()) < 3e6

    test = dataset.split("test")["x"]
    real = extractor(torch.from_numpy(test.copy())).features
    expected = module.manifold_radii(real, NEIGHBOURS["precision_recall"]).numpy()
    np.testing.assert_allclose(found["manifold_radius"], expected, rtol=1e-4)


def test_they_replace_all_but_the_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = references.Experiment(references.command_line.compose("train", ["data=digits"])).dataset
    protocol = Protocol("digits")
    test = digits.split("test")
    labels = torch.from_numpy(test["y"].copy())

    def measured(cache: str) -> dict:
        return evaluate(lambda n: torch.from_numpy(test["x"][:n].copy()), digits, protocol, tmp_path / cache, labels)

    expected = measured("computed")
    references.write(*references.reference("digits"), tmp_path)
    monkeypatch.setattr(module, "shipped", lambda described: shipped(described, tmp_path))
    monkeypatch.setattr(module, "derived", lambda *_: pytest.fail("computed although it is there"))
    monkeypatch.setattr(module, "conditional_controls", lambda *_: pytest.fail("computed although it is there"))
    assert measured("shipped") == expected
