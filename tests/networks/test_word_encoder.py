"""What padding, order and words do."""

import pytest
import torch

from src.data.spec import Field, Spec
from src.data.words import Words
from src.networks.word_encoder import WordEncoder
from src.training import rng

WORDS = Words.of([["red", "apple", "tree"]], length=6)


def make(length: int = 6, **settings: float) -> WordEncoder:
    rng.seed_layers(0, -1)
    spec = Spec({"x": Field("tokens", (length,), "int64", WORDS.names)})
    return WordEncoder(spec, **{"width": 16, "depth": 2, "heads": 2, **settings})


def encoded(text: str, length: int = 6) -> torch.Tensor:
    return torch.from_numpy(Words(WORDS.names, length).encode(text))[None]


def test_padding_changes_nothing() -> None:
    network = make().eval()
    torch.testing.assert_close(network(encoded("red apple", 2)), network(encoded("red apple", 6)))
    assert network(encoded("")).isfinite().all(), "an empty caption"


def test_order_and_words_count() -> None:
    network = make().eval()
    a, b, c = (network(encoded(text)) for text in ("red apple tree", "tree apple red", "red apple apple"))
    assert not torch.allclose(a, b, atol=1e-4)
    assert not torch.allclose(a, c, atol=1e-4)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="this encoder is for texts and the data are image"):
        WordEncoder(Spec.of("image", (3, 8, 8)))
    with pytest.raises(ValueError, match="take a multiple of 4"):
        make(width=18)
