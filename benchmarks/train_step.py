"""python -m benchmarks.train_step [--threads 1] [--updates 3000] [--rounds 5]: our whole training step against a loop by hand.

Three ways of making the same generator update, taken in turn, medians over the rounds, milliseconds per update:

ours      `src.train.fit`, everything on: memory-mapped data, Lightning, W&B offline, metrics.jsonl, progress
by hand   a plain PyTorch loop as an expert would write it: all images as floats in memory, fused Adam, fakes shared by
          both updates, the same networks, loss, penalty, average and learning rates, no logging at all
products  the matrix products that any such update needs, and nothing else
"""

import argparse
import contextlib
import copy
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import torch
from torch import nn

from src import rng, train
from src.config import plain
from src.losses.regularizers import Update
from src.models.gan import GAN
from src.pixels import from_uint8
from src.run import RunFolder, build_dataset, build_model

CONF = str(Path(__file__).parent.parent / "conf")


def compose(experiment: str, updates: int, threads: int, folder: str) -> dict[str, Any]:
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        group = "model" if experiment == "mlp_gan" else "experiment"
        config = plain(hydra.compose("train", [f"{group}={experiment}", f"trainer.threads={threads}", f"run_dir={folder}/run"]))
    config["stop"] = {"epochs": None, "images": updates * config["data"]["batch_size"], "minutes": None, "distance": None}
    # What happens a few times in a run, however long, is not part of a step.
    config["validation"]["every"] = config["checkpoint"]["every"] = 10**9
    config["samples"]["per_decade"] = 0
    return config


def ours(config: dict[str, Any], updates: int) -> float:
    """Milliseconds per update of the real thing, from the first batch to the last."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        run = RunFolder(Path(folder) / "run" / "0")
        with run:
            run.write_config(config)
            train.fit(config, run, build_dataset(config), updates, "images")
            return run.manifest()["ended"]["seconds"] / updates * 1e3


def by_hand(config: dict[str, Any], updates: int) -> float:
    """Milliseconds per update of a loop by hand."""
    torch.set_flush_denormal(False)  # as PyTorch starts; ours sets it
    dataset = build_dataset(config)
    model: GAN = build_model(config, dataset.spec)
    g, d = model.generator, model.discriminator
    g_optimizer, d_optimizer = model.configure_optimizers()
    average = copy.deepcopy(g).requires_grad_(False)
    x = from_uint8(torch.from_numpy(dataset.split("train").x.copy()))
    batch = config["data"]["batch_size"]
    order = torch.randperm(len(x))

    def view(images: torch.Tensor) -> torch.Tensor:
        return model.augment(images, torch.rand(batch, model.augment.draws)) if model.augment else images

    started = time.perf_counter()
    for step in range(updates):
        start = step * batch % (len(x) - batch)
        real = x[order[start : start + batch]]
        if config["model"]["lr_schedule"]:
            for optimizer in (g_optimizer, d_optimizer):
                for group in optimizer.param_groups:
                    group["lr"] = group.setdefault("initial_lr", group["lr"]) * (1 - step / updates)
        z = torch.randn(batch, model.z_dim)
        fake = g(z)
        real_view, fake_view = view(real), view(fake)
        real_logits, fake_logits = d(real_view), d(fake_view.detach())
        d_loss = model.loss.discriminator(real_logits, fake_logits).mean()
        for penalty in model.penalties.values():
            if step % penalty.every == 0:
                d_loss = d_loss + penalty(Update(g, d, z, None, real_view, fake_view.detach(), real_logits, fake_logits))
        d_optimizer.zero_grad()
        d_loss.backward()
        d_optimizer.step()
        g_loss = model.loss.generator(d(view(fake)), None).mean()  # type: ignore[arg-type]
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()
        if model.ema:
            with torch.no_grad():
                torch._foreach_lerp_(tuple(average.parameters()), tuple(g.parameters()), 0.01)
                for a, b in zip(average.buffers(), g.buffers(), strict=True):
                    a.copy_(b)
    return (time.perf_counter() - started) / updates * 1e3


def products(config: dict[str, Any], updates: int) -> float:
    """Milliseconds per update of the matrix products alone."""
    model: GAN = build_model(config, build_dataset(config).spec)
    batch = config["data"]["batch_size"]

    def layers(network: nn.Module) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """(input [B, in], weight [out, in], gradient of the output [B, out]) of each layer."""
        linears = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
        return [(torch.randn(batch, at.in_features), at.weight.detach(), torch.randn(batch, at.out_features)) for at in linears]

    def forward(network: list) -> None:
        for x, weight, _ in network:
            x @ weight.T

    def backward(network: list, weights: bool, to_input: bool) -> None:
        for number, (x, weight, gradient) in reversed(list(enumerate(network))):
            if weights:
                gradient.T @ x
            if number > 0 or to_input:
                gradient @ weight

    g, d = layers(model.generator), layers(model.discriminator)
    started = time.perf_counter()
    for _ in range(updates):
        forward(g)
        for _ in ("real", "fake"):
            forward(d)
            backward(d, weights=True, to_input=False)
        forward(d)
        backward(d, weights=False, to_input=True)
        backward(g, weights=True, to_input=False)
    return (time.perf_counter() - started) / updates * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", nargs="+", default=["mlp_gan_listing", "mlp_gan"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--updates", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the table here too")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    ways: dict[str, Callable[[dict[str, Any], int], float]] = {"ours": ours, "by hand": by_hand, "products": products}

    table: dict[str, Any] = {"threads": arguments.threads, "updates": arguments.updates, "rounds": arguments.rounds}
    for experiment in arguments.experiments:
        config = compose(experiment, arguments.updates, arguments.threads, tempfile.gettempdir())
        times: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(arguments.rounds):
            for name, way in ways.items():
                rng.seed_layers(0, number)
                times[name].append(way(config, arguments.updates))
            print(experiment, {name: round(values[-1], 2) for name, values in times.items()}, file=sys.stderr)
        row = {name: round(statistics.median(values), 3) for name, values in times.items()}
        row |= {
            f"{name} / by hand": round(statistics.median(a / b for a, b in zip(times[name], times["by hand"], strict=True)), 3)
            for name in ("ours", "products")
        }
        table[experiment] = row
        print(experiment, row)
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
