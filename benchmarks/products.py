"""The matrix products and convolutions of an update, replayed alone: the floor of benchmarks.train_step and of the peers."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import ours
from benchmarks.by_hand import autocast, batches
from benchmarks.timing import Clock
from src.config.experiment import Experiment
from src.models.gan.gan import GAN
from src.models.gan.regularizers import Update
from src.models.model import OneLoss
from src.parallel.place import Place
from src.system.numerics import set_numerics
from src.training.fit import place_model

# torch's operations for layers, attention and their gradients; the rest of an update is memory bandwidth and overhead.
PRODUCTS = {
    *("mm", "addmm", "bmm", "baddbmm", "convolution", "convolution_backward"),
    *("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention_for_cpu_backward"),
}
HALF = "bf16-mixed"
Calls = list[Callable[[], Any]]


def products(config: dict[str, Any], updates: int, warmup: int) -> float:
    """Milliseconds per update of the matrix products and convolutions alone, with the precision and layout of ours."""
    set_numerics(torch.get_num_threads(), config["trainer"]["matmul_precision"])
    half = config["trainer"]["precision"] == HALF
    model = ours.build(config)
    place_model(model, Experiment(config).trainer, Place())
    x, y = next(batches(config))
    due = of_gan(model, x, y, half) if isinstance(model, GAN) else of_one_loss(model, x, y, half)
    clock = Clock(warmup, updates)
    with torch.no_grad():
        for step in range(clock.total):
            for every, calls in due:
                if step % every == 0:
                    for call in calls:
                        call()
            clock.tick()
    return clock.milliseconds()


def of_one_loss(model: OneLoss, x: Tensor, y: Tensor | None, half: bool) -> list[tuple[int, Calls]]:
    """Those of a forward and a backward pass, which are due at each update."""
    with autocast(half), Recorder() as recorder:
        model.loss({"x": x} if y is None else {"x": x, "y": y}).mean().backward()
    return [(1, recorder.calls)]


def of_gan(model: GAN, real: Tensor, y: Tensor | None, half: bool) -> list[tuple[int, Calls]]:
    """(interval in updates, calls at that interval)."""
    g, d = model.generator, model.discriminator
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

    due = [(1, of_d.calls * model.batches_per_update + of_g.calls)]
    for network, terms, times in ((d, model.penalties, model.batches_per_update), (g, model.g_penalties, 1)):
        for term in (term for term in terms.values() if term.every > 1):
            with autocast(half):
                fake = g(z, y)
                made = Update(g, d, z, y, real, fake, d(real, y), d(fake, y))
            with autocast(half), Recorder() as of_term:
                term(made).backward(inputs=list(network.parameters()))
            due.append((term.every, of_term.calls * times))
    return due


class Recorder(TorchDispatchMode):
    """Records each matrix product and convolution that runs under it, with its operands, so that it can be called again."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Calls = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.overloadpacket.__name__ in PRODUCTS:
            self.calls.append(functools.partial(function, *args, **(kwargs or {})))
        return function(*args, **(kwargs or {}))
