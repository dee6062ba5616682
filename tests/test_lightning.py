"""What a user of Lightning expects: stock Trainers, callbacks, loggers, arguments of the Trainer."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from clips import words_of_clips

from pictures import PICTURES, words_of_pictures
from src.config.errors import Interrupted, UserError
from src.config.experiment import Experiment
from src.data.digits import Digits
from src.data.loader import DataModule
from src.models.model import Model
from src.runs.checkpoints import load_checkpoint
from src.runs.folder import RunFolder
from src.train import train
from tunes import words_of_walks

ROOT = Path(__file__).parent.parent
TEXT = "gpt", "lstm"  # of autoregressive's class
MODELS = sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml") if path.stem not in TEXT)
TEXTS = "autoregressive", "text_gan", "text_vae"
TINY = ["model=mlp_gan", "data=digits", "debug=tiny", "trainer.threads=1", "evaluate=false"]


@pytest.mark.parametrize("name", MODELS)
def test_a_stock_trainer_trains_every_rule(name: str, compose: Any, tmp_path: Path) -> None:
    data = ["data=text", f"data.path={ROOT / 'README.md'}"] if name in TEXTS else ["data=digits"]
    data = words_of_walks(name) if name.startswith("music_") else data
    data = words_of_pictures(name) if name in PICTURES else data
    data = words_of_clips(suite=False) if name == "video_gan" else data
    data += ["data.length=24"] if name in TEXTS[1:] else []
    data += ["model.pretraining.samples=8"] if name == "text_gan" else []  # one update
    experiment = Experiment(compose(f"model={name}", *data, "debug=tiny"))
    dataset = experiment.dataset
    model = experiment.model(dataset.spec)
    before = {key: tensor.clone() for key, tensor in model.network("raw").named_parameters()}
    trainer = pl.Trainer(
        max_epochs=1,
        limit_train_batches=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(model, datamodule=DataModule(dataset, batch_size=8, seed=0))
    assert model.step == 2
    assert trainer.global_step >= 2  # the steps of all optimizers
    assert {"step", *model.scalars()} <= trainer.callback_metrics.keys()
    assert any(not torch.equal(before[key], tensor) for key, tensor in model.network("raw").named_parameters())


def test_callbacks_and_loggers_of_the_user(compose: Any, tmp_path: Path) -> None:
    callbacks = {
        "early": "EarlyStopping, monitor: loss/generator, patience: 0, min_delta: 100",
        "rate": "LearningRateMonitor",
        "mine": f"ModelCheckpoint, monitor: validation/fd_digits, dirpath: {tmp_path / 'mine'}",
    }
    words = [f"+callbacks.{name}={{_target_: pytorch_lightning.callbacks.{text}}}" for name, text in callbacks.items()]
    run = RunFolder(tmp_path / "run")
    train(compose(*TINY, *words, "stop.samples=100000", "logger=[tensorboard,csv]", f"run_dir={run.path}"))
    ended = run.manifest()["ended"]
    assert ended["reason"] == "callback"
    samples = len(Digits().split("train"))
    assert ended["step"] == 2 * (samples // 32)  # EarlyStopping looks at the end of an epoch, which is one of the data
    assert list((tmp_path / "mine").glob("*.ckpt"))
    assert "lr-Adam" in (run.path / "csv" / "metrics.csv").read_text()
    assert list((run.path / "tensorboard").glob("events.out.tfevents.*"))
    assert any("lr-Adam" in line for line in run.scalars())
    assert load_checkpoint(run.newest("step"))["global_step"] == 2 * ended["step"]  # type: ignore[arg-type]


def test_counters_of_lightning_go_on_too(compose: Any, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    for samples in (640, 1280):
        train(compose(*TINY, f"stop.samples={samples}", f"run_dir={run.path}", "on_change=accept"))
        manifest = run.manifest()
        state = load_checkpoint(run.newest("step"))  # type: ignore[arg-type]
        assert state["global_step"] == 2 * samples // 32
        del manifest["ended"]
        (run.path / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("+trainer.max_epochs=3", r"trainer\.max_epochs: .* stop\.epochs"),
        ("+trainer.speed=3", "trainer: .*unexpected keyword argument 'speed'"),
        ("+callbacks.mine={_target_: pytorch_lightning.callbacks.EarlyStopping}", "callbacks.mine: "),
    ],
)
def test_what_a_trainer_does_not_take(word: str, message: str, compose: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        train(compose(*TINY, word, f"run_dir={tmp_path / 'run'}"))


def test_any_argument_of_the_trainer_reaches_it(compose: Any, tmp_path: Path) -> None:
    train(compose(*TINY, "+trainer.detect_anomaly=true", "+trainer.barebones=false", f"run_dir={tmp_path / 'run'}"))
    assert RunFolder(tmp_path / "run").finished()


def blocks(experiment: Experiment, updates: int) -> dict[str, torch.Tensor]:
    batch = experiment.dataset.split("train").batch(np.arange(updates * 32).reshape(updates, 32))
    return {name: torch.from_numpy(rows) for name, rows in batch.items()}


def test_autocast_may_span_a_block_of_updates(compose: Any) -> None:
    """Lightning may turn autocast's cache of weights on around a whole step: a block must not hold stale ones."""
    experiment = Experiment(compose(*TINY))
    block = blocks(experiment, 6)
    spanned, single = (experiment.model(experiment.dataset.spec) for _ in range(2))
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=True):
        spanned.train_on(block, spanned.configure_optimizers())
    optimizers = single.configure_optimizers()
    for k in range(6):
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            single.train_on({name: part[k : k + 1] for name, part in block.items()}, optimizers)
    for name, tensor in single.state_dict().items():
        assert torch.equal(spanned.state_dict()[name], tensor), name


def test_bfloat16_follows_float32(compose: Any, tmp_path: Path) -> None:
    losses = []
    for precision in ("32-true", "bf16-mixed"):
        run = RunFolder(tmp_path / precision)
        train(compose(*TINY, f"trainer.precision={precision}", f"run_dir={run.path}"))
        losses.append([line["loss/discriminator"] for line in run.scalars() if "loss/discriminator" in line])
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.03)


VAE = ["model=vae", "data=digits", "debug=tiny", "trainer.threads=1", "evaluate=false", "model.network.widths=[16]"]
EPOCH = len(Digits().split("train")) // 32  # steps


def stopped_at(step: int, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until a signal comes in this step."""
    count = Model.count

    def interrupted(self: Model, batches: Any) -> int:
        if self.step + 1 == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return count(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Model, "count", interrupted)
        with pytest.raises(Interrupted):
            train(config)


WITH_CALLBACKS = [
    *(*VAE, "checkpoint.every=7", "stop.samples=9600", "validation.every=500", "samples.per_decade=0"),
    "+callbacks.early={_target_: pytorch_lightning.callbacks.EarlyStopping, monitor: loss, patience: 2, min_delta: 60}",
    "+callbacks.mine={_target_: pytorch_lightning.callbacks.ModelCheckpoint}",
]


@pytest.fixture(scope="module")
def whole(compose: Any, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with callbacks that nothing has stopped."""
    run = RunFolder(tmp_path_factory.mktemp("whole") / "run")
    train(compose(*WITH_CALLBACKS, f"run_dir={run.path}"))
    return run


@pytest.mark.parametrize("stop", [EPOCH, EPOCH + 8, 2 * EPOCH])
def test_callbacks_go_on_as_if_nothing_had_happened(
    stop: int, whole: RunFolder, compose: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also from the end of an epoch, which is looked at by EarlyStopping and saved by ModelCheckpoint."""
    words, parts = [*WITH_CALLBACKS, f"run_dir={tmp_path / 'parts'}"], RunFolder(tmp_path / "parts")
    stopped_at(stop, compose(*words), monkeypatch)
    assert parts.newest("step") == parts.checkpoint_path("step", stop)
    train(compose(*words))
    ended = [run.manifest()["ended"] for run in (whole, parts)]
    assert ended[0]["reason"] == ended[1]["reason"] == "callback"
    assert ended[0]["step"] == ended[1]["step"] > 2 * EPOCH
    assert whole.manifest()["final_weights"] == parts.manifest()["final_weights"]


def test_checkpoints_of_the_user_are_left_alone(compose: Any, tmp_path: Path) -> None:
    mine = "{_target_: pytorch_lightning.callbacks.ModelCheckpoint, filename: 'best-{step}', save_top_k: -1}"
    run = RunFolder(tmp_path)
    train(compose(*VAE, "stop.samples=4800", f"+callbacks.mine={mine}", f"run_dir={tmp_path}"))
    theirs = sorted(path.name for path in run.checkpoints.glob("best-step=*.ckpt"))
    assert len(theirs) == 5  # epochs
    assert run.checkpoint() == run.checkpoint_path("best", run.manifest()["ended"]["best_step"])
    assert all(path.name not in theirs for path in run.own())


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("callbacks.x=EarlyStopping", "callbacks.x: must be a Lightning callback"),
        ("callbacks.x={_target_: os.getcwd}", "callbacks.x: must be a Lightning callback"),
        ("callbacks.x={_target_: pytorch_lightning.callbacks.BatchSizeFinder}", "BatchSizeFinder changes a run behind its"),
        (
            "callbacks.x={_target_: pytorch_lightning.callbacks.EarlyStopping, monitor: validation/fd_digits}",
            r"EarlyStopping says: .*not available.*exists after the first validation",
        ),
        (
            "callbacks.x={_target_: pytorch_lightning.callbacks.GradientAccumulationScheduler, scheduling: {0: 2}}",
            "GradientAccumulationScheduler says: ",
        ),
        ("logger.x=csv", "logger.x: must be settings with a _target_"),
        ("trainer.profiler=foo", "trainer: .* see pytorch_lightning.Trainer"),
    ],
)
def test_what_cannot_be_a_callback_a_logger_or_an_argument(word: str, message: str, compose: Any, tmp_path: Path) -> None:
    words = [*VAE, "stop.samples=3200", "validation.every=80"]
    with pytest.raises(UserError, match=message):
        train(compose(*words, f"+{word}", f"run_dir={tmp_path}"))


def test_a_progress_bar_of_the_user_takes_the_place_of_ours(compose: Any, tmp_path: Path, capsys: Any) -> None:
    train(compose(*VAE, "+callbacks.bar._target_=pytorch_lightning.callbacks.TQDMProgressBar", f"run_dir={tmp_path}"))
    said = capsys.readouterr()
    assert "Epoch 0" in said.out + said.err
    assert "samples/s" not in said.out
