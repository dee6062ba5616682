"""pytorch-CycleGAN-and-pix2pix as an alternative of `benchmarks.peers`: its train.py on our networks and our pictures."""

import contextlib
import itertools
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image
from torch import Tensor, nn

from benchmarks import ours
from benchmarks.family_trainers import in_new_folder
from benchmarks.timing import Clock, quiet
from benchmarks.trainers import Finished, Ticked, importing
from src.config.experiment import Experiment
from src.data.unpaired import Unpaired

CONSTANT = ["model.lr_schedule=null", "model.ema=null"]
PIX2PIX = ["model=pix2pix", *CONSTANT]
CYCLEGAN = ["model=cyclegan", *CONSTANT]
NEVER = str(10**9)
LOG = 50  # updates between logged losses, as ours


class Conditional(nn.Module):
    """Our discriminator of pictures and sources with the interface of theirs, which takes both as channels of one tensor."""

    def __init__(self, network: nn.Module, channels: int) -> None:
        super().__init__()
        self.network, self.channels = network, channels

    def forward(self, both: Tensor) -> Tensor:
        """[B, C_s + C, H, W] to logits."""
        return self.network(both[:, self.channels :], both[:, : self.channels])


class Loader(Ticked):
    """The loader of train.py, which asks for its length."""

    def __len__(self) -> int:
        return len(self.inner)  # type: ignore[arg-type]


def translation(words: list[str]) -> Callable[[Path, Clock], None]:
    """words: of our recipe, pix2pix or cyclegan, whose networks and pictures its train.py gets."""

    def run(checkout: Path, clock: Clock) -> None:
        config = ours.compose(*words)
        model, dataset = ours.build(config), Experiment(config).dataset
        source, batch = dataset.spec.fields["source"].shape[0], config["data"]["batch_size"]
        paired = config["name"] == "pix2pix"
        if paired:
            networks = [model.generator], [Conditional(model.discriminator, source)]
        else:
            networks = [model.generator.x, model.generator.source], [model.discriminator.x, model.discriminator.source]
        dataset.prepare()
        split = dataset.split("train")
        with in_new_folder() as folder, quiet():
            save(split, folder / "pictures")
            settings = [
                *("--dataroot", f"{folder}/pictures", "--checkpoints_dir", f"{folder}/runs", "--gpu_ids", "-1"),
                *("--model", "pix2pix" if paired else "cycle_gan", "--gan_mode", "vanilla" if paired else "lsgan"),
                *("--input_nc", str(source), "--output_nc", str(dataset.spec.shape[0]), "--batch_size", str(batch)),
                *("--preprocess", "none", "--no_flip", "--num_threads", "0", "--print_freq", str(LOG * batch)),
                *("--display_id", "0", "--no_html", "--display_freq", NEVER, "--save_latest_freq", NEVER),
                *([] if paired else ["--lambda_identity", "0"]),  # it refuses another value for kinds of other channels
            ]
            script = str(checkout / "train.py")
            html = mock.MagicMock()  # of pages that --no_html does not write
            with importing(checkout, **{"dominate": html, "dominate.tags": html}):
                import data
                from models import networks as theirs

                create = data.create_dataset
                with (
                    mock.patch.object(theirs, "define_G", side_effect=networks[0]),
                    mock.patch.object(theirs, "define_D", side_effect=networks[1]),
                    mock.patch.object(data, "create_dataset", lambda options: Loader(create(options), clock)),
                    mock.patch.object(sys, "argv", [script, *settings]),
                    contextlib.suppress(Finished),
                ):
                    runpy.run_path(script, run_name="__main__")

    return run


def save(split: object, folder: Path, most: int = 400) -> None:
    """The first pictures of a split as PNGs: trainA and trainB, or pairs side by side in train."""
    if isinstance(split, Unpaired):
        kinds = {"trainA": split.source, "trainB": split.x}
    else:
        batch = split.batch(np.arange(min(most, len(split))))  # type: ignore[attr-defined]
        channels = batch["x"].shape[1]
        kinds = {"train": np.concatenate([batch["source"].repeat(channels // batch["source"].shape[1], 1), batch["x"]], axis=3)}
    for name, pictures in kinds.items():
        (folder / name).mkdir(parents=True)
        for number, picture in enumerate(itertools.islice(pictures, most)):
            Image.fromarray(picture.transpose(1, 2, 0).squeeze()).save(folder / name / f"{number:04d}.png")
