"""python -m benchmarks.train_step [--recipes model=dcgan ...]: our whole training step against a loop by hand, and the floor.

Milliseconds per update of the generating network, for three ways of making the same update, measured in turn:

ours      `src.train.train` with all its parts: memory-mapped data, Lightning, W&B offline, metrics.jsonl, progress
by hand   a plain PyTorch loop as an expert would write it (benchmarks/by_hand.py): all images as floats in memory, fused Adam,
          no unused gradients; the same networks, loss, penalties, average and learning rates; no logging; in float32, and for
          a recipe in bf16-mixed also in that
products  only the matrix products and convolutions of such an update, those of penalties at the steps where they are due:
          the limit of the machine (benchmarks/products.py)

A recipe is the words after `python -m src.train`, run from the repository's root; several words need quotes.
"""

import functools
import sys
import time

from benchmarks import ours, timing
from benchmarks.by_hand import by_hand
from benchmarks.products import HALF, products

RECIPES = ["experiment=mlp_gan_listing", "model=mlp_gan", "model=dcgan", "model=cdcgan", "model=sngan", "model=r3gan"]
RECIPES += ["experiment=mlp_gan_listing trainer.matmul_precision=auto"]  # as exact, faster on some processors
RECIPES += [f"model={name} trainer.precision=bf16-mixed" for name in ("mlp_gan", "dcgan", "sngan")]  # less exact
RECIPES += ["model=vae", "model=autoregressive data=mnist", "model=autoregressive data.path=README.md"]
RECIPES += ["model=flow", "model=diffusion", "model=music_gpt", "model=music_vae"]
MLP, CONVOLUTIONAL, FAMILIES = {"by hand": 0.8, "products": 1.7}, {"by hand": 0.8}, {"by hand": 1.1}
FUSED = ("model=music_vae",)  # whose LSTM is one operator of torch: `products` does not see its products
REACH = {"experiment=mlp_gan_listing": MLP, "model=mlp_gan": MLP, "model=dcgan": CONVOLUTIONAL}
REACH |= {f"model={name}": FAMILIES for name in ("vae", "autoregressive", "flow", "diffusion", "music_gpt", "music_vae")}

PROTOCOL = """Ways taken in turn, forwards and backwards, medians over the rounds, ratios by the round; one process, start-up
and first updates left out. ours: `train` with memory-mapped data, Lightning, W&B offline, metrics.jsonl and progress. by
hand: a plain eager loop with the same networks, fused Adam, shared fakes, no unused gradients, no logging, in float32 and in
torch's own layout; in bf16: the same under autocast. products: the matrix products and convolutions of an update, its
penalties' where they are due, replayed alone with the numerics and the layout of ours: the floor."""


def main(words: list[str] | None = None) -> None:
    parser = timing.parser(__doc__, rounds=5)
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement, about")
    timing.add_cpu(parser)
    arguments = parser.parse_args(words)
    unit = timing.use_clock(arguments.cpu)
    rows = []
    for recipe in arguments.recipes:
        config = ours.compose(*recipe.split(), f"trainer.threads={arguments.threads}")
        timing.as_torch_starts(arguments.threads)
        updates = max(2, round(arguments.seconds * 1e3 / by_hand(config, updates=2, warmup=2)))
        warmup = max(1, updates // 10)
        ways = {"ours": ours.milliseconds, "by hand": by_hand, "products": products}
        if recipe in FUSED:
            del ways["products"]
        if config["trainer"]["precision"] == HALF:
            ways["by hand in bf16"] = functools.partial(by_hand, half=True)
        measured = {name: functools.partial(way, config, updates, warmup) for name, way in ways.items()}
        started = time.perf_counter()
        found = timing.alternate(measured, arguments.rounds, arguments.threads)
        print(f"{recipe}: {updates} updates a time, {time.perf_counter() - started:.0f} s in all", file=sys.stderr)
        rows += timing.compare(f"`{recipe}`, one update", unit, found, REACH.get(recipe.split()[0]))
    timing.report("train_step", PROTOCOL, rows, arguments)


if __name__ == "__main__":
    main()
