"""python -m benchmarks.train_step [--recipes model=dcgan ...]: our whole training step against a loop by hand, and the floor.

Milliseconds per generator update, for three ways of making the same update, measured in turn:

ours      `src.train.train` with all its parts: memory-mapped data, Lightning, W&B offline, metrics.jsonl, progress
by hand   a plain PyTorch loop as an expert would write it: all images as floats in memory, fused Adam, fakes shared by
          both updates, no unused gradients; the same networks, loss, penalties, average and learning rates; no logging;
          in float32, and for a recipe in bf16-mixed also in that
products  only the matrix products and convolutions of such an update, those of penalties at the steps where they are due:
          the limit of the machine

A recipe is the words after `python -m src.train`; several words need quotes.
"""

import copy
import functools
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import ours, timing
from src.config.experiment import Experiment
from src.data.pixels import from_uint8
from src.models.gan.gan import GAN
from src.models.gan.regularizers import Update
from src.parallel.place import Place
from src.system.numerics import set_numerics
from src.training.fit import place_model

RECIPES = ["experiment=mlp_gan_listing", "model=mlp_gan", "model=dcgan", "model=cdcgan", "model=sngan", "model=r3gan"]
RECIPES += ["experiment=mlp_gan_listing trainer.matmul_precision=auto"]  # as exact, faster on some processors
RECIPES += [f"model={name} trainer.precision=bf16-mixed" for name in ("mlp_gan", "dcgan", "sngan")]  # less exact
MLP, CONVOLUTIONAL = {"by hand": 0.8, "products": 1.7}, {"by hand": 0.8}
REACH = {"experiment=mlp_gan_listing": MLP, "model=mlp_gan": MLP, "model=dcgan": CONVOLUTIONAL}

# torch's operations for layers, attention and their gradients; the rest of an update is memory bandwidth and overhead.
PRODUCTS = {
    *("mm", "addmm", "bmm", "baddbmm", "convolution", "convolution_backward"),
    *("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention_for_cpu_backward"),
}
PROTOCOL = """Ways taken in turn, forwards and backwards, medians over the rounds, ratios by the round; one process, start-up
and first updates left out. ours: `train` with memory-mapped data, Lightning, W&B offline, metrics.jsonl and progress. by
hand: a plain eager loop with the same networks, fused Adam, shared fakes, no unused gradients, no logging, in float32 and in
torch's own layout; in bf16: the same under autocast. products: the matrix products and convolutions of an update, its
penalties' where they are due, replayed alone with the numerics and the layout of ours: the floor."""
HALF = "bf16-mixed"


def by_hand(config: dict[str, Any], updates: int, warmup: int, half: bool = False) -> float:
    """Milliseconds per update of a loop by hand; half: under autocast to bfloat16."""
    model = build(config)
    g, d = model.generator, model.discriminator
    g_optimizer, d_optimizer = model.configure_optimizers()
    average = copy.deepcopy(g).requires_grad_(False)
    batches = shuffled(config)
    clock = timing.Clock(warmup, updates)
    for step in range(clock.total):
        if config["model"]["lr_schedule"]:
            for optimizer in (g_optimizer, d_optimizer):
                for group in optimizer.param_groups:
                    group["lr"] = group.setdefault("initial_lr", group["lr"]) * (1 - step / clock.total)
        for _ in range(model.batches_per_update):
            real, y = next(batches)
            z = torch.randn(len(real), model.z_dim)
            with autocast(half):
                fake = g(z, y)
                real_view, fake_view = view(model, real), view(model, fake.detach())
                real_logits, fake_logits = d(real_view, y), d(fake_view, y)
                d_loss = model.loss.discriminator(real_logits, fake_logits).mean()
                made = Update(g, d, z, y, real_view, fake_view, real_logits, fake_logits)
                d_loss = d_loss + sum(term(made) for term in model.penalties.values() if step % term.every == 0)
            d_optimizer.zero_grad()
            d_loss.backward()
            d_optimizer.step()
            if model.constrain:
                model.constrain(d)
        d.requires_grad_(False)
        with autocast(half):
            fake_view = view(model, fake)
            fake_logits = d(fake_view, y)
            if model.loss.relativistic:
                real_logits = d(real_view, y)
            g_loss = model.loss.generator(fake_logits, real_logits.detach()).mean()
            made = made._replace(fake=fake_view, fake_logits=fake_logits)
            g_loss = g_loss + sum(term(made) for term in model.g_penalties.values() if step % term.every == 0)
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()
        d.requires_grad_(True)
        if model.ema:
            with torch.no_grad():
                torch._foreach_lerp_(tuple(average.parameters()), tuple(g.parameters()), 0.01)
                for a, b in zip(average.buffers(), g.buffers(), strict=True):
                    a.copy_(b)
        clock.tick()
    return clock.milliseconds()


def products(config: dict[str, Any], updates: int, warmup: int) -> float:
    """Milliseconds per update of the matrix products and convolutions alone, with the precision and layout of ours."""
    set_numerics(torch.get_num_threads(), config["trainer"]["matmul_precision"])
    half = config["trainer"]["precision"] == HALF
    model = build(config)
    place_model(model, Experiment(config).trainer, Place())
    g, d = model.generator, model.discriminator
    real, y = next(shuffled(config))
    z = torch.randn(len(real), model.z_dim)

    with autocast(half), Recorder() as of_d:
        fake = g(z, y)
        seen = real.requires_grad_(), fake.detach().requires_grad_()
        made = Update(g, d, z, y, *seen, *(d(x, y) for x in seen))
        d_loss = model.loss.discriminator(made.real_logits, made.fake_logits).mean()
        d_loss = d_loss + sum(term(made) for term in model.penalties.values() if term.every == 1)  # may share the loss's work
        d_loss.backward(inputs=list(d.parameters()))
    with autocast(half), Recorder() as of_g:
        if model.loss.relativistic:
            with torch.no_grad():
                d(real, y)
        made = made._replace(fake=fake, fake_logits=d(fake, y))
        g_loss = model.loss.generator(made.fake_logits, made.real_logits.detach()).mean()
        g_loss = g_loss + sum(term(made) for term in model.g_penalties.values() if term.every == 1)
        g_loss.backward(inputs=list(g.parameters()))

    due = [(1, of_d.calls * model.batches_per_update + of_g.calls)]  # (interval in updates, calls at that interval)
    for network, terms, times in ((d, model.penalties, model.batches_per_update), (g, model.g_penalties, 1)):
        for term in (term for term in terms.values() if term.every > 1):
            with autocast(half):
                fake = g(z, y)
                made = Update(g, d, z, y, real, fake, d(real, y), d(fake, y))
            with autocast(half), Recorder() as of_term:
                term(made).backward(inputs=list(network.parameters()))
            due.append((term.every, of_term.calls * times))
    clock = timing.Clock(warmup, updates)
    with torch.no_grad():
        for step in range(clock.total):
            for every, calls in due:
                if step % every == 0:
                    for call in calls:
                        call()
            clock.tick()
    return clock.milliseconds()


class Recorder(TorchDispatchMode):
    """Records each matrix product and convolution that runs under it, with its operands, so that it can be called again."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], Any]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.overloadpacket.__name__ in PRODUCTS:
            self.calls.append(functools.partial(function, *args, **(kwargs or {})))
        return function(*args, **(kwargs or {}))


def autocast(half: bool) -> torch.autocast:
    """Autocast to bfloat16 as in Lightning's bf16-mixed."""
    return torch.autocast("cpu", torch.bfloat16, enabled=half, cache_enabled=False)


def build(config: dict[str, Any]) -> GAN:
    return Experiment(config).model(Experiment(config).dataset.spec)


def shuffled(config: dict[str, Any]) -> Iterator[tuple[Tensor, Tensor]]:
    """Images [B, *shape] in [-1, 1] and labels [B], shuffled once, from memory."""
    split = Experiment(config).dataset.split("train")
    images, labels = from_uint8(torch.from_numpy(split["x"].copy())), torch.from_numpy(split["y"])
    order, batch = torch.randperm(len(images)), config["data"]["batch_size"]
    while True:
        for rows in order.split(batch)[: len(images) // batch]:
            yield images[rows], labels[rows]


def view(model: GAN, images: Tensor) -> Tensor:
    """The discriminator's input: augmented images."""
    return model.augment(images, torch.rand(len(images), model.augment.draws)) if model.augment else images


def main(words: list[str] | None = None) -> None:
    parser = timing.parser(__doc__, rounds=5)
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement, about")
    arguments = parser.parse_args(words)
    rows = []
    for recipe in arguments.recipes:
        config = ours.compose(*recipe.split(), f"trainer.threads={arguments.threads}")
        timing.as_torch_starts(arguments.threads)
        updates = max(2, round(arguments.seconds * 1e3 / by_hand(config, updates=2, warmup=2)))
        warmup = max(1, updates // 10)
        ways = {"ours": ours.milliseconds, "by hand": by_hand, "products": products}
        if config["trainer"]["precision"] == HALF:
            ways["by hand in bf16"] = functools.partial(by_hand, half=True)
        measured = {name: functools.partial(way, config, updates, warmup) for name, way in ways.items()}
        started = time.perf_counter()
        found = timing.alternate(measured, arguments.rounds, arguments.threads)
        print(f"{recipe}: {updates} updates a time, {time.perf_counter() - started:.0f} s in all", file=sys.stderr)
        rows += timing.compare(f"`{recipe}`, one update", "ms", found, REACH.get(recipe.split()[0]))
    timing.report("train_step", PROTOCOL, rows, arguments)


if __name__ == "__main__":
    main()
