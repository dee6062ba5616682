"""Several real processes make what one would have made, and end together. Their start is shared by many tests."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from src.config.errors import Diverged, UserError
from src.evaluation.scoring import score
from src.parallel.place import Place, place
from src.parallel.processes import Team
from src.runs.checkpoints import load_checkpoint
from src.runs.folder import RunFolder, build_dataset
from src.runs.manifest import software
from src.training.fit import fit, follow_evaluate, follow_fit

ROOT = Path(__file__).parent.parent.parent
MODELS = sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml"))
TINY = [
    *("data=digits", "debug=tiny", "trainer.threads=1", "data.batch_size=16", "stop.images=100000", "evaluate=false"),
    *("checkpoint.every=1000", "logger.every=10", "validation={every: 100, samples: 32}", "samples={n: 4, per_decade: 1}"),
]
# Adam divides a gradient by its size: where that is nothing but rounding, so would be the weights.
CALM = [f"model.{which}_optimizer.lr=1e-4" for which in "gd"] + [f"+model.{which}_optimizer.eps=1e-2" for which in "gd"]
STEPS = 30
EVERYTHING = [
    *("model=mlp_gan", "loss=relativistic_average"),
    "model.generator={z_dim: 8, widths: [16], batch_norm: false}",
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
PLAIN = ("r3gan", "transformer_gan", "implicit_gan", "stylegan2")  # no batch norm
# In up to a quarter of StyleGAN2's seeds rounding moves an argument of LeakyReLU across zero (docs/strategies.md).
ACTIVATION = "import torch, src.networks.stylegan2 as module; module.leaky_relu = {}"
LEAKY = ACTIVATION.format("torch.nn.functional.leaky_relu")
SMOOTH = ACTIVATION.format("lambda x, slope: (1 + slope) / 2 * x + (1 - slope) / 2 * (x * x + 0.01).sqrt()")
PARITY = {
    **{name: [f"model={name}", *CALM] for name in PLAIN},
    "dcgan": ["model=dcgan", *CALM],  # batch norm, synchronised
    "everything": [*EVERYTHING, *CALM],
}
# In float64, and with the recipes' own rates.
PRECISE = {f"{name}_64": [f"model={name}", "trainer.precision=64-true"] for name in MODELS}
PRECISE["everything_64"] = [*EVERYTHING, "trainer.precision=64-true"]
# With the recipes' own optimizers, the batch in four parts however many processes share them.
PARTS = {f"{name}_parts": [f"model={name}"] for name in PLAIN}


def make(config: dict[str, Any], team: Team, steps: int) -> dict[str, Any]:
    """The last checkpoint of a run of so many steps."""
    run = RunFolder(Path(config["run_dir"]))
    with run:
        fit(config, run, build_dataset(config), steps, "images", team)
    checkpoint = run.newest("step")
    assert checkpoint is not None
    return load_checkpoint(checkpoint)


def team_of(processes: int, **changes: Any) -> Team:
    return Team(Place(accelerator="cpu", devices=processes, strategy="ddp", **changes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def alike(compose: Callable[..., dict[str, Any]], folder: Path) -> dict[int, dict[str, Any]]:
    """Checkpoints of the same runs by 1, 2 and 4 processes; `begun2` and `begun1`, by 2 and 1, have stopped at step 7."""
    made: dict[int, dict[str, Any]] = {}
    for processes in (4, 2, 1):
        with team_of(processes) as team:
            made[processes] = {}
            for name, words in (PARITY | PRECISE | PARTS).items():
                team.place = replace(team.place, accumulate=4 // processes if name in PARTS else 1)
                activation = SMOOTH if name == "stylegan2" else LEAKY
                team.order(exec, activation)
                exec(activation)
                made[processes][name] = make(compose(*words, *TINY, f"run_dir={folder / name}{processes}"), team, STEPS)
            team.place = replace(team.place, accumulate=1)
            make(compose(*PARITY["everything"], *TINY, f"run_dir={folder}/begun{processes}"), team, 7)
    return made


def goes_on(folder: Path, compose: Any, team: Team, before: int) -> dict[str, Any]:
    """The end of a run that so many other processes have begun: it asks first, and says what then holds."""
    config = compose(*PARITY["everything"], *TINY, f"run_dir={folder}/begun{before}")
    now = team.place.processes
    with pytest.raises(UserError, match=f"processes {before} -> {now}"):
        make(config, team, STEPS)
    state = make({**config, "on_change": "accept"}, team, STEPS)
    make(config, team, STEPS + 1)  # what it has gone on with is what it goes on with
    (continued,) = RunFolder(folder / f"begun{before}").manifest()["continued"]
    assert continued["step"] == 7
    assert continued["promise"].startswith("equal within rounding")
    return state["state_dict"]


def test_one_process_goes_on_with_what_two_have_begun(alike: Any, folder: Path, compose: Any, capsys: Any) -> None:
    state = goes_on(folder, compose, team_of(1), 2)
    assert "the promise: equal within rounding over the next steps" in capsys.readouterr().out
    assert_alike(state, alike[1]["everything"]["state_dict"])


def assert_alike(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], within: float = 1e-6) -> None:
    for key, tensor in a.items():
        torch.testing.assert_close(b[key], tensor, rtol=0, atol=within, msg=key)


@pytest.mark.parametrize("name", PARITY | PRECISE)
@pytest.mark.parametrize("processes", [2, 4])
def test_the_number_of_processes_does_not_change_the_result(processes: int, name: str, alike: Any) -> None:
    one, several = alike[1][name], alike[processes][name]
    assert several["clock"] == one["clock"]
    assert_alike(one["state_dict"], several["state_dict"], within=1e-9 if name in PRECISE else 1e-6)


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("processes", [2, 4])
def test_the_same_parts_make_the_same_bits(processes: int, name: str, alike: Any) -> None:
    """In float32, and with Adam as the recipe has it."""
    for key, tensor in alike[1][name]["state_dict"].items():
        assert torch.equal(alike[processes][name]["state_dict"][key], tensor), key


def test_the_runs_above_have_moved(alike: Any, compose: Any, tmp_path: Path) -> None:
    """Otherwise they would show less than they say."""
    state = alike[1]["everything"]["state_dict"]
    assert state["augment.p"] > 0.5
    assert state["penalties.lecam.function.means"].all()
    for name, words in (PARITY | PRECISE | PARTS).items():
        start = make(compose(*words, *TINY, f"run_dir={tmp_path / name}"), team_of(1), 1)["state_dict"]
        weights = [key for key in start if key.endswith("weight") and not key.startswith("ema")]
        moved = {key: (alike[1][name]["state_dict"][key] - start[key]).abs().max() for key in weights}
        slow = {key for key in moved if key.startswith("generator.mapping")}  # at a hundredth of the rate: StyleGAN2's
        assert min(change for key, change in moved.items() if key not in slow) > 2e-5
        assert all(moved[key] > 1e-5 for key in slow)


# Where


TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "LOCAL_WORLD_SIZE": "2", "GROUP_WORLD_SIZE": "2", "WORLD_SIZE": "4"}


@pytest.mark.parametrize(("gpus", "devices", "said"), [(0, 1, "one process, as there is no GPU"), (11, 8, "8 of 11 GPUs")])
def test_auto_picks_and_says_what(
    gpus: int, devices: int, said: str, compose: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert place(compose("model=dcgan", "trainer=auto", "data.batch_size=16", "trainer.accumulate=2")).devices == devices
    assert said in capsys.readouterr().out


def test_torchrun_says_how_many(compose: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    found = place(compose("model=dcgan", "trainer=ddp", "devices=2"))
    assert (found.devices, found.nodes, found.processes, found.external) == (2, 2, 4, True)
    with pytest.raises(UserError, match="torchrun has started 2 processes here, so say devices=2"):
        place(compose("model=dcgan", "trainer=ddp", "devices=3"))
    monkeypatch.setenv("WORLD_SIZE", "3")  # of which the other machine has one
    with pytest.raises(UserError, match="more processes on one machine than on another"):
        place(compose("model=dcgan", "trainer=ddp", "devices=2"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["devices=3"], "data.batch_size=64, .* does not divide by 3 processes: change devices="),
        (["devices=2", "trainer.accumulate=3"], "does not divide by 2 processes with 3 parts each"),
        (["devices=2", "trainer=fsdp", "model.ema=null"], "give it model.ema"),
        (["devices=2", "trainer=auto"], "leave out devices=2, or take trainer=ddp"),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], message: str, compose: Any) -> None:
    with pytest.raises(UserError, match=message):
        place(compose("model=dcgan", *words))


@pytest.mark.parametrize(("accelerator", "there"), [("gpu", "cuda"), ("gpu", "mps"), ("cuda", "cuda"), ("mps", "mps")])
def test_an_accelerator_has_to_be_there(accelerator: str, there: str, compose: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose("model=dcgan", f"trainer.accelerator={accelerator}")
    for backend in (torch.cuda, torch.backends.mps):
        monkeypatch.setattr(backend, "is_available", lambda: False)
    with pytest.raises(UserError, match=f"^trainer.accelerator={accelerator}: torch finds none here"):
        place(config)
    monkeypatch.setattr({"cuda": torch.cuda, "mps": torch.backends.mps}[there], "is_available", lambda: True)
    assert place(config).accelerator == accelerator


def test_more_devices_than_gpus_are_refused(compose: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match="devices=4: there are 2 GPUs here"):
        place(compose("model=dcgan", "trainer=ddp", "devices=4"))
    assert place(compose("model=dcgan", "trainer=ddp", "devices=2")).devices == 2
    assert place(compose("model=dcgan", "trainer=ddp", "devices=4", "trainer.accelerator=cpu")).devices == 4


def test_a_sweep_of_torchrun_is_refused(command: Any, tmp_path: Path) -> None:
    answer = command("train", "-m", "seed=0,1", *TINY, f"run_dir={tmp_path / 'run'}", "trainer=ddp", "devices=2", env=TORCHRUN)
    assert answer.returncode == 2
    assert "every process of torchrun would run the whole sweep" in answer.stderr


# Two processes


@pytest.fixture(scope="module")
def two(alike: Any) -> Iterator[Team]:
    with team_of(2) as team:
        yield team


def test_batch_norm_of_each_process_by_itself(two: Team, compose: Any, tmp_path: Path, alike: Any) -> None:
    """Then the result is another one, which both have."""
    place, two.place = two.place, replace(two.place, sync_batchnorm=False)
    own = make(compose(*PARITY["dcgan"], *TINY, f"run_dir={tmp_path}"), two, STEPS)["state_dict"]
    two.place = place
    name = "generator.layers.0.running_var"
    assert (own[name] - alike[2]["dcgan"]["state_dict"][name]).abs().max() > 1e-5
    assert RunFolder(tmp_path).manifest()["batch_norm"] == "per process"


def test_two_processes_go_on_bitwise(two: Team, compose: Any, tmp_path: Path, alike: Any) -> None:
    config = compose(*PARITY["everything"], *TINY, f"run_dir={tmp_path}")
    make(config, two, 7)
    state = make(config, two, STEPS)
    for key, tensor in alike[2]["everything"]["state_dict"].items():
        assert torch.equal(state["state_dict"][key], tensor), key


def test_two_processes_go_on_with_what_one_has_begun(two: Team, compose: Any, folder: Path, alike: Any) -> None:
    assert_alike(goes_on(folder, compose, two, 1), alike[1]["everything"]["state_dict"])


def test_ranks_and_threads_are_ours_whatever_the_environment_says(
    two: Team, compose: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scheduler or another launcher may have left ranks of its own; and Lightning's would set the threads."""
    for name in ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "1")
    before = torch.get_num_threads()
    try:
        state = make(compose("model=mlp_gan", *TINY, f"run_dir={tmp_path}", "trainer.threads=3"), two, 2)
        assert (state["clock"]["step"], torch.get_num_threads()) == (2, 3)
    finally:
        torch.set_num_threads(before)


def test_a_loss_that_is_not_finite_stops_both(two: Team, compose: Any, tmp_path: Path) -> None:
    words = ["model=mlp_gan", *TINY, "model.d_optimizer.lr=1e30"]
    with pytest.raises(Diverged, match="diverged"):
        make(compose(*words, f"run_dir={tmp_path / 'bad'}"), two, 20)
    assert RunFolder(tmp_path / "bad").manifest()["ended"]["reason"] == "diverged"
    make(compose("model=mlp_gan", *TINY, f"run_dir={tmp_path / 'good'}"), two, 2)  # both are ready for more


def test_fsdp_makes_the_same_and_goes_on_with_what_ddp_has_begun(two: Team, compose: Any, tmp_path: Path, alike: Any) -> None:
    config = compose(*PARITY["everything"], *TINY, f"run_dir={tmp_path}", "on_change=accept")
    for strategy, steps in (("fsdp", 7), ("ddp", 15), ("fsdp", STEPS)):
        two.place = replace(two.place, strategy=strategy)
        state = make(config, two, steps)
    two.place = replace(two.place, strategy="ddp")
    changes = [part["changes"] for part in RunFolder(tmp_path).manifest()["continued"]]
    assert changes == [["strategy fsdp -> ddp"], ["strategy ddp -> fsdp"]]
    assert state["optimizer_states"][0]["state"].keys() == alike[1]["everything"]["optimizer_states"][0]["state"].keys()
    assert_alike(state["state_dict"], alike[1]["everything"]["state_dict"])


def test_fsdp_makes_the_same_in_parts(two: Team, compose: Any, tmp_path: Path, alike: Any) -> None:
    place, two.place = two.place, replace(two.place, strategy="fsdp", accumulate=2)
    state = make(compose(*PRECISE["r3gan_64"], *TINY, f"run_dir={tmp_path}"), two, STEPS)
    two.place = place
    assert_alike(alike[1]["r3gan_64"]["state_dict"], state["state_dict"], within=1e-9)


@pytest.mark.parametrize("model", ["biggan", "stylegan2", "wgan"])
def test_fsdp_trains(model: str, two: Team, compose: Any, tmp_path: Path) -> None:
    """Spectral norm and shared embeddings, a path length through parts of the generator, clipped weights."""
    two.place = replace(two.place, strategy="fsdp")
    state = make(compose(f"model={model}", *TINY, f"run_dir={tmp_path}"), two, 2)
    two.place = replace(two.place, strategy="ddp")
    assert state["clock"]["step"] == 2


def test_the_evaluation_is_shared_and_the_same_to_the_last_bit(two: Team, compose: Any, command: Any, tmp_path: Path) -> None:
    """Of 300 samples each of two processes makes 128 and more, and looks at some."""
    config = compose("model=cgan_pd", *TINY, f"run_dir={tmp_path}", "evaluation.samples=300")
    make(config, two, 2)
    run, cache = RunFolder(tmp_path), Path(config["paths"]["cache"])
    two.order(follow_evaluate, config, two.place, run.path)
    shared = score(run, build_dataset(config), config["evaluation"], cache, tmp_path / "metrics.json")
    answer = command("evaluate", f"run={tmp_path}")
    assert answer.returncode == 0, answer.stderr
    assert run.result() == shared


def test_only_the_first_process_writes(alike: Any, folder: Path) -> None:
    def names(processes: int) -> list[str]:
        return sorted(str(path.relative_to(folder / f"r3gan{processes}")) for path in (folder / f"r3gan{processes}").rglob("*"))

    assert names(2) == names(4) == names(1)


# As a user sees them


def began(folder: Path) -> tuple[subprocess.Popen, int]:
    """A training of two processes that has written a further checkpoint, and the process id of the second."""
    words = ["model=mlp_gan", *TINY, "stop.images=10000000", "checkpoint.every=20", "trainer=ddp", "devices=2"]
    before = newest(folder)
    first = subprocess.Popen(
        [sys.executable, "-m", "src.train", *words, f"run_dir={folder}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while newest(folder) == before:
        assert first.poll() is None, first.communicate()
        time.sleep(0.1)
    (second,) = subprocess.run(["pgrep", "-P", str(first.pid)], capture_output=True, text=True, check=True).stdout.split()
    return first, int(second)


def newest(folder: Path) -> str:
    return max((path.name for path in folder.glob("checkpoints/step-*.ckpt")), default="")


def is_gone(process: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True).stdout
    return not state or state.startswith("Z")


def test_all_end_soon_after_one_of_them_has(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first, second = began(folder)
    os.kill(second, signal.SIGKILL)
    _, errors = first.communicate(timeout=30)
    assert errors == "error: process 1 of 2 was ended by SIGKILL: repeat the command, it goes on\n"
    assert first.returncode == 2

    first, second = began(folder)
    first.kill()
    output, _ = first.communicate(timeout=30)
    assert "going on from step" in output
    deadline = time.monotonic() + 30
    while not is_gone(second):
        assert time.monotonic() < deadline
        time.sleep(0.1)

    first, second = began(folder)
    first.terminate()
    output, errors = first.communicate(timeout=30)
    assert first.returncode == 143
    assert output.count("SIGTERM: saving and stopping") == output.count("stopped at step") == 1
    assert errors == ""
    assert is_gone(second)
    assert "ended" not in RunFolder(folder).manifest()


def test_a_second_signal_ends_all_at_once(tmp_path: Path) -> None:
    """Also where it comes to the second process alone, in the middle of a block."""
    twice = (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT)
    first, second = began(tmp_path / "run")
    for number in twice:
        for process in (first.pid, second):
            os.kill(process, number)
    first.communicate(timeout=30)
    assert first.returncode == 130
    assert is_gone(second)

    first, second = began(tmp_path / "run")
    for number in twice:
        os.kill(second, number)
    _, errors = first.communicate(timeout=30)
    assert first.returncode == 2
    assert errors == "error: process 1 of 2 was ended by SIGINT: repeat the command, it goes on\n"
    assert is_gone(second)


def nodes(*added: list[str]) -> list[subprocess.Popen]:
    """The documented commands of two machines, here of two process groups on this one, with words that each is given too."""
    lines = [line.split() for line in (ROOT / "docs" / "strategies.md").read_text().splitlines() if line.startswith("torchrun")]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        values = {"HOST": "127.0.0.1", "29500": str(free.getsockname()[1])}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *(values.get(word, word) for word in words[1:]), *TINY, *more],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for words, more in zip(lines, added, strict=True)
    ]


def test_two_nodes_by_the_documented_command(tmp_path: Path) -> None:
    run = ["stop.images=64", f"run_dir={tmp_path / 'run'}"]
    agents = nodes(run, run)
    said = [agent.communicate(timeout=300) for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], said
    assert "4 steps, 64 images" in said[0][0]
    assert said[1][0] == ""
    manifest = RunFolder(tmp_path / "run").manifest()
    assert (manifest["processes"], manifest["nodes"], manifest["ended"]["step"]) == (2, 2, 4)
    assert manifest["ended"]["peak_memory_mb"] > 50


@pytest.mark.parametrize(
    ("refusing", "others"),
    [(0, "process 1 of 2 has waited for the first in vain: mend what it says"), (1, "process 1 of 2 has refused its command")],
)
def test_a_node_does_not_wait_for_one_that_refuses(refusing: int, others: str, tmp_path: Path) -> None:
    words = [[f"run_dir={tmp_path / 'run'}"] for _ in range(2)]
    words[refusing].append("model.lr=1")
    agents = nodes(*words)
    said = agents[refusing].communicate(timeout=60)[1]
    refused = time.monotonic()
    assert "error: there is no setting 'model.lr'" in said
    assert f"error: {others}" in agents[1 - refusing].communicate(timeout=60)[1]
    assert time.monotonic() - refused < 30
    assert agents[0].returncode != 0 != agents[1].returncode
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_what_the_first_node_refuses_or_meets_ends_the_second_alike(command: Any, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    command("train", "model=dcgan", *TINY, "stop.images=64", f"run_dir={run.path}")
    manifest = run.manifest()
    del manifest["ended"]
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    agents = nodes(*[["stop.images=64", f"run_dir={run.path}"]] * 2)
    for agent in agents:
        assert (
            "error: " + str(run.path) + " was started with something else (processes 1 -> 2" in agent.communicate(timeout=60)[1]
        )
        assert agent.returncode != 0

    agents = nodes(*[["model.d_optimizer.lr=1e30", f"run_dir={tmp_path / 'other'}"]] * 2)
    said = [agent.communicate(timeout=60)[1] for agent in agents]
    assert "error: the generator's loss is nan" in said[0]
    assert agents[0].returncode != 0 != agents[1].returncode, said


def test_all_nodes_are_to_be_given_the_same_command(tmp_path: Path) -> None:
    agents = nodes(*[[f"seed={seed}", f"run_dir={tmp_path / 'run'}"] for seed in (0, 1)])
    for number, agent in enumerate(agents):
        assert f"error: process {1 - number} of 2 was given another command than this one" in agent.communicate(timeout=60)[1]
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_a_node_with_other_data_or_code_refuses(compose: Any, tmp_path: Path) -> None:
    config = compose("model=mlp_gan", *TINY, f"run_dir={tmp_path}")
    dataset = build_dataset(config)
    first = software(config, "image") | {"data": dict.fromkeys(dataset.hashes(), "0")}
    first["sources"] = first["sources"] | {"src/models/gan/gan.py": "0"}
    with pytest.raises(UserError, match=r"than the first \(code of .*: src/models/gan/gan.py; data file .*: give all"):
        follow_fit(config, first, Place(external=True), tmp_path, None, 1, "images")


MEET = "import datetime, src.parallel.processes as p; p.MEETING = datetime.timedelta(seconds=3); p.join()"


def test_the_first_node_does_not_wait_long_for_a_second_that_has_gone() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "LOCAL_WORLD_SIZE": "1", "TORCHELASTIC_RUN_ID": "x"}
    answer = subprocess.run(
        [sys.executable, "-c", MEET],
        env={**os.environ, **where, "RANK": "0", "WORLD_SIZE": "2"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "UserError: process 0 of 2 has waited for one of the others in vain" in answer.stderr
