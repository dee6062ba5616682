"""Any number of processes makes what one makes, for every training rule."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from clips import words_of_clips

from pictures import PICTURES, words_of_pictures
from src.parallel import launch
from src.runs.checkpoints import load_checkpoint
from src.runs.folder import RunFolder
from training import train_all
from tunes import words_of_walks

ROOT = Path(__file__).parents[2]
MODELS = sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml"))
FAST = ["cdcgan", "vae", "flow", "gpt", "text_vae", "text_gan", "autoregressive_images", "contrastive", "clip", "cyclegan"]
FAST += ["text_to_image", "text_to_image_gan", "layout_to_image"]
TINY = [
    *("debug=tiny", "trainer.threads=1", "trainer.precision=64-true", "data.batch_size=16", "evaluate=false"),
    *("checkpoint.every=1000", "validation={every: 100, samples: 32}", "samples={n: 4, per_decade: 1}"),
]
# What looks at several samples at once, draws random numbers, or carries a state.
EVERYTHING = [
    *("model=mlp_gan", "data=digits", "loss=relativistic_average"),
    "model.generator={z_dim: 8, widths: [16], batch_norm: true}",
    "model.discriminator={widths: [16, 16], spectral_norm: true}",
    "model.d_steps=2",
    "model.ema.half_life=100",
    *(
        f"+model.penalties.{name}={{_target_: src.models.gan.regularizers.Penalty, weight: 0.1, every: 2}}"
        for name in ("wgan_gp", "dragan", "lecam")
    ),
    *(
        f"+model.penalties.{name}.function={{_target_: src.models.gan.regularizers.{name}, _partial_: true}}"
        for name in ("wgan_gp", "dragan")
    ),
    "+model.penalties.lecam.function={_target_: src.models.gan.regularizers.LeCam}",
    "~model.augment",
    "+model.augment={_target_: src.models.gan.ada.ADA, policy: [shift, contrast], target: -1, every: 2, kimg: 0.1}",
]


def words_of(model: str) -> list[str]:
    if model == "everything":
        return EVERYTHING
    if model == "autoregressive_images":
        return ["model=autoregressive", "data=digits", "model.conditional=true"]
    if model == "flow":  # pairs are those of the global batch
        return ["model=flow", "data=digits", "model.conditional=true", "model.optimal_transport=true"]
    if model == "gpt":  # texts of different lengths, with sources
        settings = ["data.length=24", "data.source_length=24", "model.network={width: 32, depth: 1, heads: 2, dropout: 0.0}"]
        return ["model=gpt", "data=text_pairs", *settings]
    if model.startswith("music_"):
        dropout = [] if model == "music_gan" else ["model.network.dropout=0.0"]
        return [f"model={model}", *words_of_walks(model), *dropout]
    if model in PICTURES:
        return [f"model={model}", *words_of_pictures(model)]
    if model == "video_gan":
        return ["model=video_gan", *words_of_clips(suite=False)]
    if model == "lstm":
        text = ["data=text", f"data.path={ROOT / 'README.md'}", "data.length=24"]
        return ["model=lstm", *text, "model.network={width: 32, depth: 1, dropout: 0.0}"]
    if model in ("text_gan", "text_vae"):
        words = [f"model={model}", "data=text", f"data.path={ROOT / 'README.md'}", "data.length=24"]
        words.append("model.network={width: 32, depth: 1, heads: 2, dropout: 0.0}")
        gan = ["model.discriminator={filters: 8, dropout: 0.0}", "model.pretraining.samples=80"]  # five updates
        return [*words, *gan] if model == "text_gan" else words
    return [f"model={model}", f"data.path={ROOT / 'README.md'}" if model == "autoregressive" else "data=digits"]


def made(
    models: list[str], processes: int, steps: int, compose: Callable[..., dict[str, Any]], folder: Path, pairs: Path
) -> dict[str, dict[str, Any]]:
    """The last checkpoints of `steps` updates of each model, by so many processes."""
    runs, configs = {}, []
    for model in models:
        words = words_of(model)
        if "data=text_pairs" in words:
            words.append(f"data.path={pairs}")
        per_update = 16 * compose(*words, *TINY)["model"].get("d_steps", 1)
        runs[model] = RunFolder(folder / f"{model}-{processes}")
        words = [*words, *TINY, f"stop.samples={steps * per_update}", f"run_dir={runs[model].path}"]
        configs.append(compose(*words, f"devices={processes}", "trainer=ddp"))
    if processes == 1:
        train_all(configs)
    else:
        launch.launch(train_all, configs, processes)
    checkpoints = {model: run.newest("step") for model, run in runs.items()}
    return {model: load_checkpoint(path) for model, path in checkpoints.items() if path}


def assert_alike(models: list[str], counts: list[int], steps: int, compose: Any, folder: Path, pairs: Path) -> None:
    one = made(models, 1, steps, compose, folder, pairs)
    for processes in counts:
        several = made(models, processes, steps, compose, folder, pairs)
        for model in models:
            assert (
                several[model]["clock"]
                == one[model]["clock"]
                == {"step": steps, "samples_seen": one[model]["clock"]["samples_seen"]}
            )
            for key, tensor in one[model]["state_dict"].items():
                torch.testing.assert_close(
                    several[model]["state_dict"][key], tensor, rtol=0, atol=1e-9, msg=f"{model}, {processes} processes: {key}"
                )


def test_two_processes_make_what_one_makes(compose: Any, greetings: Path, tmp_path: Path) -> None:
    assert_alike(["everything", *FAST], [2], 10, compose, tmp_path, greetings)


@pytest.mark.slow
def test_two_and_four_processes_make_what_one_makes_with_every_model(compose: Any, greetings: Path, tmp_path: Path) -> None:
    models = [model for model in MODELS if model != "cyclegan"]
    assert_alike(["everything", "autoregressive_images", *models], [2, 4], 30, compose, tmp_path, greetings)
    # Its rounding grows tenfold every few updates: 4e-14 after 10, 5e-12 after 22, 1e-6 after 30.
    assert_alike(["cyclegan"], [2, 4], 20, compose, tmp_path, greetings)
