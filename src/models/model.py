"""The interface of all models: a LightningModule with one training rule and a clock. See also capabilities.py."""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from src.config.errors import Diverged
from src.data.spec import Batch, Spec
from src.parallel.collectives import average_over_processes, draw_rows, world_size
from src.parallel.launch import in_all_ranks
from src.training import rng
from src.training.ema import EMA


class Model(LightningModule):
    """One training rule. It owns its updates, optimizers, schedules and averages, and knows no config, file or data set.

    spec: the data's interface; "a batch in the model's format" is one from `spec.to_model`. seed: seeds every random stream.
    step: updates of the generating network so far. samples_seen: real samples shown so far, of all ranks. Schedules, logging,
    validation and checkpoints follow these two; Lightning's own counters count batches.

    A subclass defines `configure_optimizers`, `update`, `network` and `scalars`. It trains in any `pl.Trainer` with a
    `src.data.loader.DataModule`: a Lightning batch is a block of batches, for one update or for many.
    """

    batches_per_update = 1

    def __init__(self, spec: Spec, seed: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.spec, self.seed = spec, seed
        self.step = 0
        self.samples_seen = 0
        self.ema: EMA | None = None
        self.sharded = False  # by Lightning's FSDP, which then averages the gradients
        self._finite: Tensor | None = None

    def update(self, batches: Sequence[Batch], *optimizers: Any) -> None:
        """One update, from `batches_per_update` batches in the model's format; it must call `count`."""
        raise NotImplementedError

    def network(self, weights: str = "ema") -> nn.Module:
        """The network that results come from: with averaged weights ("ema", if there are any) or those in training ("raw")."""
        raise NotImplementedError

    def scalars(self) -> dict[str, float]:
        """What the last update measured, by name; empty before the first one."""
        return {}

    def networks(self) -> dict[str, nn.Module]:
        """The trained networks, by name; the manifest records their numbers of parameters."""
        return {"network": self.network("raw")}

    # Training

    def check_parts(self) -> None:
        """Raise ValueError for parts that cannot learn together; called before a training, not before samples are drawn."""

    def training_step(self, block: Batch, index: int) -> None:
        """Make the updates for a block [K, B, ...] of K batches."""
        optimizers = self.optimizers()
        self.train_on(block, optimizers if isinstance(optimizers, list) else [optimizers])
        self.log_dict({**self.scalars(), "step": float(self.step)}, sync_dist=world_size() > 1)

    def train_on(self, block: Batch, optimizers: Sequence[Any]) -> None:
        """`training_step` without a Trainer: the caller passes the optimizers."""
        for start in range(0, len(block["x"]), self.batches_per_update):
            rows = range(start, start + self.batches_per_update)
            batches = [self.spec.to_model({name: part[k] for name, part in block.items()}, self.dtype) for k in rows]
            self.update(batches, *optimizers)
        self.check_finite()

    def descend(self, loss: Tensor, optimizer: Any, network: nn.Module, statistics: Sequence[Tensor] = ()) -> None:
        """One optimizer step on a network's gradients of a scalar loss, the mean over this rank's part of the batch.

        statistics: buffers that are averaged over the ranks together with the gradients, in one all-reduce.
        """
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        for parameter in parameters:
            parameter.grad = None
        if self.sharded:
            self.manual_backward(loss)
            self.note_finite(loss)
            optimizer.step()
            return
        # `inputs`: gradients of other networks' weights are not computed.
        if self._trainer is None and self._fabric is None:  # no Trainer
            loss.backward(inputs=parameters)
        else:
            self.manual_backward(loss, inputs=parameters)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        average_over_processes([loss.detach(), *gradients, *statistics])
        self.note_finite(loss)
        optimizer.step()
        torch.clear_autocast_cache()  # it holds casts of the old weights if autocast spans a block of updates

    def note_finite(self, loss: Tensor) -> None:
        """Raise Diverged before the update if a loss on the CPU is not finite; for a GPU `check_finite` does it later."""
        if loss.is_cuda:  # reading it now would make the CPU wait for the GPU
            finite = torch.isfinite(loss.detach())
            self._finite = finite if self._finite is None else self._finite & finite
        elif not math.isfinite(loss.item()):
            raise self.diverged(f"a loss is {loss.item()}", "before the update")

    def check_finite(self) -> None:
        """Raise Diverged if a loss of the last block was not finite, before anything is logged, validated or saved."""
        finite, self._finite = self._finite, None
        if finite is not None and not finite:
            raise self.diverged("a loss of the last block is not finite", "before anything was saved")

    def diverged(self, what: str, when: str) -> Diverged:
        error = Diverged(
            f"{what} at step {self.step}: training has diverged and was stopped {when} (lower the learning rates or raise the "
            "penalty, in a new run)"
        )
        return in_all_ranks(error)  # the loss is the mean over all ranks

    def set_schedules(self, optimizers: Sequence[Any], settings: Sequence[Mapping[str, Any]], **due: float | None) -> None:
        """Give optimizers the config's `settings`, not those of a checkpoint, with the schedules' current values.

        due: lr_factor, on each learning rate; beta2, Adam's second beta. None changes nothing.
        """
        for optimizer, own in zip(optimizers, settings, strict=True):
            now = dict(own)
            if due.get("lr_factor") is not None:
                now["lr"] *= due["lr_factor"]
            if due.get("beta2") is not None:
                now["betas"] = (now["betas"][0], due["beta2"])
            for group in optimizer.param_groups:
                group.update(now)

    def count(self, batches: Sequence[Batch]) -> int:
        """Advance the clock by one update. Returns the number of samples in these batches, over all ranks."""
        samples = sum(len(batch["x"]) for batch in batches) * world_size()
        self.step += 1
        self.samples_seen += samples
        return samples

    def draw(self, distribution: Callable[..., Tensor], batch: int, size: int, stream: str) -> Tensor:
        """Random numbers [B, size] of a stream at this step: this rank's rows of those for the global batch."""
        return draw_rows(distribution, (batch, size), generator=rng.generator(self.seed, stream, self.step)).to(self.device)

    # The clock is part of a checkpoint; Lightning's counters are not needed.

    def clock(self) -> dict[str, int]:
        return {"step": self.step, "samples_seen": self.samples_seen}

    def set_clock(self, clock: Mapping[str, int]) -> None:
        self.step, self.samples_seen = clock["step"], clock["samples_seen"]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["clock"] = self.clock()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.set_clock(checkpoint["clock"])


@contextlib.contextmanager
def evaluating(network: Any) -> Iterator[Any]:
    """The network, in evaluation mode within the `with` block and in its own mode after it."""
    was_training = network.training
    network.eval()
    try:
        yield network
    finally:
        network.train(was_training)


def settings_of(optimizer: Optimizer) -> dict[str, Any]:
    """An optimizer's settings: learning rate, betas and so on."""
    return {name: value for name, value in optimizer.param_groups[0].items() if name != "params"}


class OneLoss(Model):
    """A rule that minimises one loss with one optimizer.

    optimizer: called with the parameters. ema: called with the network, averages its weights; None for no average.
    lr_schedule: factor on the learning rate as a function of the samples seen; None keeps it constant.
    A subclass makes its network with `set_network` and defines `loss`.
    """

    def __init__(
        self,
        spec: Spec,
        seed: int,
        optimizer: Callable[..., Optimizer],
        ema: Callable[[nn.Module], EMA] | None = None,
        lr_schedule: Callable[[int], float] | None = None,
    ) -> None:
        super().__init__(spec, seed)
        self._optimizer_factory, self._ema_factory, self._lr_schedule = optimizer, ema, lr_schedule
        self._settings: list[dict[str, Any]] = []
        self._last: Tensor | None = None

    def set_network(self, network: nn.Module) -> None:
        """Set the network that is trained, and create its average."""
        self.learner = network
        self.ema = self._ema_factory(network) if self._ema_factory else None

    def loss(self, batch: Batch) -> Tensor:
        """Values [B], one per sample; the update takes their mean."""
        raise NotImplementedError

    def configure_optimizers(self) -> list[Optimizer]:
        optimizer = self._optimizer_factory(self.learner.parameters())
        self._settings = [settings_of(optimizer)]
        return [optimizer]

    def update(self, batches: Sequence[Batch], optimizer: Any) -> None:
        due = self._lr_schedule(self.samples_seen) if self._lr_schedule else None
        self.set_schedules([optimizer], self._settings, lr_factor=due)
        rng.seed_layers(self.seed, self.step)
        loss = self.loss(batches[0]).mean()
        self.descend(loss, optimizer, self.learner)
        samples = self.count(batches)
        if self.ema:
            self.ema.update(self.learner, samples, self.samples_seen)
        self._last = loss.detach()

    def scalars(self) -> dict[str, float]:
        return {} if self._last is None else {"loss": self._last.item()}

    def network(self, weights: str = "ema") -> nn.Module:
        return self.ema.network if self.ema and weights == "ema" else self.learner
