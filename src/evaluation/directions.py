"""Directions in a latent space: which there are, what they change, and how much else.

Closed-form directions: Shen and Zhou 2021, SeFa (arXiv:2007.06600). Linear probes: Shen et al. 2020, InterFaceGAN
(arXiv:1907.10786).
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, normalize

from src.data.spec import Spec
from src.networks.attribute_classifier import AttributeClassifier
from src.training import rng

FEWEST = 10  # samples with an attribute, and without it, that a probe needs on either side of its split
STEPS, BATCH, RATE = 400, 64, 2e-3  # of the classifier's training with Adam


def sefa(matrix: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The n directions [n, D] of unit length along which A code, A [M, D] in float64, changes most; and ||A d||^2 [n].

    They are the eigenvectors of A^T A with the largest eigenvalues (section 3.2). The sign is chosen such that the component of
    largest size is positive. n is at most D.
    """
    values, vectors = torch.linalg.eigh(matrix.mT @ matrix)  # ascending
    found = vectors.mT.flip(0)[:n]  # [n, D]
    signs = found.gather(1, found.abs().argmax(1, keepdim=True)).sign()
    return found * signs, values.flip(0)[:n]


class Probe(NamedTuple):
    """direction: [D] of unit length. accuracy: on held-out samples. majority: of the more frequent answer there."""

    direction: Tensor
    accuracy: float
    majority: float


def probe(codes: Tensor, has: Tensor) -> Probe | None:
    """A logistic regression of an attribute, has [N] bool, on codes [N, D]; None if too few codes have or lack it.

    The first half is for training, the second held out. The direction is the normal of the boundary.
    """
    from sklearn.linear_model import LogisticRegression

    half = len(codes) // 2
    if min(min(part.sum(), (~part).sum()) for part in (has[:half], has[half:])) < FEWEST:
        return None
    scaled = (codes / codes.std()).double().numpy()
    fitted = LogisticRegression(C=0.1, max_iter=1000).fit(scaled[:half], has[:half].numpy())
    share = has[half:].double().mean().item()
    direction = normalize(torch.from_numpy(fitted.coef_[0]), dim=0)
    return Probe(direction, float(fitted.score(scaled[half:], has[half:].numpy())), max(share, 1 - share))


class Effect(NamedTuple):
    """What a direction does to the classifier's answers: the attribute's number, its change (-1 to 1), that of the others.

    change: mean over samples, with its sign. others: mean size of the change over samples and the other attributes, 0 to 1.
    """

    attribute: int
    change: float
    others: float


def effect(low: Tensor, high: Tensor, wanted: int | None = None) -> Effect:
    """The effect of going from one end of a direction to the other.

    low, high: probabilities [N, K] of the attributes at both ends. wanted: the attribute; None for the one that changes most.
    """
    moved = (high - low).double()
    change = moved.mean(0)  # [K]
    chosen = int(change.abs().argmax()) if wanted is None else wanted
    others = moved.abs().mean(0)[torch.arange(moved.shape[1]) != chosen]
    return Effect(chosen, change[chosen].item(), others.mean().item() if len(others) else 0.0)


def train_classifier(spec: Spec, x: Tensor, has: Tensor, seed: int) -> AttributeClassifier:
    """A classifier of attributes, in evaluation mode: x [N, *shape] in the model's format, has [N, K] float, 0 or 1."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(rng.key(seed, "attributes"))
        network = AttributeClassifier(spec, has.shape[1])
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    for step in range(STEPS):
        rows = torch.randint(len(x), (BATCH,), generator=rng.generator(seed, "attributes", step))
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(network(x[rows]), has[rows]).backward()
        optimizer.step()
    return network.eval()


@torch.no_grad()
def probabilities(classifier: AttributeClassifier, x: Tensor) -> Tensor:
    """Of the attributes of images [N, *shape] in the model's format, [N, K]."""
    return torch.cat([classifier(part).sigmoid() for part in x.split(BATCH)])
