"""TextGAN-PyTorch as an alternative of `benchmarks.peers`: the adversarial updates of its RelGAN on our quatrains."""

from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
from torch.nn.functional import pad

from benchmarks import ours
from benchmarks.family_trainers import in_new_folder
from benchmarks.timing import Clock, quiet
from benchmarks.trainers import importing
from src.config.experiment import Experiment

RELGAN = ["model=text_gan", "model.pretraining.samples=0", "model.ema=null", "model.straight_through=false"]
POEMS = 2000


def relgan(checkout: Path, clock: Clock) -> None:
    """Its update of the generator, and one of the discriminator, as its instructor makes them.

    Its discriminator has the sizes of ours, and its generator, a relational memory, the width of ours.
    """
    config = ours.compose(*RELGAN)
    model, dataset = config["model"], Experiment(config).dataset
    batch_size, (length,), symbols = config["data"]["batch_size"], dataset.spec.shape, len(dataset.spec.x.names)
    dataset.prepare()
    split = dataset.split("train")
    poems = torch.from_numpy(split.batch(np.arange(min(POEMS, len(split))))["x"]).long()
    poems = pad(poems, (0, length - poems.shape[1]))
    with (
        in_new_folder(),
        quiet(),
        importing(checkout, nltk=mock.MagicMock(), **{"nltk.translate.bleu_score": mock.MagicMock()}),
    ):
        import config as settings

        settings.CUDA, settings.batch_size, settings.vocab_size = False, batch_size, symbols
        settings.loss_type = "rsgan"
        from instructor.real_data.relgan_instructor import RelGANInstructor
        from models.RelGAN_G import RelGAN_G

        from models import RelGAN_D

        heads, width = model["network"]["heads"], model["network"]["width"]
        sizes = model["discriminator"]
        generator = RelGAN_G(1, heads, width // heads, width, width, symbols, length, padding_idx=0)
        with mock.patch.object(RelGAN_D, "dis_num_filters", [sizes["filters"]] * len(sizes["kernels"])):
            discriminator = RelGAN_D.RelGAN_D(sizes["width"], length, sizes["representations"], symbols, padding_idx=0)
        instructor = object.__new__(RelGANInstructor)  # without its files and logs
        instructor.gen, instructor.dis = generator, discriminator
        instructor.gen_adv_opt = torch.optim.Adam(generator.parameters(), lr=settings.gen_adv_lr)
        instructor.dis_opt = torch.optim.Adam(discriminator.parameters(), lr=settings.dis_lr)
        draw = torch.Generator().manual_seed(0)
        instructor.train_data = SimpleNamespace(
            random_batch=lambda: {"target": poems[torch.randint(len(poems), (batch_size,), generator=draw)]}
        )
        for _ in range(clock.total):
            instructor.adv_train_generator(1)
            instructor.adv_train_discriminator(1)
            clock.tick()
