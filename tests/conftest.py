"""Shared by all tests: configs composed as the command line does it, and one tiny run that many tests read."""

import contextlib
import gc
import io
import json
import os
import runpy
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import hydra
import pytest
import torch

from src.config.checks import plain, validate
from src.config.errors import UserError
from src.data.mnist import MNIST, FashionMNIST

ROOT = Path(__file__).parent.parent
CONF = str(ROOT / "conf")

os.environ["WANDB_MODE"] = "offline"
torch.set_num_threads(1)
gc.freeze()  # torch's objects stay: collections need not look at them, which saves a tenth of composing a config


@pytest.fixture(autouse=True)
def _numerics() -> None:
    """Runs, those of fixtures too, set threads and precision for the whole process: each test finds them as they were."""
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")


@pytest.fixture(scope="session")
def compose() -> Callable[..., dict[str, Any]]:
    """compose("model=mlp_gan", ...) as `python -m src.train` would see it."""

    def composed(*overrides: str, name: str = "train", nullable: tuple[str, ...] = ()) -> dict[str, Any]:
        with hydra.initialize_config_dir(CONF, version_base="1.3"):
            config = plain(hydra.compose(name, list(overrides)))
        validate(config, nullable)
        return config

    return composed


@pytest.fixture(scope="session")
def command() -> Callable[..., subprocess.CompletedProcess]:
    """command("train", "model=mlp_gan", ...): `python -m src.train ...` as a user runs it, from the repository's root."""

    def run(module: str, *words: str, **options: Any) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", f"src.{module}", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1", **options.pop("env", {})},
            timeout=300,
            **options,
        )

    return run


@pytest.fixture(scope="session")
def in_process() -> Callable[..., subprocess.CompletedProcess]:
    """As `command`, without a new process, whose imports take seconds: the same words, exit code, stdout and stderr."""

    def run(module: str, *words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
        out, err, code = io.StringIO(), io.StringIO(), 0
        with (
            mock.patch.dict(os.environ),
            mock.patch.object(sys, "argv", [module, *words]),
            contextlib.chdir(cwd),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", ".* found in sys.modules")  # runpy, of a module that tests have imported
            try:
                runpy.run_module(f"src.{module}", run_name="__main__")
            except SystemExit as end:
                code = end.code or 0
        return subprocess.CompletedProcess([module, *words], code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def no_torch(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which importing torch is a fault: the answers must come before it, and fast."""
    folder = tmp_path_factory.mktemp("trap")
    (folder / "torch.py").write_text('raise RuntimeError("torch was imported")\n')
    return {"PYTHONPATH": str(folder)}


@pytest.fixture(scope="session")
def greetings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs for data=text_pairs, of different lengths: a greeting with a name, and the greeting that answers it by name."""
    path = tmp_path_factory.mktemp("data") / "greetings.jsonl"
    names = [a + b for a in ("An", "Ber", "Cel", "Di", "E", "Fran") for b in ("a", "o", "vin", "ster", "ie")]
    pairs = [(f"{word}, I am {name}", f"{word} {name}!") for word in ("Hi", "Hello", "Good day", "Yo") for name in names]
    path.write_text("".join(json.dumps({"source": source, "target": target}) + "\n" for source, target in pairs))
    return path


@pytest.fixture(scope="session")
def tiny_run(compose: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of seconds on the 8x8 digits, with W&B offline. Read only."""
    from src.train import train

    folder = tmp_path_factory.mktemp("runs") / "tiny" / "0"
    train(compose("model=mlp_gan", "data=digits", "debug=tiny", "logger=wandb", f"run_dir={folder}", "trainer.threads=1"))
    return folder


def real(kind: type[MNIST]) -> MNIST:
    """A data set's real files in data/, got where they are missing; without a network there is nothing to test on."""
    dataset = kind(ROOT / "data" / kind.name)
    try:
        dataset.prepare()
    except UserError as error:
        pytest.skip(str(error))
    return dataset


@pytest.fixture(scope="session")
def mnist() -> MNIST:
    return real(MNIST)


@pytest.fixture(scope="session")
def fashion_mnist() -> MNIST:
    return real(FashionMNIST)
