"""Whole sweeps, small, with real trials: trouble costs one trial, an interruption costs nothing; and mistakes, in one line."""

import html
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
import yaml
from optuna.trial import FrozenTrial

from src.config import command_line
from src.config.errors import UserError
from src.runs.folder import RunFolder
from src.search.space import read_space
from src.search.study import numbered_trials
from src.sweep import check, check_settings, group_names
from src.sweep import sweep as run_sweep

ROOT = Path(__file__).parent.parent
SWEEPS = sorted(path.stem for path in (ROOT / "conf" / "sweep").glob("*.yaml"))
TINY = ["model=mlp_gan", "debug=tiny", "trainer.threads=1", "evaluation.samples=64"]
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

# A data set that gets its process into trouble: into another kind of it each time that one starts.
TROUBLED = """
import os, signal, sys
import numpy as np
from src.data.dataset import Arrays
from src.data.digits import Digits

class Troubled(Digits):
    def __init__(self, log: str, faults: list[str]) -> None:
        super().__init__()
        self.log, self.faults, self.train, self.prepared = log, faults, None, False

    def prepare(self) -> None:
        if self.prepared or not sys.argv[0].endswith("train.py"):  # the sweep itself
            return
        self.prepared = True
        with open(self.log, "a+") as file:
            file.write("started\\n")
            file.seek(0)
            number = len(file.readlines()) - 1
        fault = self.faults[number] if number < len(self.faults) else "none"
        if fault == "raise":
            raise RuntimeError("this one went wrong")
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        shape = super().split("train")["x"].shape
        if fault == "noise":
            self.train = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)

    def split(self, name):
        split = super().split(name)
        return Arrays(x=self.train, y=split["y"]) if name == "train" and self.train is not None else split
"""


class Sweep:
    """A sweep in a folder of its own: its command, and what its store and its folders hold."""

    def __init__(self, folder: Path, base: list[str], faults: list[str] | None = None, **settings: Any) -> None:
        self.folder, self.path = folder, folder / "runs" / "sweeps" / "small"
        space = {"model.g_optimizer.lr": {"type": "float", "low": 1e-3, "high": 4e-3, "log": True}}
        config = {"name": "small", "base": [*TINY, *base], "space": space, **settings}
        source = {"_target_": "troubled.Troubled", "log": str(folder / "log"), "faults": faults or []}
        data = yaml.safe_load((ROOT / "conf" / "data" / "digits.yaml").read_text()) | {"source": source}
        for name, value, head in (("sweep/small", config, "# @package _global_\n"), ("data/troubled", data, "")):
            file = folder / "conf" / f"{name}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(head + yaml.safe_dump(value))
        (folder / "troubled.py").write_text(TROUBLED)
        self.environment = {"PYTHONPATH": str(folder), "AIGC_PACKAGES": "troubled", "OMP_NUM_THREADS": "1"}

    def words(self, *words: str) -> list[str]:
        places = [f"paths.{kind}={self.folder / kind}" for kind in ("runs", "cache")]
        return ["--config-dir", str(self.folder / "conf"), "sweep=small", *places, *words]

    def start(self, *words: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "src.sweep", *self.words(*words)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | self.environment,
        )

    def trials(self) -> list[FrozenTrial]:
        study = optuna.load_study(study_name="small", storage=f"sqlite:///{self.path}/study.db")
        return [*numbered_trials(study).values()]

    def trainings(self) -> int:
        """How many trainings have got as far as their data."""
        return len((self.folder / "log").read_text().splitlines())

    def output(self, number: int) -> str:
        return (self.path / f"{number:04d}" / "output.txt").read_text()

    def steps(self, number: int) -> list[int]:
        """Of the checkpoints of a trial."""
        return [int(path.stem[5:]) for path in (self.path / f"{number:04d}" / "checkpoints").glob("step-*.ckpt")]


def wait(for_what: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not for_what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def config_of(run: RunFolder) -> dict[str, Any]:
    return yaml.safe_load((run.path / "config.yaml").read_text())


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sweep, str]:
    """A finished sweep of four trials, of which the first comes through and the last is stopped, and what its command said."""
    base = ["data=troubled", "stop.samples=3200", "validation.every=5", "checkpoint.every=50"]
    faults = ["none", "raise", "kill", "noise"]
    settings = {"trials": len(faults), "pruner": "asha", "prune_from": 5, "startup": 1, "confirm": 1}
    sweep = Sweep(tmp_path_factory.mktemp("troubled"), base, faults, **settings)
    process = sweep.start()
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    return sweep, said


def test_trouble_costs_one_trial(troubled: tuple[Sweep, str]) -> None:
    sweep, said = troubled
    trials = sweep.trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "FAIL", "PRUNED"]
    reasons = [trial.user_attrs["reason"] for trial in trials]
    assert reasons[:3] == ["", "RuntimeError: this one went wrong", "killed by Killed (out of memory?)"]
    lines = [line for line in said.splitlines() if line.startswith("trial ")]
    for number, (line, reason) in enumerate(zip(lines, reasons[:3], strict=False)):
        assert line.startswith(f"trial {number}  ")
        assert reason in line
        assert f"best {trials[0].value:.4g} (trial 0)  {number + 1} of 4  left 0:" in line


def test_a_score_is_the_best_validation(troubled: tuple[Sweep, str]) -> None:
    sweep, _ = troubled
    first, *_, last = sweep.trials()
    ended = RunFolder(sweep.path / "0000").manifest()["ended"]
    assert first.value == ended["best"] == min(first.intermediate_values.values())
    assert list(first.intermediate_values) == list(range(5, 101, 5))  # per cent of the budget
    assert ended["step"] == 100
    assert first.user_attrs["samples"] == 3200
    # Stopped at the first rung, well before its end, and by a signal that let it save and end by itself.
    assert list(last.intermediate_values) == [5]
    assert last.user_attrs["samples"] < 3200
    assert "SIGTERM: saving and stopping" in sweep.output(3)


def test_trials_keep_their_record_and_not_their_weights(troubled: tuple[Sweep, str]) -> None:
    sweep, _ = troubled
    for number, trial in enumerate(sweep.trials()):
        run = RunFolder(sweep.path / f"{number:04d}")
        assert not run.checkpoints.exists()
        if run.started():
            assert config_of(run)["model"]["g_optimizer"]["lr"] == trial.params["model.g_optimizer.lr"]
            assert config_of(run)["paths"]["cache"] == str(sweep.folder / "cache")


def test_the_winner_is_trained_on_fresh_seeds(troubled: tuple[Sweep, str], compose: Any) -> None:
    sweep, _ = troubled
    lr = sweep.trials()[0].params["model.g_optimizer.lr"]
    recipe = compose("model=mlp_gan")["model"]["g_optimizer"]["lr"]
    for name, rate in (("mlp_gan_trial_0", lr), ("mlp_gan", recipe)):
        (path,) = (sweep.path / "confirm").glob(f"{name}-digits-????????/*")
        run = RunFolder(path)
        assert config_of(run)["seed"] == 1  # the trials' is 0
        assert config_of(run)["model"]["g_optimizer"]["lr"] == rate
        assert (run.result() or {})["metrics"]["fd_digits"] > 0
    assert sweep.trainings() == len(sweep.trials()) + 2


def test_the_page(troubled: tuple[Sweep, str]) -> None:
    sweep, said = troubled
    assert said.splitlines()[-1] == str(sweep.path / "report.html")
    page = (sweep.path / "report.html").read_text()
    for words in (
        "small: 4 trials",
        "1 complete",
        "2 failed",
        "1 stopped early",
        "this one went wrong",
        "mlp_gan_trial_0-digits",
    ):
        assert words in page
    assert "inconclusive: too few seeds" in page
    assert f"python -m src.train --config-dir {sweep.folder / 'conf'} model=mlp_gan" in page
    place = shlex.quote(f"paths.cache='{sweep.folder / 'cache'}'")  # not where it is by default, as that of the data
    assert f"{html.escape(place)} model.g_optimizer.lr=" in page


def test_the_same_command_again_makes_nothing_again(troubled: tuple[Sweep, str]) -> None:
    sweep, _ = troubled
    before = sweep.trials()
    process = sweep.start()
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    assert "4 of 4 trials begun" in said
    assert "trial 0  " not in said
    assert sweep.trainings() == len(before) + 2
    assert sweep.trials() == before


def test_an_interrupted_sweep_goes_on(tmp_path: Path) -> None:
    """Ctrl-C with two workers: both trials save, and the same command takes both up where they were."""
    base = ["data=digits", "stop.samples=32000", "checkpoint.every=25", "validation.every=500"]
    sweep = Sweep(tmp_path, base, trials=2, workers=2, confirm=0, pruner="median", startup=2)
    command = sweep.start()
    wait(lambda: bool(sweep.steps(0)) and bool(sweep.steps(1)))
    command.send_signal(signal.SIGINT)
    said, _ = command.communicate(timeout=300)
    assert command.returncode == 130, said
    assert said.splitlines()[-1] == str(sweep.path / "report.html")  # of what there is
    interrupted = sweep.trials()
    assert [trial.state.name for trial in interrupted] == ["WAITING", "WAITING"]
    for number in (0, 1):
        assert sweep.output(number).count("SIGINT: saving and stopping") == 1
        assert interrupted[number].user_attrs["samples"] > 0  # what it has cost so far

    command = sweep.start()
    said, _ = command.communicate(timeout=600)
    assert command.returncode == 0, said
    trials = sweep.trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE"]
    assert [trial.params for trial in trials] == [trial.params for trial in interrupted]
    for number, trial in enumerate(trials):
        assert sweep.output(number).count("going on from step") == 1
        run = RunFolder(sweep.path / f"{number:04d}")
        assert run.manifest()["ended"]["step"] == 1000
        lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines if "validation/fd_digits" in line] == [500, 1000]
        assert list(trial.intermediate_values) == [50, 100]


# Mistakes


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["+space={model.g_optimizer.rl: {type: float, low: 1, high: 2}}"], "no setting 'model.g_optimizer.rl': did you mean"),
        (["+space={data.batch_size: {type: int, low: 0, high: 8}}"], "data.batch_size=0: must be a whole number of at least 1"),
        (["+space={loss: {type: categorical, choices: [hinge, minmax]}}"], "there is no loss=minmax: did you mean minimax"),
        (["base=['model=mlp_gam']"], "there is no model=mlp_gam: did you mean mlp_gan"),
        (["base=['stop.samples=null']", "stop.samples=null"], "would never end"),
        (["stop.samples=null", "stop.minutes=1", "base=['stop.samples=null']"], "pruner=median compares trials"),
        (["sampler=tpee"], "sampler=tpee is not known: did you mean tpe"),
        (["trails=3"], "no setting 'trails': did you mean trials"),
        (["store=nowhere", "base=['model=mlp_gan','data=digits']"], "cannot open store=nowhere"),
        (["store=postgresql://me:secret@host/db"], "holds a secret"),
    ],
)
def test_mistakes(words: list[str], answer: str, command: Any, no_torch: dict[str, str], tmp_path: Path) -> None:
    done = command("sweep", f"paths.runs={tmp_path}", *words, env=no_torch)
    assert done.returncode == 2, done.stderr
    assert answer in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("sweeps/*/0*"))


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        *((f"base={base}", "must be a list of words") for base in ("[5]", "[{validation.every:400}]", "model", "null")),
        *((f"base=['{word}']", "leave") for word in ("run_dir=x", "+fresh=true", "on_change=accept", "publish=x")),
        ("space=5", "space=5: must be a mapping"),
        ("stop=5", "stop=5: must be a mapping"),
        ("prune_from=150", "prune_from=150: must be a whole number from 1 to 99"),
        ("reduction=1", "reduction=1: must be a whole number of at least 2"),
        ("+prunner=asha", "there is no setting 'prunner' of a sweep: did you mean pruner"),
        ("+worker=2", "there is no setting 'worker' of a sweep: did you mean workers"),
    ],
)
def test_settings_that_make_no_sense(words: str, answer: str, compose: Any) -> None:
    config = compose("sweep=mlp_gan_tpe", words, name="sweep")
    with pytest.raises(UserError, match=answer) as error:
        check_settings(config)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("key", "entry", "answer"),
    [
        ("experiment", {"type": "categorical", "choices": [None, "zoo_dcgan"]}, "experiment is a config group"),
        ("loss", {"type": "categorical", "choices": [1, "hinge"]}, "loss is a config group"),
        ("model", {"type": "float", "low": 0.1, "high": 1.0}, "model is a config group"),
        ("sweep", {"type": "categorical", "choices": ["mlp_gan_tpe", "zoo_asha"]}, "no setting 'sweep'"),
    ],
)
def test_groups_that_cannot_be_searched(key: str, entry: dict[str, Any], answer: str) -> None:
    with pytest.raises(UserError, match=answer):
        check({"pruner": "none"}, ["model=mlp_gan", "stop.samples=640"], read_space({key: entry}))


def test_a_group_that_brings_other_data_is_refused() -> None:
    space = read_space({"experiment": {"type": "categorical", "choices": ["mlp_gan", "gaussians"]}})
    words = ["experiment=mlp_gan", "stop.samples=640"]
    with pytest.raises(UserError, match=r"with experiment=gaussians data\.name is gaussians and not mnist") as error:
        check({"pruner": "none"}, words, space)
    assert len(str(error.value).splitlines()) == 1
    space = read_space({"loss": {"type": "categorical", "choices": ["hinge", "minimax"]}})
    base, ends = check({"pruner": "none"}, words, space)
    assert base["data"]["name"] == "mnist"
    assert len({*ends.values()}) == 2  # what is behind the words of a store


def test_a_database_that_fails_is_quoted(compose: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any, trials: Any, *__: Any) -> None:
        engine = trials.study._storage._backend.engine
        sqlalchemy.event.listen(engine, "connect", lambda connection, _: connection.execute("pragma max_page_count=1"))
        engine.dispose()
        trials.study.set_user_attr("large", "x" * 100_000)

    monkeypatch.setattr("src.sweep.search", fail)
    with pytest.raises(UserError, match=r"does not work \(database or disk is full\): fix it and repeat the command"):
        run_sweep(compose("sweep=mlp_gan_tpe", "base=['model=mlp_gan','data=digits']", f"paths.runs={tmp_path}", name="sweep"))


def test_a_sweep_over_own_data_goes_on_where_they_have_moved(
    compose: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.sweep.search", lambda *_: None)
    monkeypatch.setattr("src.sweep.write_report", lambda *_: tmp_path)

    space = {"type": "float", "low": 1e-4, "high": 1e-3}

    def run(name: str) -> None:
        base = f"base=['model=autoregressive','data.path={tmp_path}/{name}']"
        config = compose("sweep=mlp_gan_tpe", base, f"paths.runs={tmp_path}", name="sweep")
        run_sweep(config | {"space": {"model.optimizer.lr": space}})

    (tmp_path / "book.txt").write_text("some words " * 500)
    run("book.txt")
    (tmp_path / "book.txt").rename(tmp_path / "novel.txt")
    run("novel.txt")
    (tmp_path / "novel.txt").write_text("other words " * 500)
    with pytest.raises(UserError, match=r"holds a study mlp_gan_tpe of another sweep \(data.text: "):
        run("novel.txt")


def test_a_failure_is_not_hidden_by_that_of_the_page(compose: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise UserError("what went wrong first")

    monkeypatch.setattr("src.sweep.search", fail)
    (tmp_path / "sweeps" / "mlp_gan_tpe" / "report.html").mkdir(parents=True)
    with pytest.raises(UserError, match="what went wrong first"):
        run_sweep(compose("sweep=mlp_gan_tpe", "base=['model=mlp_gan','data=digits']", f"paths.runs={tmp_path}", name="sweep"))


def test_a_store_of_another_sweep_is_refused(troubled: tuple[Sweep, str], command: Any, no_torch: dict[str, str]) -> None:
    sweep, _ = troubled
    path = f"{no_torch['PYTHONPATH']}:{sweep.folder}"
    environment = sweep.environment | {"PYTHONPATH": path}
    done = command("sweep", *sweep.words("seed=3", "stop.samples=6400"), env=environment)
    assert done.returncode == 2, done.stderr
    assert "of another sweep (seed: 0 -> 3; stop.samples: None -> 6400)" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_help_needs_no_torch(command: Any, no_torch: dict[str, str]) -> None:
    answer = command("sweep", "--help", env=no_torch)
    assert answer.returncode == 0
    assert all(
        f"sweep: {', '.join(SWEEPS)}" in answer.stdout and word in answer.stdout for word in ("workers: 1", "store: null")
    )


# What conf/ and docs/ offer


@pytest.mark.parametrize("name", SWEEPS)
def test_every_sweep_composes_at_every_end_of_its_space(name: str, compose: Any) -> None:
    config = compose(f"sweep={name}", name="sweep")
    assert config["name"] == name
    shared = [*config["base"], *(f"stop.{key}={value}" for key, value in config["stop"].items() if value is not None)]
    base, _ = check(config, shared, read_space(config["space"]))
    assert base["trainer"]["threads"] == 1
    assert base["stop"]["samples"] // base["data"]["batch_size"] >= 5 * base["validation"]["every"]  # a fifth: prune_from


def test_the_page_names_the_groups_of_the_base_recipe() -> None:
    found = group_names(["experiment=zoo_dcgan", "loss=hinge"])
    assert [found[group] for group in ("experiment", "model", "loss")] == ["zoo_dcgan", "dcgan", "hinge"]
    found = group_names(["model=mlp_gan"])
    assert [found[group] for group in ("experiment", "loss")] == ["-", "non_saturating"]


def test_the_command_of_the_wandb_sweep_composes() -> None:
    """Put together as W&B's agent does it, with values as its server sends them."""
    from wandb.sdk.launch.sweeps import utils

    sweep = yaml.safe_load((ROOT / "docs" / "wandb_sweep.yaml").read_text())
    for end in ("min", "max"):
        values = {key: value.get(end, value.get("values", [0])[0]) for key, value in sweep["parameters"].items()}
        variables = utils.create_sweep_command_args({"args": {key: {"value": value} for key, value in values.items()}})
        variables |= {"env": ["/usr/bin/env"]}
        words: list[str] = []
        for word in utils.create_sweep_command(sweep["command"]):
            words += variables[word[2:-1]] if word.startswith("${") else [word]
        assert words[:4] == ["/usr/bin/env", "python", "-m", "src.train"]
        config = command_line.compose("train", words[4:])
        assert config["model"]["generator"]["z_dim"] == values["model.generator.z_dim"]
        assert config["model"]["penalties"]["r1"]["weight"] == values["model.penalties.r1.weight"]
    assert sweep["metric"]["name"] == f"validation/fd_{config['evaluation']['extractor']}"


def test_slurm_composes_and_says_where_it_is_missing(command: Any) -> None:
    import hydra

    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        launcher = hydra.compose("train", ["hydra/launcher=slurm"], return_hydra_config=True).hydra.launcher
    assert launcher._target_.endswith("SlurmLauncher")
    assert launcher.max_num_timeout == 5
    done = command("train", "-m", "hydra/launcher=slurm", "seed=0,1", env={"PATH": "/nowhere"})
    assert done.returncode == 2, done.stderr
    assert "needs SLURM" in done.stderr


def test_submitit_brings_back_what_its_jobs_said(command: Any, tmp_path: Path) -> None:
    """The local executor, one process for each run: a good one leaves its result, a bad one its error and exit code 2."""
    words = [*TINY, "data=digits", "stop.samples=64", "evaluate=false", f"paths.runs={tmp_path / 'runs'}"]
    launch = ["-m", "hydra/launcher=submitit_local", f"hydra.sweep.dir={tmp_path / 'jobs'}"]
    done = command("train", *launch, *words, "data.batch_size=32,5000")
    assert done.returncode == 2, done.stderr
    assert "data.batch_size=5000 is more than the 1197 training samples" in done.stderr
    (manifest,) = (tmp_path / "runs").rglob("manifest.json")
    assert json.loads(manifest.read_text())["ended"]["step"] == 2
