"""A tiny training by Lightning, in one process or as a rank."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from src.parallel import launch
from src.parallel.collectives import average_over_processes, draw_rows, largest
from src.parallel.strategy import AllReduceDDP
from src.system.signals import NotedSignals


class Tiny(pl.LightningModule):
    """Two optimizers, gradients averaged by hand; every rank draws the global batch of 6 and takes its rows."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        torch.manual_seed(0)
        self.networks = nn.ModuleList(nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)) for _ in range(2))

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [torch.optim.Adam(network.parameters(), 1e-2) for network in self.networks]

    def training_step(self, batch: Any, index: int) -> None:
        generator = torch.Generator().manual_seed(index)
        x = draw_rows(torch.randn, (6 // launch.world_size(), 3), generator=generator, dtype=torch.float64)
        for network, optimizer in zip(self.networks, self.optimizers(), strict=True):
            optimizer.zero_grad()
            self.manual_backward((network(x) - x.sum(1, keepdim=True)).square().mean())
            average_over_processes([parameter.grad for parameter in network.parameters()])
            optimizer.step()


class Stop(pl.Callback):
    def __init__(self, folder: str) -> None:
        self.noted, self.folder, self.number = NotedSignals(""), Path(folder), 0

    def setup(self, *_: Any, **__: Any) -> None:
        self.noted.catch()

    def on_train_start(self, *_: Any) -> None:
        self.noted.catch()  # Lightning has set its own handler of SIGTERM

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        (self.folder / f"trains-{launch.rank()}").touch()
        self.number = int(largest(self.noted.number or 0))
        trainer.should_stop = self.number > 0


def fitted(updates: int, *callbacks: pl.Callback) -> Tiny:
    torch.set_num_threads(1)
    model = Tiny()
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=launch.local_world_size(),
        strategy=AllReduceDDP(cluster_environment=launch.environment()) if launch.launched() else "auto",
        precision="64-true",
        max_epochs=1,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(model, torch.utils.data.DataLoader(torch.zeros(updates, 1), batch_size=1))
    return model
