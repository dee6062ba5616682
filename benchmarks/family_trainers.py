"""Alternatives of `benchmarks.peers` for VAEs, autoregressive models and diffusion; see benchmarks/trainers.py.

Networks come from our recipe where the trainer takes one, so that they are equal on both sides.
"""

import contextlib
import io
import pickle
import runpy
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks import ours
from benchmarks.timing import Clock
from benchmarks.trainers import Finished, Ticked, importing, ticking
from src.config.experiment import Experiment

DIFFUSION = ["model=diffusion", "model.lr_schedule=null"]
BINARY_VAE = ["experiment=binary_vae", "model.lr_schedule=null", "model.ema=null"]
TEXT = "README.md"
BATCH, LENGTH, DEPTH, HEADS, WIDTH = 12, 64, 4, 4, 128  # nanoGPT's README: "I only have a macbook"
LETTERS = [
    *("model=autoregressive", f"data.path={TEXT}", f"data.length={LENGTH}", f"data.batch_size={BATCH}", "model.ema=null"),
    *(f"model.network.{name}={value}" for name, value in (("depth", DEPTH), ("heads", HEADS), ("width", WIDTH))),
]


@contextlib.contextmanager
def in_new_folder() -> Iterator[Path]:
    """A temporary working directory; what is written to standard error is discarded, like standard output by `ours`."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), contextlib.redirect_stderr(io.StringIO()):
        yield Path(folder)


def denoising_diffusion(checkout: Path, clock: Clock, loaders: int | None = None) -> None:
    """Its Trainer with its ElucidatedDiffusion, which is EDM, on our U-Net and a folder of MNIST's digits as PNGs.

    loaders: processes that read the images; None for one per core, as it does.
    """
    config = ours.compose(*DIFFUSION)
    model, batch = ours.build(config), config["data"]["batch_size"]
    images = Experiment(config).dataset.split("train")["x"]
    with in_new_folder() as folder, importing(checkout), contextlib.ExitStack() as stack:
        from denoising_diffusion_pytorch import ElucidatedDiffusion, Trainer, denoising_diffusion_pytorch

        if loaders is not None:
            stack.enter_context(mock.patch.object(denoising_diffusion_pytorch, "cpu_count", return_value=loaders))
        save_images(images[: (clock.total + 10) * batch], folder / "images")
        side = model.spec.shape[1]
        rule = ElucidatedDiffusion(TheirUNet(model.learner), image_size=side, channels=1, sigma_data=model.sigma_data)
        rule.is_ddim_sampling = False  # its Trainer asks for it
        trainer = Trainer(
            rule,
            folder / "images",
            train_batch_size=batch,
            train_lr=config["model"]["optimizer"]["lr"],
            train_num_steps=clock.total + 1,
            augment_horizontal_flip=False,
            save_and_sample_every=10**9,
            calculate_fid=False,
        )
        trainer.dl = iter(Ticked(trainer.dl, clock))
        with contextlib.suppress(Finished):
            trainer.train()


class TheirUNet(nn.Module):
    """Our U-Net with the interface of theirs."""

    random_or_learned_sinusoidal_cond, self_condition = True, False

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, time: Tensor, x_self_cond: None = None) -> Tensor:
        """x [B, C, H, W] and time [B] to [B, C, H, W]."""
        return self.network(x, time)


def save_images(images: np.ndarray, folder: Path) -> None:
    """Grey images, uint8 [N, 1, H, W], as PNGs in a new folder."""
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image[0]).save(folder / f"{number:05d}.png")


def pythae(checkout: Path, clock: Clock) -> None:
    """Its BaseTrainer with its VAE, on the encoder and the decoder of experiment=binary_vae and its data."""
    config = ours.compose(*BINARY_VAE)
    model = ours.build(config)
    encoder, decoder = model.learner.encoder, model.learner.decoder
    split = Experiment(config).dataset.split("train")
    images = torch.from_numpy(split["x"] / np.float32(255))
    with in_new_folder() as folder, importing(checkout / "src"):
        from pythae.data.datasets import BaseDataset
        from pythae.models import VAE, VAEConfig
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder, BaseEncoder
        from pythae.trainers import BaseTrainer, BaseTrainerConfig
        from pythae.trainers.training_callbacks import TrainingCallback

        class Encoder(BaseEncoder):
            def __init__(self) -> None:
                super().__init__()
                self.network = encoder

            def forward(self, x: Tensor) -> ModelOutput:
                mean, log_variance = self.network(x)
                return ModelOutput(embedding=mean, log_covariance=log_variance)

        class Decoder(BaseDecoder):
            def __init__(self) -> None:
                super().__init__()
                self.network = decoder

            def forward(self, z: Tensor) -> ModelOutput:
                return ModelOutput(reconstruction=self.network.parameters_of(z).sigmoid())

        class Ticks(TrainingCallback):
            def on_train_step_end(self, *_: object, **__: object) -> None:
                clock.tick()
                if len(clock.ticks) == clock.total:
                    raise Finished

        settings = BaseTrainerConfig(
            output_dir=str(folder),
            per_device_train_batch_size=config["data"]["batch_size"],
            learning_rate=config["model"]["optimizer"]["lr"],
            no_cuda=True,
        )
        shape, z_dim = model.spec.shape, decoder.z_dim
        rule = VAE(VAEConfig(input_dim=shape, latent_dim=z_dim, reconstruction_loss="bce"), Encoder(), Decoder())
        data = BaseDataset(images, torch.from_numpy(split["y"]))
        trainer = BaseTrainer(rule, data, training_config=settings, callbacks=[Ticks()])
        with contextlib.suppress(Finished):
            trainer.train()


def nanogpt(checkout: Path, clock: Clock) -> None:
    """Its train.py with the settings that its README has for a CPU, on our text, encoded as in its prepare.py."""
    text = (ours.ROOT / TEXT).read_text()
    with in_new_folder() as folder:
        data = folder / "data" / "text"
        data.mkdir(parents=True)
        symbols = sorted(set(text))
        numbers = np.array([symbols.index(symbol) for symbol in text], np.uint16)
        for name, part in (("train", numbers[: int(0.9 * len(numbers))]), ("val", numbers[int(0.9 * len(numbers)) :])):
            part.tofile(data / f"{name}.bin")
        (data / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": len(symbols)}))
        (folder / "configurator.py").symlink_to(checkout / "configurator.py")
        settings = (
            f"--dataset=text --out_dir={folder} --eval_interval={10**9} --eval_iters=1 --gradient_accumulation_steps=1 "
            f"--block_size={LENGTH} --batch_size={BATCH} --n_layer={DEPTH} --n_head={HEADS} --n_embd={WIDTH} "
            "--bias=True --device=cpu --dtype=float32 --compile=False"
        )
        words = [script := str(checkout / "train.py"), *settings.split()]
        with importing(checkout), mock.patch.object(sys, "argv", words), ticking(clock, "iter "):
            runpy.run_path(script, run_name="__main__")
