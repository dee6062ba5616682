import pytest
import torch
from torch.nn.functional import one_hot

from src.data.spec import Field, Spec
from src.networks.text_discriminator import TextDiscriminator

SPEC = Spec({"x": Field("tokens", (4,), "int64", tuple("abc"))})


def test_symbols_and_their_one_hot_distributions_are_the_same() -> None:
    """Texts shorter than a kernel have none of that size; each representation has a logit of its own."""
    network = TextDiscriminator(SPEC, width=6, representations=3, filters=4, hidden=5).eval()
    assert len(network.convolutions) == 3  # kernels of 2, 3 and 4 of the four
    x = torch.randint(3, (5, 4))
    logits = network(x)
    assert logits.shape == (5, 3)
    torch.testing.assert_close(network(one_hot(x, 3).float()), logits)
    assert logits.std(1).min() > 0


def test_a_width_that_cannot_be_divided() -> None:
    with pytest.raises(ValueError, match="choose a width that is a multiple"):
        TextDiscriminator(SPEC, width=7, representations=3)
