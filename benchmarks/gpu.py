"""python -m benchmarks.gpu: images per second and memory of our training on a GPU.

The networks of the published recipes on noise in the shape of CIFAR-10 and of 64 x 64 photographs, in float32 and in bf16.
Without a CUDA device it prints that, and measures nothing.
"""

import functools
import statistics
from typing import Any

import torch

from benchmarks import ours, timing
from benchmarks.timing import Row

RECIPES = [
    "experiment=dcgan_cifar10",
    "experiment=sngan_cifar10",
    "experiment=stylegan2_ada_cifar10",
    "experiment=r3gan_cifar10",
]
WIDER = "model.{0}.widths=[768,768,768,768,384] model.{0}.cardinality=[96,96,96,96,48]"  # R3GAN: a stage for each side
PRECISIONS = ("32-true", "bf16-mixed")
PROTOCOL = """Ways taken in turn, forwards and backwards, medians over the rounds; `train` with everything on, start-up
and first updates left out. Images are real ones shown to the discriminator; memory is the peak of what PyTorch's allocator gave
away (torch.cuda.max_memory_allocated)."""


def compose(recipe: str, side: int, batch: int, *words: str) -> dict[str, Any]:
    words = (*recipe.split(), *ours.synthetic(3, side, side), f"data.batch_size={batch}", *words)
    if "r3gan" in recipe and side == 64:
        words += tuple(word for network in ("generator", "discriminator") for word in WIDER.format(network).split())
    return ours.compose(*words)


def images(config: dict[str, Any], updates: int, memory: dict[str, float]) -> float:
    """Images per second; `memory` gets the peak in GiB under the precision's name."""
    torch.cuda.reset_peak_memory_stats()
    milliseconds = ours.milliseconds(config, updates, max(1, updates // 2))
    memory[config["trainer"]["precision"]] = torch.cuda.max_memory_allocated() / 2**30
    return config["data"]["batch_size"] * config["model"]["d_steps"] / milliseconds * 1e3


def main(words: list[str] | None = None) -> None:
    parser = timing.parser(__doc__, rounds=3)
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--sides", nargs="+", type=int, default=[32, 64])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--updates", type=int, default=64)
    arguments = parser.parse_args(words)
    if not torch.cuda.is_available():
        print("no CUDA device here: nothing was measured")
        return
    rows = []
    for recipe in arguments.recipes:
        for side in arguments.sides:
            memory: dict[str, float] = {}
            ways = {}
            for name in PRECISIONS:
                config = compose(recipe, side, arguments.batch, "trainer.accelerator=cuda", f"trainer.precision={name}")
                ways[name] = functools.partial(images, config, arguments.updates, memory)
            found = timing.alternate(ways, arguments.rounds, arguments.threads)
            figure = f"`{recipe}`, {side} x {side}"
            rows += [Row(f"{figure}, {name}", "images/s", statistics.median(found[name])) for name in PRECISIONS]
            rows += [Row(f"{figure}, {name}, memory", "GiB", memory[name]) for name in PRECISIONS]
    timing.report("gpu", PROTOCOL, rows, arguments)


if __name__ == "__main__":
    main()
