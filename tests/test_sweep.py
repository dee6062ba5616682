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
from dataclasses import dataclass
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
from src.search.trials import Trials
from src.sweep import check
from src.sweep import sweep as run_sweep

ROOT = Path(__file__).parent.parent
SWEEPS = sorted(path.stem for path in (ROOT / "conf" / "sweep").glob("*.yaml"))
TINY = ["model=mlp_gan", "debug=tiny", "trainer.threads=1", "evaluation.samples=64"]
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

# A data set that gets the trials' processes into trouble, each into its own.
TROUBLED = """
import os, sys
import numpy as np
from src.data.dataset import Arrays
from src.data.digits import Digits

class Troubled(Digits):
    def __init__(self, log: str, faults: dict[str, str]) -> None:
        super().__init__()
        run = next((word for word in sys.argv if word.startswith("run_dir=")), "").strip("'")
        self.log, self.fault = log, faults.get(run[-4:], "none")

    def prepare(self) -> None:
        if not sys.argv[0].endswith("train.py"):  # the sweep itself
            return
        with open(self.log, "a") as file:
            file.write(f"{os.getpid()}\\n")
        if self.fault == "raise":
            raise RuntimeError("this one went wrong")

    def split(self, name):
        split = super().split(name)
        if name != "train" or self.fault != "noise":
            return split
        return Arrays(x=np.random.RandomState(0).randint(0, 256, split["x"].shape).astype(np.uint8), y=split["y"])
"""


class Sweep:
    """A sweep in a folder of its own: its command, and what its store and its folders hold."""

    def __init__(self, folder: Path, base: list[str], faults: dict[str, str], **settings: Any) -> None:
        self.folder, self.path = folder, folder / "runs" / "sweeps" / "small"
        space = {"model.g_optimizer.lr": {"type": "float", "low": 1e-3, "high": 4e-3, "log": True}}
        config = {"name": "small", "base": [*TINY, *base], "space": space, **settings}
        source = {"_target_": "troubled.Troubled", "log": str(folder / "log"), "faults": faults}
        data = yaml.safe_load((ROOT / "conf" / "data" / "digits.yaml").read_text()) | {"source": source}
        for name, value, head in (("sweep/small", config, "# @package _global_\n"), ("data/troubled", data, "")):
            file = folder / "conf" / f"{name}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(head + yaml.safe_dump(value))
        (folder / "troubled.py").write_text(TROUBLED)
        self.environment = {"PYTHONPATH": str(folder), "AIGC_PACKAGES": "troubled", "OMP_NUM_THREADS": "1"}
        self.words = ["--config-dir", str(folder / "conf"), "sweep=small"]
        self.words += [f"paths.{kind}={folder / kind}" for kind in ("runs", "cache")]

    def start(self, *words: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "src.sweep", *self.words, *words],
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
        """How many processes of trainings have got as far as their data."""
        return len({*(self.folder / "log").read_text().splitlines()})

    def run(self, number: int) -> RunFolder:
        return RunFolder(self.path / f"{number:04d}")

    def output(self, number: int) -> str:
        return (self.run(number).path / "output.txt").read_text()


def wait(for_what: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not for_what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def config_of(run: RunFolder) -> dict[str, Any]:
    return yaml.safe_load((run.path / "config.yaml").read_text())


@dataclass
class Story:
    """A sweep of three trials in two sittings: Ctrl-C comes in the first trial, the second fails, the third is poor."""

    sweep: Sweep
    interrupted: list[FrozenTrial]  # the trials after the first sitting
    said: list[str]  # by the command in each sitting


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    base = ["data=troubled", "stop.samples=6400", "validation.every=10", "checkpoint.every=20"]
    settings = {"trials": 3, "pruner": "asha", "prune_from": 5, "startup": 1, "confirm": 1}
    sweep = Sweep(tmp_path_factory.mktemp("story"), base, {"0001": "raise", "0002": "noise"}, **settings)
    command = sweep.start()
    wait(lambda: sweep.run(0).newest("step") is not None)
    command.send_signal(signal.SIGINT)
    first, _ = command.communicate(timeout=300)
    assert command.returncode == 130, first
    interrupted = sweep.trials()
    command = sweep.start("workers=2")
    second, _ = command.communicate(timeout=600)
    assert command.returncode == 0, second
    return Story(sweep, interrupted, [first, second])


def test_an_interrupted_sweep_goes_on(story: Story) -> None:
    """The trial saves, and the same command takes it up where it was."""
    sweep = story.sweep
    (before,), first = story.interrupted, sweep.trials()[0]
    assert story.said[0].splitlines()[-1] == str(sweep.path / "report.html")  # of what there is
    assert before.state.name == "WAITING"
    assert before.user_attrs["samples"] > 0  # what it has cost so far
    assert sweep.output(0).count("SIGINT: saving and stopping") == 1
    assert sweep.output(0).count("going on from step") == 1
    assert first.params == before.params
    steps = [line["step"] for line in sweep.run(0).scalars() if "validation/fd_digits" in line]
    assert steps == list(range(10, 201, 10))


def test_trouble_costs_one_trial(story: Story) -> None:
    trials = story.sweep.trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "PRUNED"]
    reason = "RuntimeError: this one went wrong"
    assert [trial.user_attrs["reason"] for trial in trials] == ["", reason, ""]
    lines = [line for line in story.said[1].splitlines() if line.startswith("trial ")]
    assert sum(line.startswith(f"trial 1  failed  {reason}  ") for line in lines) == 1
    assert f"  best {trials[0].value:.4g} (trial 0)  3 of 3  left 0:00:00" in lines[2]


def test_a_score_is_the_best_validation(story: Story) -> None:
    first, _, last = story.sweep.trials()
    ended = story.sweep.run(0).manifest()["ended"]
    assert first.value == ended["best"] == min(first.intermediate_values.values())
    assert list(first.intermediate_values) == list(range(5, 101, 5))  # per cent of the budget
    assert ended["step"] == 200
    assert first.user_attrs["samples"] == 6400
    # Stopped at the first rung, well before its end, and by a signal that let it save and end by itself.
    assert list(last.intermediate_values) == [5]
    assert last.user_attrs["samples"] < 6400
    assert "SIGTERM: saving and stopping" in story.sweep.output(2)


def test_trials_keep_their_record_and_not_their_weights(story: Story) -> None:
    for number, trial in enumerate(story.sweep.trials()):
        run = story.sweep.run(number)
        assert not run.checkpoints.exists()
        if run.started():
            assert config_of(run)["model"]["g_optimizer"]["lr"] == trial.params["model.g_optimizer.lr"]
            assert config_of(run)["paths"]["cache"] == str(story.sweep.folder / "cache")


def test_the_winner_is_trained_on_fresh_seeds(story: Story, compose: Any) -> None:
    sweep = story.sweep
    lr = sweep.trials()[0].params["model.g_optimizer.lr"]
    recipe = compose("model=mlp_gan")["model"]["g_optimizer"]["lr"]
    for name, rate in (("mlp_gan_trial_0", lr), ("mlp_gan", recipe)):
        (path,) = (sweep.path / "confirm").glob(f"{name}-digits-????????/*")
        run = RunFolder(path)
        assert config_of(run)["seed"] == 1  # the trials' is 0
        assert config_of(run)["model"]["g_optimizer"]["lr"] == rate
        assert (run.result() or {})["metrics"]["fd_digits"] > 0


def test_the_page(story: Story) -> None:
    sweep = story.sweep
    assert story.said[1].splitlines()[-1] == str(sweep.path / "report.html")
    page = (sweep.path / "report.html").read_text()
    for words in ("small: 3 trials", "1 complete", "1 failed", "1 stopped early", "went wrong", "mlp_gan_trial_0-digits"):
        assert words in page
    assert "inconclusive: too few seeds" in page
    places = ["paths.data=data", f"paths.cache='{sweep.folder / 'cache'}'"]
    train = shlex.join(["--config-dir", str(sweep.folder / "conf"), *places, "model=mlp_gan"])
    assert html.escape(f"python -m src.train {train} debug=tiny") in page


def test_the_same_command_again_makes_nothing_again(story: Story, in_process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another seed it is another sweep, which is refused."""
    sweep = story.sweep
    before, trainings = sweep.trials(), sweep.trainings()
    monkeypatch.syspath_prepend(str(sweep.folder))
    done = in_process("sweep", *sweep.words)
    assert done.returncode == 0, done.stderr
    assert "3 of 3 trials begun" in done.stdout
    assert "trial 0  " not in done.stdout
    assert sweep.trials() == before
    done = in_process("sweep", *sweep.words, "seed=3", "stop.samples=64")
    assert done.returncode == 2, done.stderr
    assert "of another sweep (seed: 0 -> 3; stop.samples: None -> 64)" in done.stderr
    assert sweep.trainings() == trainings == 6


# Mistakes


def test_a_typo_is_answered_in_one_line_and_at_once(command: Any, no_torch: dict[str, str], tmp_path: Path) -> None:
    words = [f"paths.runs={tmp_path}", "+space={model.g_optimizer.rl: {type: float, low: 1, high: 2}}"]
    done = command("sweep", *words, env=no_torch)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: there is no setting 'model.g_optimizer.rl': did you mean model.")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["+space={data.batch_size: {type: int, low: 0, high: 8}}"], "data.batch_size=0: must be a whole number of at least 1"),
        (["+space={loss: {type: categorical, choices: [hinge, minmax]}}"], "there is no loss=minmax: did you mean minimax"),
        (["+space={loss: {type: categorical, choices: [1, hinge]}}"], "loss=1: loss takes the name of a config"),
        (["+space={los: {type: categorical, choices: [hinge, minimax]}}"], "no setting 'los': did you mean loss"),
        (["space=5"], "space=5: is a section"),
        (["base=['model=mlp_gam']"], "there is no model=mlp_gam: did you mean mlp_gan"),
        (["base=['run_dir=x']"], "leave run_dir= out"),
        (["base=[5]"], "must be a list of words"),
        (["base=['stop.samples=null']", "stop.samples=null"], "would never end"),
        (["stop.samples=null", "stop.minutes=1", "base=['stop.samples=null']"], "pruner=median compares trials"),
        (["sampler=tpee"], "sampler=tpee is not known: did you mean tpe"),
        (["prune_from=150"], "prune_from=150: must be a whole number from 1 to 99"),
        (["reduction=1"], "reduction=1: must be a whole number of at least 2"),
        (["trails=3"], "no setting 'trails': did you mean trials"),
        (["+prunner=asha"], "no setting 'prunner': did you mean pruner"),
        (["store=nowhere", "base=['model=mlp_gan','data=digits']"], "cannot open store=nowhere"),
        (["store=postgresql://me:secret@host/db"], "holds a secret"),
    ],
)
def test_mistakes(words: list[str], answer: str, in_process: Any, tmp_path: Path) -> None:
    done = in_process("sweep", f"paths.runs={tmp_path}", *words)
    assert done.returncode == 2, done.stderr
    assert answer in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("sweeps/*/0*"))


def test_a_group_that_brings_other_data_is_refused() -> None:
    space = read_space({"experiment": {"type": "categorical", "choices": ["mlp_gan", "gaussians"]}})
    words = ["experiment=mlp_gan", "stop.samples=640"]
    with pytest.raises(UserError, match=r"with experiment=gaussians data\.name is gaussians and not mnist") as error:
        check("none", words, space)
    assert len(str(error.value).splitlines()) == 1
    space = read_space({"loss": {"type": "categorical", "choices": ["hinge", "minimax"]}})
    base, ends = check("none", words, space)
    assert base["data"]["name"] == "mnist"
    assert len({*ends.values()}) == 2  # what is behind the words of a store


def run_small(folder: Path, *base: str) -> None:
    """A sweep with one parameter, in this process."""
    config = command_line.compose("sweep", [f"paths.runs={folder}"])
    space = {"data.batch_size": {"type": "int", "low": 32, "high": 64}}
    run_sweep(config | {"base": [*base], "space": space})


def test_a_database_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(trials: Trials, _: int) -> None:
        engine = trials.study._storage._backend.engine  # type: ignore[attr-defined]
        sqlalchemy.event.listen(engine, "connect", lambda connection, _: connection.execute("pragma max_page_count=1"))
        engine.dispose()
        trials.study.set_user_attr("large", "x" * 100_000)

    monkeypatch.setattr("src.search.trials.Trials.run", fail)
    with pytest.raises(UserError, match=r"does not work \(database or disk is full\): fix it and repeat the command"):
        run_small(tmp_path, "model=mlp_gan", "data=digits")


def test_a_sweep_over_own_data_goes_on_where_they_have_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("trials.Trials.run", "winner.confirm", "winner.write_page"):
        monkeypatch.setattr(f"src.search.{name}", lambda *_: None)
    book, novel = tmp_path / "book.txt", tmp_path / "novel.txt"
    book.write_text("some words " * 500)
    run_small(tmp_path, "model=autoregressive", f"data.path={book}")
    book.rename(novel)
    run_small(tmp_path, "model=autoregressive", f"data.path={novel}")
    novel.write_text("other words " * 500)
    with pytest.raises(UserError, match=r"holds a study mlp_gan_tpe of another sweep \(data.text: "):
        run_small(tmp_path, "model=autoregressive", f"data.path={novel}")


def test_help_lists_sweeps_and_settings(in_process: Any) -> None:
    answer = in_process("sweep", "--help")
    assert answer.returncode == 0
    for words in (f"  sweep=mlp_gan_tpe: {', '.join(SWEEPS)}", "  workers=1 ", "  store=null "):
        assert words in answer.stdout


# What conf/ and docs/ offer


@pytest.mark.parametrize("name", SWEEPS)
def test_every_sweep_composes_at_every_end_of_its_space(name: str, compose: Any) -> None:
    config = compose(f"sweep={name}", name="sweep")
    assert config["name"] == name
    shared = [*config["base"], *(f"stop.{key}={value}" for key, value in config["stop"].items() if value is not None)]
    base, _ = check(config["pruner"], shared, read_space(config["space"]))
    assert base["trainer"]["threads"] == 1
    assert base["stop"]["samples"] // base["data"]["batch_size"] >= 5 * base["validation"]["every"]  # a fifth: prune_from


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


@pytest.mark.slow
def test_submitit_brings_back_what_its_jobs_said(command: Any, tmp_path: Path) -> None:
    """The local executor, one process for each run: a good one leaves its result, a bad one its error and exit code 2."""
    words = [*TINY, "data=digits", "stop.samples=64", "evaluate=false", f"paths.runs={tmp_path / 'runs'}"]
    launch = ["-m", "hydra/launcher=submitit_local", f"hydra.sweep.dir={tmp_path / 'jobs'}"]
    done = command("train", *launch, *words, "data.batch_size=32,5000")
    assert done.returncode == 2, done.stderr
    assert "data.batch_size=5000 is more than the 1197 training samples" in done.stderr
    (manifest,) = (tmp_path / "runs").rglob("manifest.json")
    assert json.loads(manifest.read_text())["ended"]["step"] == 2
