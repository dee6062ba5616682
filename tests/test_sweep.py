"""Whole sweeps, small, with real trials: trouble that costs one trial, kills that cost nothing, two commands on one store."""

import getpass
import html
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
import sqlalchemy
import yaml
from optuna.trial import FrozenTrial

from src.config import command_line
from src.config.errors import UserError
from src.runs.folder import RunFolder
from src.search.space import read_space
from src.sweep import check, check_settings, group_names, recipe
from src.sweep import sweep as run_sweep

ROOT = Path(__file__).parent.parent
SWEEPS = sorted(path.stem for path in (ROOT / "conf" / "sweep").glob("*.yaml"))
TINY = ["model=mlp_gan", "debug=tiny", "trainer.threads=1", "evaluation.samples=64"]

# A data set that gets its process into trouble: into another kind of it each time that one starts.
TROUBLED = """
import os, signal, sys
import numpy as np
from src.data.digits import Digits

class Troubled(Digits):
    def __init__(self, log: str, faults: list[str], group: str | None) -> None:
        super().__init__()
        self.log, self.faults, self.group, self.train = log, faults, group, None

    def prepare(self) -> None:
        if not sys.argv[0].endswith("train.py"):  # the sweep itself
            return
        with open(self.log, "a+") as file:
            file.write("started\\n")
            file.seek(0)
            number = len(file.readlines()) - 1
        fault = self.faults[number] if number < len(self.faults) else "none"
        if fault == "raise":
            raise RuntimeError("this one went wrong")
        if fault.startswith("exit"):
            sys.exit(int(fault[4:]))
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "memory":  # more than any machine has
            import torch
            torch.empty(10**18, dtype=torch.uint8)
        if fault == "oom" and self.group:  # more than the group may have, page by page
            with open(self.group + "/cgroup.procs", "w") as file:
                file.write(str(os.getpid()))
            taken = [np.ones(10**7) for _ in range(1000)]
        shape = super().split("train").x.shape
        if fault == "noise":
            self.train = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)
        if fault == "nan":
            self.train = np.full(shape, np.nan, np.float32)

    def split(self, name):
        split = super().split(name)
        return split._replace(x=self.train) if name == "train" and self.train is not None else split
"""


class Sweep:
    """A sweep in a folder of its own: its command, and what its store and its folders hold."""

    def __init__(
        self, folder: Path, base: list[str], faults: list[str] | None = None, group: Path | None = None, **settings: Any
    ) -> None:
        self.folder, self.path = folder, folder / "runs" / "sweeps" / "small"
        self.store = f"sqlite:///{self.path}/study.db"
        space = {"model.g_optimizer.lr": {"type": "float", "low": 1e-3, "high": 4e-3, "log": True}}
        config = {"name": "small", "base": [*TINY, *base], "space": space, **settings}
        source = {"_target_": "troubled.Troubled", "log": str(folder / "log"), "faults": faults or []}
        source["group"] = group and str(group)
        data = {"name": "digits", "batch_size": 32, "workers": 0, "extractor": "digits", "source": source}
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

    def trials(self, store: Any = None) -> list[FrozenTrial]:
        return optuna.load_study(study_name="small", storage=store or self.store).trials

    def trainings(self) -> int:
        """How many trainings have got as far as their data."""
        return len((self.folder / "log").read_text().splitlines())

    def output(self, number: int) -> str:
        return (self.path / f"{number:04d}" / "output.txt").read_text()

    def steps(self, number: int) -> list[int]:
        """Of the checkpoints of a trial."""
        return [int(path.stem[5:]) for path in (self.path / f"{number:04d}" / "checkpoints").glob("step-*.ckpt")]


def wait(for_what: Callable[[], bool], seconds: float = 900) -> None:
    end = time.monotonic() + seconds
    while not for_what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def config_of(run: RunFolder) -> dict[str, Any]:
    return yaml.safe_load((run.path / "config.yaml").read_text())


@pytest.fixture(scope="module")
def group() -> Iterator[Path | None]:
    """A control group whose processes may take 300 MB together; None where such cannot be made."""
    old = Path("/sys/fs/cgroup/memory")
    path = (old if old.is_dir() else old.parent) / f"aigc_lab_test_{os.getpid()}"
    limit = path / ("memory.limit_in_bytes" if old.is_dir() else "memory.max")
    try:
        path.mkdir()
        with limit.open("r+") as file:  # not made by this, where these are no control groups
            file.write("300M")
    except OSError:
        yield None
    else:
        yield path
    finally:
        if path.is_dir():
            path.rmdir()


def killed_for_memory(group: Path) -> int:
    """How many of its processes the kernel has killed."""
    file = next(path for name in ("memory.oom_control", "memory.events") if (path := group / name).is_file())
    return int(dict(line.split() for line in file.read_text().splitlines())["oom_kill"])


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory, group: Path | None) -> tuple[Sweep, str]:
    """A finished sweep of eight trials and, where memory can be limited, one more before the last; what its command said.

    The first comes through.
    """
    base = ["data=troubled", "stop.images=3200", "validation.every=5", "checkpoint.every=50"]
    faults = ["none", "raise", "exit3", "kill", "exit0", "nan", "memory", *(["oom"] if group else []), "noise"]
    settings = {"trials": len(faults), "pruner": "asha", "prune_from": 5, "startup": 1, "confirm": 1}
    sweep = Sweep(tmp_path_factory.mktemp("troubled"), base, faults, group, **settings)
    process = sweep.start()
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 0, said
    return sweep, said


def test_trouble_costs_one_trial(troubled: tuple[Sweep, str]) -> None:
    sweep, said = troubled
    first, *failed, last = sweep.trials()
    assert [trial.state.name for trial in (first, last)] == ["COMPLETE", "PRUNED"]
    assert {trial.state.name for trial in failed} == {"FAIL"}
    reasons = [trial.user_attrs["reason"] for trial in failed]
    assert reasons[:4] == [
        *("RuntimeError: this one went wrong", "exit code 3"),
        *("killed by SIGKILL (out of memory?)", "exit code 0 without a result"),
    ]
    assert reasons[4].startswith("diverged: the discriminator's loss is nan at step 0")
    assert "can't allocate memory" in reasons[5]
    lines = [line for line in said.splitlines() if line.startswith("trial ")]
    count = len(sweep.trials())
    for trial, line, reason in zip(sweep.trials(), lines, ["", *reasons, ""], strict=True):
        assert line.startswith(f"trial {trial.number}  ")
        assert reason in line
        assert f"best {first.value:.4g} (trial 0)  {trial.number + 1} of {count}  left 0:" in line


def test_a_kill_by_the_kernel_for_want_of_memory_costs_one_trial(troubled: tuple[Sweep, str], group: Path | None) -> None:
    if group is None:
        pytest.skip("memory cannot be limited here: it takes root and a control group")
    sweep, _ = troubled
    trial = sweep.trials()[7]
    assert killed_for_memory(group) == 1
    assert trial.state.name == "FAIL"
    assert trial.user_attrs["reason"] == "killed by SIGKILL (out of memory?)"


def test_a_score_is_the_best_validation_distance(troubled: tuple[Sweep, str]) -> None:
    sweep, _ = troubled
    first, *_, last = sweep.trials()
    ended = RunFolder(sweep.path / "0000").manifest()["ended"]
    assert first.value == ended["best_distance"] == min(first.intermediate_values.values())
    assert list(first.intermediate_values) == list(range(5, 101, 5))  # per cent of the budget
    assert ended["step"] == 100
    assert first.user_attrs["images"] == 3200
    # Stopped at the first rung, well before its end, and by a signal that let it save and end by itself.
    assert list(last.intermediate_values) == [5]
    assert last.user_attrs["images"] < 3200
    assert "SIGTERM: saving and stopping" in sweep.output(last.number)


def test_trials_keep_their_record_and_not_their_weights(troubled: tuple[Sweep, str]) -> None:
    sweep, _ = troubled
    for number in range(len(sweep.trials())):
        assert not RunFolder(sweep.path / f"{number:04d}").checkpoints.exists()
    for number in (0, len(sweep.trials()) - 1):
        run = RunFolder(sweep.path / f"{number:04d}")
        assert config_of(run)["model"]["g_optimizer"]["lr"] == sweep.trials()[number].params["model.g_optimizer.lr"]
        assert config_of(run)["paths"]["cache"] == str(sweep.folder / "cache")


def test_the_winner_is_trained_on_fresh_seeds(troubled: tuple[Sweep, str], compose: Any) -> None:
    sweep, _ = troubled
    lr = sweep.trials()[0].params["model.g_optimizer.lr"]
    recipe = compose("model=mlp_gan")["model"]["g_optimizer"]["lr"]
    for name, rate in (("trial_0", lr), ("base", recipe)):
        run = RunFolder(sweep.path / "confirm" / name / "1")
        assert config_of(run)["seed"] == 1  # the trials' is 0
        assert config_of(run)["model"]["g_optimizer"]["lr"] == rate
        assert (run.result() or {})["metrics"]["fd_digits"] > 0
    assert sweep.trainings() == len(sweep.trials()) + 2


def test_the_page(troubled: tuple[Sweep, str]) -> None:
    sweep, said = troubled
    assert said.splitlines()[-1] == str(sweep.path / "report.html")
    page = (sweep.path / "report.html").read_text()
    for words in (
        f"small: {len(sweep.trials())} trials",
        "1 complete",
        f"{len(sweep.trials()) - 2} failed",
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
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 0
    assert f"{len(before)} of {len(before)} trials begun" in said
    assert "trial 0  " not in said
    assert sweep.trainings() == len(before) + 2
    assert sweep.trials() == before


def test_a_killed_sweep_goes_on(tmp_path: Path) -> None:
    """Ctrl-C with one trial, SIGKILL with two: no process is left, and the same command takes both up where they were."""
    sweep = Sweep(tmp_path, ["data=digits", "stop.images=48000", "checkpoint.every=25", "validation.every=750"], trials=2)
    command = sweep.start("confirm=0")
    wait(lambda: bool(sweep.steps(0)))
    command.send_signal(signal.SIGINT)
    said, _ = command.communicate(timeout=900)
    assert command.returncode == 130, said
    assert "SIGINT: saving and stopping" not in sweep.output(0)  # the terminal's signal is the command's alone
    assert "SIGTERM: saving and stopping" in sweep.output(0)
    (stopped_at,) = {max(sweep.steps(0))}
    assert [trial.state.name for trial in sweep.trials()] == ["RUNNING"]
    assert sweep.trials()[0].user_attrs["images"] > 32 * (stopped_at - 25)  # what it has cost so far

    command = sweep.start("confirm=0", "workers=2")
    wait(lambda: bool(sweep.steps(1)) and max(sweep.steps(0)) > stopped_at)
    children = psutil.Process(command.pid).children()
    assert len(children) == 2
    command.kill()
    command.communicate()
    psutil.wait_procs(children, timeout=900)
    if sys.platform == "linux":
        assert not any(child.is_running() for child in children)
    killed = [trial.params for trial in sweep.trials()]

    command = sweep.start("confirm=0", "workers=2")
    said, _ = command.communicate(timeout=900)
    assert command.returncode == 0, said
    trials = sweep.trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE"]
    assert [trial.params for trial in trials] == killed
    for number, sittings in ((0, 3), (1, 2)):
        assert sweep.output(number).count("going on from step") == sittings - 1
        run = RunFolder(sweep.path / f"{number:04d}")
        assert run.manifest()["ended"]["step"] == 1500
        lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines if "validation/fd_digits" in line] == [750, 1500]


def test_two_commands_share_a_store(tmp_path: Path) -> None:
    """Here a journal; every trial is made once, whoever makes it."""
    sweep = Sweep(tmp_path, ["data=troubled"], ["raise"] * 9, trials=4, confirm=1)
    journal = tmp_path / "shared.journal"
    commands = [sweep.start(f"store={journal}") for _ in range(2)]
    said = [command.communicate(timeout=900)[0] for command in commands]
    assert [command.returncode for command in commands] == [2, 2]
    assert all("no trial of small is complete" in words for words in said)
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    trials = sweep.trials(optuna.storages.JournalStorage(backend))
    assert [trial.state.name for trial in trials] == ["FAIL"] * 4
    assert sweep.trainings() == 4
    assert sum(words.count("  failed  ") for words in said) == 4


# Mistakes


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["+space={model.g_optimizer.rl: {type: float, low: 1, high: 2}}"], "no setting 'model.g_optimizer.rl': did you mean"),
        (["+space={data.batch_size: {type: int, low: 0, high: 8}}"], "data.batch_size=0: must be a whole number of at least 1"),
        (["+space={loss: {type: categorical, choices: [hinge, minmax]}}"], "there is no loss=minmax: did you mean minimax"),
        (["base=['model=mlp_gam']"], "there is no model=mlp_gam: did you mean mlp_gan"),
        (["base=['stop.images=null']", "stop.images=null"], "would never end"),
        (["stop.images=null", "stop.minutes=1", "base=['stop.images=null']"], "pruner=median holds trials together"),
        (["sampler=tpee"], "sampler=tpee is not known: did you mean tpe"),
        (["trails=3"], "no setting 'trails': did you mean trials"),
        (["store=nowhere"], "store=nowhere is neither"),
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
        ("~space", "a sweep needs space=: leave ~space out"),
        ("~trials", "a sweep needs trials="),
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
        check({"pruner": "none"}, ["model=mlp_gan", "stop.images=640"], read_space({key: entry}))


def test_a_group_that_brings_other_data_is_refused() -> None:
    space = read_space({"experiment": {"type": "categorical", "choices": ["mlp_gan", "gaussians"]}})
    words = ["experiment=mlp_gan", "stop.images=640"]
    with pytest.raises(UserError, match=r"with experiment=gaussians data\.name is gaussians and not mnist") as error:
        check({"pruner": "none"}, words, space)
    assert len(str(error.value).splitlines()) == 1
    space = read_space({"loss": {"type": "categorical", "choices": ["hinge", "minimax"]}})
    assert check({"pruner": "none"}, words, space)["data"]["name"] == "mnist"


@pytest.mark.parametrize("file", ["mark", ".open.lock"])
def test_a_disk_that_fails_is_named(file: str, compose: Any, tmp_path: Path) -> None:
    (tmp_path / "sweeps" / "mlp_gan_tpe" / file).mkdir(parents=True)  # where a file has to be written
    with pytest.raises(UserError, match=r"does not work .*Is a directory.*: mend it and repeat the command"):
        run_sweep(compose("sweep=mlp_gan_tpe", f"paths.runs={tmp_path}", name="sweep"))


@pytest.mark.parametrize(
    ("trouble", "answer"),
    [("max_page_count=1", "database or disk is full"), ("query_only=1", "attempt to write a readonly database")],
)
def test_a_database_that_fails_is_quoted(
    trouble: str, answer: str, compose: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any, trials: Any, *__: Any) -> None:
        engine = trials.study._storage._backend.engine
        sqlalchemy.event.listen(engine, "connect", lambda connection, _: connection.execute(f"pragma {trouble}"))
        engine.dispose()
        trials.study.set_user_attr("large", "x" * 100_000)

    monkeypatch.setattr("src.sweep.search", fail)
    with pytest.raises(UserError, match=rf"does not work \({answer}\): mend it and repeat the command"):
        run_sweep(compose("sweep=mlp_gan_tpe", f"paths.runs={tmp_path}", name="sweep"))


def test_an_output_that_nobody_reads_is_no_failing_disk(troubled: tuple[Sweep, str]) -> None:
    sweep, _ = troubled
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "src.sweep", *sweep.words()],
        cwd=ROOT,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | sweep.environment,
        check=False,
    )
    os.close(write)
    assert done.returncode == 2
    assert done.stderr.startswith("error: nobody reads any more what is printed here")


def test_a_failure_is_not_hidden_by_that_of_the_page(compose: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise UserError("what went wrong first")

    monkeypatch.setattr("src.sweep.search", fail)
    (tmp_path / "sweeps" / "mlp_gan_tpe" / "report.html").mkdir(parents=True)
    with pytest.raises(UserError, match="what went wrong first"):
        run_sweep(compose("sweep=mlp_gan_tpe", f"paths.runs={tmp_path}", name="sweep"))


def test_a_store_of_another_sweep_is_refused(troubled: tuple[Sweep, str], command: Any, no_torch: dict[str, str]) -> None:
    sweep, _ = troubled
    path = f"{no_torch['PYTHONPATH']}:{sweep.folder}"
    environment = sweep.environment | {"PYTHONPATH": path}
    done = command("sweep", *sweep.words("seed=3", "stop.images=6400"), env=environment)
    assert done.returncode == 2, done.stderr
    assert "of another sweep (seed: 0 -> 3; stop.images: None -> 6400)" in done.stderr
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
    base = check(config, shared, read_space(config["space"]))
    assert base["trainer"]["threads"] == 1
    assert base["stop"]["images"] // base["data"]["batch_size"] >= 5 * base["validation"]["every"]  # a fifth: prune_from


def test_a_recipe_has_what_is_behind_the_words() -> None:
    names = ["zoo_mlp_gan", "zoo_dcgan"]
    parameters = read_space({"experiment": {"type": "categorical", "choices": names}})
    shared = ["experiment=zoo_dcgan", "data=fashion_mnist"]
    found = recipe(command_line.compose("train", shared), shared, parameters)
    assert found["model.g_optimizer.lr"] > 0
    assert found["experiment=zoo_mlp_gan"] != found["experiment=zoo_dcgan"]


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
    words = [*TINY, "data=digits", "stop.images=64", "evaluate=false", f"paths.runs={tmp_path / 'runs'}"]
    launch = ["-m", "hydra/launcher=submitit_local", f"hydra.sweep.dir={tmp_path / 'jobs'}"]
    done = command("train", *launch, *words, "data.batch_size=32,5000")
    assert done.returncode == 2, done.stderr
    assert "data.batch_size=5000 is more than the 1197 training samples" in done.stderr
    (manifest,) = (tmp_path / "runs").rglob("manifest.json")
    assert json.loads(manifest.read_text())["ended"]["step"] == 2


# A database


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server's database, on this machine for as long as the tests run."""
    pytest.importorskip("psycopg", reason="no driver: pip install -e '.[postgres]'")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(shutil.which("initdb") or "")]
    if not found[-1].name:
        pytest.skip("no PostgreSQL server here: apt-get install postgresql")
    user = "postgres" if os.getuid() == 0 else getpass.getuser()  # it does not run as root
    folder = Path(tempfile.mkdtemp())
    shutil.chown(folder, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data, programs = folder / "data", found[-1].parent
    options: dict[str, Any] = {"user": user, "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([programs / "initdb", "-D", data, "-A", "trust", "-U", "me", "--no-sync"], check=True, **options)
    command = [programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder]
    server = subprocess.Popen(command, **options)
    try:
        ready = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-U", "me"]
        wait(lambda: subprocess.run(ready, **options).returncode == 0, seconds=60)
        yield f"postgresql+psycopg://me@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # its fast shutdown
        server.wait()
        shutil.rmtree(folder)


def test_a_killed_sweep_in_a_database_goes_on(postgres: str, tmp_path: Path) -> None:
    base = ["data=digits", "stop.images=16000", "checkpoint.every=25", "validation.every=250"]
    sweep = Sweep(tmp_path, base, trials=2, pruner="median", startup=2)
    words = [f"store={postgres}", "workers=2", "confirm=0"]
    command = sweep.start(*words)
    wait(lambda: bool(sweep.steps(0)) and bool(sweep.steps(1)))
    children = psutil.Process(command.pid).children()
    command.kill()
    command.communicate()
    psutil.wait_procs(children, timeout=900)
    assert [trial.state.name for trial in sweep.trials(postgres)] == ["RUNNING"] * 2
    killed = [trial.params for trial in sweep.trials(postgres)]

    command = sweep.start(*words)
    said, _ = command.communicate(timeout=900)
    assert command.returncode == 0, said
    trials = sweep.trials(postgres)
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 2
    assert [trial.params for trial in trials] == killed
    assert [sweep.output(number).count("going on from step") for number in (0, 1)] == [1, 1]
    assert [list(trial.intermediate_values) for trial in trials] == [[50, 100]] * 2
