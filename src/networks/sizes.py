"""Sizes that networks take from the data: the number of classes and the sides of feature maps."""

from src.data.spec import Spec


def count_classes(spec: Spec, conditional: bool = True) -> int:
    """Number of classes for a conditional network, 0 for others; ValueError if it is conditional and the data has none."""
    if conditional and not spec.classes:
        raise ValueError("this network is conditional and the data has no classes: take labelled data, or conditional=false")
    return len(spec.classes) if conditional else 0


def square_side(spec: Spec) -> int:
    """The side of the data's images; ValueError if samples are not square images."""
    if len(spec.shape) != 3 or spec.shape[1] != spec.shape[2]:
        raise ValueError(
            f"samples of shape {spec.shape} are no square images [C, S, S]: take model=mlp_gan, which takes any shape"
        )
    return spec.shape[1]


def sides(spec: Spec) -> list[int]:
    """Sides of the feature maps, from the smallest to the image's: [4, 8, 16, 32] for 32, [7, 14, 28] for 28."""
    image = spec.shape[-1]
    found = [7 if image % 7 == 0 else 4]
    while found[-1] < image:
        found.append(2 * found[-1])
    if spec.shape[1:] != (found[-1], found[-1]) or len(found) == 1:
        raise ValueError(
            f"samples of shape {spec.shape} do not fit this network: it needs square images [C, S, S] of side 28 or 8, 16, 32, "
            "64 ... (7 or 4, doubled); resize them, or take model=mlp_gan, which takes any shape"
        )
    return found
