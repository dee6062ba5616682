"""Where scalars and pictures go: metrics.jsonl, and Lightning's loggers as the config names them."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

from src.config.errors import UserError
from src.config.experiment import Experiment
from src.modalities.clips import gif
from src.modalities.music.synth import wav
from src.training.loggers import NoRecord, Record, make_loggers, wandb_names

LINES = [{"step": step, "samples_seen": 32 * step, "loss": step / 10} for step in (5, 10, 15)]


class Noting(Logger):
    name, version = "noting", 0

    def __init__(self) -> None:
        self.told: list[tuple[int | None, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.told.append((step, metrics))

    def log_hyperparams(self, *_: Any) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a run that was killed while it wrote its fourth line."""
    text = "".join(json.dumps(line) + "\n" for line in LINES)
    (tmp_path / "metrics.jsonl").write_text(text + '{"step": 20, "sam')
    return tmp_path


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_what_is_made_again_is_dropped(folder: Path) -> None:
    logger = Noting()
    record = Record(folder, step=10, loggers=[logger])
    record.scalars(10, 320, {"loss": 1.0})  # written after the checkpoint of step 10, and now once more
    record.scalars(11, 352, {"loss": 1.1})
    record.scalars(12, 384, {"loss": 1.2}, tell=False)
    record.close()
    assert [line["step"] for line in lines(folder)] == [5, 10, 11, 12]
    # What was kept once more, as a logger's files begin anew.
    assert [step for step, _ in logger.told] == [5, 10, 11]
    assert logger.told[0] == (5, {"samples_seen": 160, "loss": 0.5})


def test_wandb_warns_of_no_setting_of_lightnings(tmp_path: Path, capfd: Any) -> None:
    make = partial(WandbLogger, mode="offline", settings={"console": "off", "silent": True})
    (logger,) = make_loggers({"wandb": make}, {}, tmp_path, tmp_path)
    logger.experiment.finish()
    assert capfd.readouterr().err == ""


def test_an_argument_that_no_logger_has(tmp_path: Path) -> None:
    def make(save_dir: Path, **more: Any) -> Logger:
        return CSVLogger(save_dir, **more, foo=3)

    with pytest.raises(UserError, match=r"logger.csv: .* unexpected keyword argument 'foo': see the arguments of this logger"):
        make_loggers({"csv": make}, {}, tmp_path / "run", tmp_path)


def test_without_a_replay(folder: Path) -> None:
    logger = Noting()
    Record(folder, step=10, loggers=[logger], replay=False).close()
    assert logger.told == []


def test_a_rank_that_writes_nothing(tmp_path: Path) -> None:
    record = NoRecord()
    record.scalars(1, 32, {"loss": 1.0})
    record.picture(1, "samples", tmp_path / "a.png")
    record.sync()
    record.close()
    assert list(tmp_path.iterdir()) == []


def made(words: list[str], folder: Path, compose: Any) -> list[Logger]:
    config = compose("model=mlp_gan", *words)
    factories = {name: Experiment(config).build("logger", name) for name in config["logger"]}
    return make_loggers(factories, config, folder, folder.parent)


def test_loggers_of_lightning_begin_anew_in_the_run_folder(tmp_path: Path, compose: Any) -> None:
    for sitting in range(2):
        (logger,) = made(["logger=csv"], tmp_path, compose)
        assert isinstance(logger, CSVLogger)
        logger.log_metrics({"loss": float(sitting)}, 1)
        logger.save()
    assert (tmp_path / "csv" / "metrics.csv").read_text().splitlines() == ["loss,step", "1.0,1"]
    assert "mlp_gan" in (tmp_path / "csv" / "hparams.yaml").read_text()
    assert made(["logger=none"], tmp_path, compose) == []


def test_a_logger_that_is_not_installed(tmp_path: Path, compose: Any) -> None:
    words = ["logger=none", "+logger.mlflow._target_=pytorch_lightning.loggers.MLFlowLogger", "+logger.mlflow._partial_=true"]
    with pytest.raises(UserError, match=r"^logger=mlflow needs a package that is not installed \(.*\): install it$"):
        made(words, tmp_path, compose)


@pytest.mark.parametrize(
    ("path", "name", "seed"),
    [
        ("runs/mlp_gan-mnist-0/3", "mlp_gan-mnist-0", "3"),
        ("runs/sweeps/one/confirm/base/3", "sweeps-one-confirm-base", "3"),  # of two sweeps there are two
        ("runs/here", "runs", "here"),
        ("else/where/3", "where", "3"),
    ],
)
def test_each_run_has_a_name_of_its_own_at_wandb(path: str, name: str, seed: str, tmp_path: Path) -> None:
    names = wandb_names(tmp_path / path, tmp_path / "runs")
    assert names == {"id": f"{name}-{seed}", "name": f"{name}/{seed}", "group": name}


def test_wandb_allows_the_id_and_gets_texts_as_tables_sounds_and_clips(tmp_path: Path, compose: Any) -> None:
    folder = tmp_path / "where#" / "it's" / "3"
    folder.mkdir(parents=True)
    (logger,) = made(["logger=wandb"], folder, compose)
    run = logger.experiment
    assert run.id == "it_s-3"
    assert run.config["model"]["_target_"] == "src.models.gan.gan.GAN"
    assert [path.name for path in folder.iterdir()] == ["wandb"]
    preview = tmp_path / "step-000000001.txt"
    preview.write_text("--- sample 1 ---\n春眠\n")
    record = Record(folder, 0, [logger])
    record.picture(1, "samples", preview)
    sound = tmp_path / "sound-000000001.wav"
    sound.write_bytes(wav(np.zeros(100, np.int16), {}))
    record.picture(1, "sound", sound)
    moving = tmp_path / "moving-000000001.gif"
    moving.write_bytes(gif(np.zeros((2, 4, 4, 1), np.uint8), 10, {}))
    record.picture(1, "moving", moving)
    record.close()
    (logged,) = folder.glob("wandb/offline-run-*/files/media/audio/*.wav")
    assert logged.read_bytes() == sound.read_bytes()
    (logged,) = folder.glob("wandb/offline-run-*/files/media/videos/*.gif")
    assert logged.read_bytes() == moving.read_bytes()
    (table,) = folder.glob("wandb/offline-run-*/files/media/table/*.json")
    assert json.loads(table.read_text())["data"] == [["1", "--- sample 1 ---\n春眠\n"]]


def test_without_a_login_it_says_what_to_do(compose: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"^W&B says: .*wandb login.*logger\.wandb\.mode=offline"):
        made(["logger=wandb", "logger.wandb.mode=online"], tmp_path, compose)


def test_wandb_follows_its_own_variables(compose: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"project": "mine", "name": "first", "run_id": "abc", "run_group": "all", "dir": str(tmp_path / "there")}
    for key, value in wanted.items():
        monkeypatch.setenv(f"WANDB_{key.upper()}", value)
    monkeypatch.setenv("WANDB_TAGS", "a,b")
    (tmp_path / "there").mkdir()
    (logger,) = made(["logger=wandb"], tmp_path, compose)
    run = logger.experiment
    assert (run.project, run.name, run.id, run.group, run.tags) == ("mine", "first", "abc", "all", ("a", "b"))
    run.finish()
    assert any((tmp_path / "there" / "wandb").glob("offline-run-*"))

    monkeypatch.setenv("WANDB_DISABLED", "true")
    (logger,) = made(["logger=wandb"], tmp_path, compose)
    assert logger.experiment.disabled
    monkeypatch.delenv("WANDB_DISABLED")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert compose("logger=wandb")["logger"]["wandb"]["mode"] == "disabled"
    monkeypatch.setenv("WANDB_MODE", "onlin")
    with pytest.raises(UserError, match=r"logger.wandb.mode=onlin is not known"):
        compose("logger=wandb")
