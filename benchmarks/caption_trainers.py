"""open_clip and DF-GAN as alternatives of `benchmarks.peers`: their training loops on our captioned emoji."""

import contextlib
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks import ours
from benchmarks.family_trainers import in_new_folder
from benchmarks.timing import Clock
from benchmarks.trainers import Finished, importing
from benchmarks.translation_trainers import CONSTANT, LOG, Loader
from src.config.experiment import Experiment
from src.data.vocabulary import PAD

CLIP = ["model=clip", *CONSTANT, "model.augment=null", "model.word_dropout=0"]
LAZY_DF_GAN = ["model=text_to_image_gan", *CONSTANT, "model.augment=null", "model.word_dropout=0"]
DF_GAN = [*LAZY_DF_GAN, "model.penalties.matching_aware.every=1"]


class TheirCLIP(nn.Module):
    """Our towers with the interface of their CLIP."""

    def __init__(self, towers: nn.Module, temperature: float = 0.07) -> None:
        super().__init__()
        self.towers = towers
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def forward(self, image: Tensor, text: Tensor) -> dict[str, Tensor]:
        """Pictures [B, C, H, W] and captions [B, T] to unit vectors [B, P] of each."""
        found = self.towers({"x": image, "caption": text})
        return {"image_features": found["x"], "text_features": found["caption"], "logit_scale": self.logit_scale.exp()}


def open_clip(checkout: Path, clock: Clock) -> None:
    """Its train_one_epoch and its ClipLoss with our towers and our optimizer, on the training pictures in memory."""
    config = ours.compose(*CLIP)
    model, batch = ours.build(config), config["data"]["batch_size"]
    pictures, captions = training_part(config)
    with importing(checkout):
        from open_clip import ClipLoss
        from open_clip_train.train import train_one_epoch
    clip = TheirCLIP(model.learner["towers"])
    batches = Loader(DataLoader(TensorDataset(pictures, captions), batch, shuffle=True, drop_last=True), clock)
    batches.num_batches, batches.num_samples = len(batches), len(batches) * batch
    settings = {"device": "cpu", "precision": "fp32", "accum_freq": 1, "grad_clip_norm": None, "skip_scheduler": True}
    one_process = {"distill": False, "horovod": False, "rank": 0, "world_size": 1, "batch_size": batch}
    with contextlib.suppress(Finished):
        train_one_epoch(
            model=clip,
            data={"train": SimpleNamespace(dataloader=batches, set_epoch=lambda epoch: None)},
            loss=ClipLoss(),
            epoch=0,
            optimizer=model._optimizer_factory(clip.parameters()),
            scaler=None,
            scheduler=None,
            dist_model=None,
            args=SimpleNamespace(**settings, **one_process, log_every_n_steps=LOG, wandb=False),
        )


def df_gan(checkout: Path, clock: Clock) -> None:
    """Its train with its own networks in the sizes of ours and its own optimizers, on the training pictures in memory."""
    config = ours.compose(*DF_GAN)
    model, batch = config["model"], config["data"]["batch_size"]
    spec = Experiment(config).dataset.spec
    pictures, captions = training_part(config)
    lengths = (captions != spec.fields["caption"].names.index(PAD)).sum(1)
    z_dim, width, sentence = (model["generator"][key] for key in ("z_dim", "width", "text"))
    missing = {name: mock.MagicMock() for name in ("nltk", "nltk.tokenize", "pandas", "easydict")}  # of its files
    with in_new_folder(), importing(checkout / "code", **missing):
        from lib.modules import train
        from models.DAMSM import RNN_ENCODER
        from models.GAN import NetC, NetD, NetG

        size = spec.shape[1]
        generator, discriminator = NetG(width, z_dim, sentence["width"], size, 3), NetD(width, size, 3)
        predictor = NetC(width, sentence["width"])
        text = RNN_ENCODER(len(spec.fields["caption"].names), nhidden=sentence["width"]).eval().requires_grad_(False)
        of_d = [*discriminator.parameters(), *predictor.parameters()]
        g_optimizer = torch.optim.Adam(generator.parameters(), lr=1e-4, betas=(0.0, 0.9))
        d_optimizer = torch.optim.Adam(of_d, lr=4e-4, betas=(0.0, 0.9))
        samples = TensorDataset(pictures, captions, lengths, torch.arange(len(pictures)))
        batches = Loader(DataLoader(samples, batch, shuffle=True, drop_last=True), clock)
        settings = SimpleNamespace(batch_size=batch, device="cpu", current_epoch=0, max_epoch=1, z_dim=z_dim, multi_gpus=False)
        with mock.patch.object(Tensor, "cuda", lambda self: self), contextlib.suppress(Finished):  # it names CUDA itself
            train(batches, generator, discriminator, predictor, text, g_optimizer, d_optimizer, settings)


def training_part(config: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Pictures [N, C, H, W] in the networks' range and captions [N, T]."""
    dataset = Experiment(config).dataset
    dataset.prepare()
    split = dataset.split("train")
    batch = {name: torch.from_numpy(values) for name, values in split.batch(np.arange(len(split))).items()}
    batch = dataset.spec.to_model(batch)
    return batch["x"], batch["caption"]
