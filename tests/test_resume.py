"""The promise: whatever stops a run, repeating its command gives bit for bit what it would have given without the stop."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from clips import words_of_clips

from pictures import PICTURES, words_of_pictures
from src.config.errors import UserError
from src.runs.checkpoints import is_intact, load_checkpoint, save_checkpoint
from src.runs.folder import RunFolder
from src.train import train
from src.training.callbacks.checkpoint import Checkpoint
from tunes import words_of_walks

ROOT = Path(__file__).parent.parent
STEPS = 9
EVERYTHING = [  # whatever carries state or draws random numbers, all at once
    "model=mlp_gan",
    "data=digits",
    "debug=tiny",
    "trainer.threads=1",
    "data.batch_size=16",
    f"stop.samples={STEPS * 2 * 16}",
    "checkpoint={every: 1, keep: 2}",
    "log.every=1",
    "validation={every: 4, samples: 32}",
    "samples.n=4",
    "evaluate=false",
    "model.generator={z_dim: 8, widths: [16], batch_norm: true}",
    "model.discriminator={widths: [16, 16], dropout: 0.3, spectral_norm: true}",
    "model.d_steps=2",
    "model.penalties.r1.every=3",
    "+model.penalties.gp={_target_: src.models.gan.regularizers.Penalty, weight: 0.1}",
    "+model.penalties.gp.function={_target_: src.models.gan.regularizers.wgan_gp, _partial_: true}",
    "+model.penalties.lecam={_target_: src.models.gan.regularizers.Penalty, weight: 0.1, every: 2}",
    "+model.penalties.lecam.function={_target_: src.models.gan.regularizers.LeCam}",
    "~model.augment",
    "+model.augment={_target_: src.models.gan.ada.ADA, policy: [shift, contrast], target: -1, every: 2, kimg: 0.1}",
    "model.ema.half_life=100",
]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
SLOW = pytest.mark.slow
TEXTS = "autoregressive", "text_gan", "text_vae"


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "src.train", *words]


def assert_same(a: Any, b: Any, where: str) -> None:
    """Bitwise, through dicts and lists."""
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype, where
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for number, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}/{number}")
    else:
        assert a == b, where


def assert_same_run(ours: Path, theirs: Path) -> None:
    """Weights, averages, optimizers, clock, scalars (each once, in order), pictures; all but the time it took."""
    a, b = (load_checkpoint(RunFolder(folder).newest("step")) for folder in (ours, theirs))  # type: ignore[arg-type]
    for part in ("state_dict", "optimizer_states", "clock"):
        assert_same(a[part], b[part], part)
    assert (ours / "metrics.jsonl").read_text() == (theirs / "metrics.jsonl").read_text()
    pictures = [{path.name: path.read_bytes() for path in (folder / "samples").iterdir()} for folder in (ours, theirs)]
    assert pictures[0] == pictures[1]
    ended = [RunFolder(folder).manifest() for folder in (ours, theirs)]
    assert ended[0]["final_weights"] == ended[1]["final_weights"]
    for part in ("reason", "step", "samples_seen", "best_step", "best"):
        assert ended[0]["ended"][part] == ended[1]["ended"][part]
    for folder in (ours, theirs):
        assert not list(folder.rglob(".*.tmp"))


@pytest.fixture(scope="module")
def stopped(compose: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that never stopped (whole/), and what it would have left on the disk after each step (1/, 2/, ...)."""
    folder = tmp_path_factory.mktemp("resume")
    save = Checkpoint.save

    def save_and_keep(self: Checkpoint, trainer: Any, model: Any) -> None:
        save(self, trainer, model)
        shutil.copytree(folder / "whole", folder / str(model.step), dirs_exist_ok=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_keep)
        train(compose(*EVERYTHING, f"run_dir={folder / 'whole'}"))
    return folder


FAST = [(1, 0), (4, 2), (7, 0), (9, 0)]  # of 9 steps, with workers
EVERY = [pytest.param(n, w, marks=[SLOW] * ((n, w) not in FAST)) for n in range(1, STEPS + 1) for w in (0, 2)]


@pytest.mark.parametrize(("step", "workers"), EVERY)
def test_it_goes_on_from_every_step(step: int, workers: int, stopped: Path, compose: Any, tmp_path: Path, capsys: Any) -> None:
    shutil.copytree(stopped / str(step), tmp_path / "run")
    assert "ended" not in RunFolder(tmp_path / "run").manifest()
    train(compose(*EVERYTHING, f"data.workers={workers}", f"run_dir={tmp_path / 'run'}"))
    assert f"going on from step {step}\n" in capsys.readouterr().out
    assert_same_run(tmp_path / "run", stopped / "whole")


def test_the_tiny_run_has_everything_in_it(stopped: Path) -> None:
    """Otherwise the test above would show less than it says."""
    state = load_checkpoint(RunFolder(stopped / "whole").newest("step"))  # type: ignore[arg-type]
    names = " ".join(state["state_dict"])
    assert all(part in names for part in ("ema.network", "running_mean", "parametrizations.weight", "discriminator"))
    assert state["state_dict"]["augment.p"] > 0.5
    assert state["state_dict"]["penalties.lecam.function.means"].all()
    assert len(state["optimizer_states"]) == 2
    assert state["clock"] == {"step": STEPS, "samples_seen": STEPS * 32}


TEXT = "gpt", "lstm"  # of autoregressive's class


@pytest.mark.parametrize(
    "model", sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml") if path.stem not in TEXT)
)
def test_every_model_goes_on_as_if_nothing_had_happened(
    model: str, compose: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also running means of styles, adaptive augmentation, terms that draw numbers: whatever a model keeps."""
    save = Checkpoint.save

    def save_and_keep(self: Checkpoint, trainer: Any, model: Any) -> None:
        save(self, trainer, model)
        if model.step == 3:
            shutil.copytree(tmp_path / "whole", tmp_path / "stopped")

    data = ["data=text", f"data.path={ROOT / 'README.md'}"] if model in TEXTS else ["data=digits"]
    data = words_of_walks(model) if model.startswith("music_") else data
    data = words_of_pictures(model) if model in PICTURES else data
    data = words_of_clips(suite=False) if model == "video_gan" else data
    data += ["model.pretraining.samples=16"] if model == "text_gan" else []  # two updates
    data += ["model.network.width=32", "data.length=24"] if model in TEXTS[1:] else []
    words = [f"model={model}", *data, "debug=tiny", "trainer.threads=1", "data.batch_size=8", "stop={epochs: null}"]
    words += ["checkpoint.every=3", "validation={every: 100, samples: 32}", "samples.n=4", "evaluate=false"]
    updates = 5 * compose(*words)["model"].get("d_steps", 1) * 8
    words.append(f"stop.samples={updates}")
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_keep)
        train(compose(*words, f"run_dir={tmp_path / 'whole'}"))
    train(compose(*words, f"run_dir={tmp_path / 'stopped'}"))
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")


@pytest.mark.parametrize("damage", ["truncated", "one bit flipped"])
def test_a_damaged_checkpoint_is_passed_over(
    damage: str, stopped: Path, compose: Any, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(stopped / "6", tmp_path / "run")
    path = RunFolder(tmp_path / "run").checkpoint_path("step", 6)
    data = bytearray(path.read_bytes())
    if damage == "truncated":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2] ^= 1
    path.write_bytes(data)
    train(compose(*EVERYTHING, f"run_dir={tmp_path / 'run'}"))
    assert "step-000000006.ckpt is damaged, the one before it is used" in capsys.readouterr().err
    assert_same_run(tmp_path / "run", stopped / "whole")


LONG = [*EVERYTHING, "stop.samples=9600", "validation.every=75", "checkpoint={every: 3, keep: 2}", "log.every=7"]


@pytest.fixture(scope="module")
def long_run(compose: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 steps that never stopped."""
    folder = tmp_path_factory.mktemp("long") / "run"
    train(compose(*LONG, f"run_dir={folder}"))
    return folder


def newest_name(folder: Path) -> str:
    return max((path.name for path in folder.glob("checkpoints/step-*.ckpt")), default="")


@pytest.mark.slow
def test_killed_at_random_moments(long_run: Path, tmp_path: Path) -> None:
    """SIGKILL again and again, at moments drawn at random once training is under way; then left alone."""
    folder = tmp_path / "run"
    moments = random.Random(0)
    kills = 0
    while kills < 4:
        before = newest_name(folder)
        process = subprocess.Popen(command(*LONG, f"run_dir={folder}"), cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        while process.poll() is None and newest_name(folder) == before:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.15))
        process.kill()
        if process.wait() == 0:
            break
        kills += 1
    assert kills >= 3
    subprocess.run(command(*LONG, f"run_dir={folder}"), cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True, timeout=200)
    assert_same_run(folder, long_run)


SAVING = """
import os, signal, sys
import src.system.files
real_fsync, real_replace, moment = os.fsync, os.replace, sys.argv.pop(1)
calls = [0]

def after(number):
    calls[0] += 1
    if calls[0] == number:
        os.kill(os.getpid(), signal.SIGKILL)

def fsync(handle):
    if moment == "before fsync":
        after(40)
    real_fsync(handle)
    if moment == "after fsync":
        after(40)

def replace(old, new):
    if str(new).endswith(".ckpt"):
        if moment == "half written":
            os.truncate(old, os.path.getsize(old) // 2)
        if moment in ("before rename", "half written"):
            after(12)
    real_replace(old, new)
    if str(new).endswith(".ckpt") and moment == "after rename":
        after(12)

os.fsync, os.replace = fsync, replace
import runpy
sys.argv[0] = "src/train.py"
runpy.run_module("src.train", run_name="__main__", alter_sys=True)
"""


MOMENTS = [
    "half written",
    *(pytest.param(m, marks=SLOW) for m in ("before fsync", "after fsync", "before rename", "after rename")),
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_a_checkpoint_is_written(moment: str, stopped: Path, compose: Any, tmp_path: Path) -> None:
    """The process kills itself at a chosen instruction of the writing."""
    words = [*EVERYTHING, f"run_dir={tmp_path / 'run'}"]
    script = tmp_path / "saving.py"
    script.write_text(SAVING)
    environment = {**ENVIRONMENT, "PYTHONPATH": str(ROOT)}
    answer = subprocess.run(
        [sys.executable, script, moment, *words], cwd=ROOT, env=environment, capture_output=True, timeout=300
    )
    assert answer.returncode == -signal.SIGKILL, answer.stderr
    assert "ended" not in RunFolder(tmp_path / "run").manifest()
    train(compose(*words))
    assert_same_run(tmp_path / "run", stopped / "whole")


def test_temporary_files_on_another_file_system_change_nothing(
    stopped: Path, compose: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one file system only")
    scratch = elsewhere / f"aigc-lab-{os.getpid()}"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", None)  # where Python remembers it
    try:
        assert tempfile.gettempdir() == str(scratch)
        train(compose(*EVERYTHING, f"run_dir={tmp_path / 'run'}"))
    finally:
        shutil.rmtree(scratch)
    assert_same_run(tmp_path / "run", stopped / "whole")


LIMITED = """
import resource, runpy, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
sys.argv[0] = "src/train.py"
runpy.run_module("src.train", run_name="__main__", alter_sys=True)
"""


def test_a_full_disk_keeps_what_there_is(stopped: Path, compose: Any, tmp_path: Path) -> None:
    """A real process whose disk fills up (a limit on file size stands in for it) ends with one line; then there is room."""
    words = [*EVERYTHING, f"run_dir={tmp_path / 'run'}"]
    shutil.copytree(stopped / "4", tmp_path / "run")
    size = max(path.stat().st_size for path in (tmp_path / "run").rglob("*.ckpt"))
    limited = LIMITED.format(size=size // 2)
    answer = subprocess.run(
        [sys.executable, "-c", limited, *words], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )
    assert answer.returncode == 2, answer.stderr
    assert "cannot save" in answer.stderr
    assert "make room" in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1
    newest = RunFolder(tmp_path / "run").newest("step")
    assert newest is not None
    assert is_intact(newest)
    train(compose(*words))
    assert_same_run(tmp_path / "run", stopped / "whole")


def edit_manifest(folder: Path, **fields: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | fields))


CHANGES = {
    "config": (["model.d_steps=1"], {}, r"model\.d_steps: 2 -> 1"),
    "data": ([], {}, "data file x has other bytes"),
    "code": ([], {"sources": {"src/training/ema.py": "another"}}, "code of .*src/"),
    "lock file": ([], {"lock": "another"}, r"requirements\.lock"),
    "threads": ([], {"threads": 64}, "threads 64 -> 1"),
    "matrix products": ([], {"matmul_precision": "high"}, "matmul_precision high -> "),
    "memory layout": (["trainer.channels_last=true"], {}, "channels_last False -> True"),
    "CPU": ([], {"cpu": "another"}, "cpu another -> "),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_named_and_refused_unless_asked_for(
    what: str, stopped: Path, compose: Any, tmp_path: Path, capsys: Any
) -> None:
    words, manifest, message = CHANGES[what]
    folder = tmp_path / "run"
    shutil.copytree(stopped / "4", folder)
    if what == "data":
        manifest = {"data": RunFolder(folder).manifest()["data"] | {"x": "another"}}
    edit_manifest(folder, **manifest)
    before = {path.name: path.read_bytes() for path in (folder / "checkpoints").iterdir()}
    with pytest.raises(UserError, match=message):
        train(compose(*EVERYTHING, *words, f"run_dir={folder}"))
    assert before == {path.name: path.read_bytes() for path in (folder / "checkpoints").iterdir()}

    train(compose(*EVERYTHING, *words, f"run_dir={folder}", "on_change=accept"))
    assert "going on from step 4" in capsys.readouterr().out
    ((continued),) = RunFolder(folder).manifest()["continued"]
    assert continued["step"] == 4
    assert len(continued["changes"]) == 1


def test_it_goes_on_at_the_rates_that_are_asked_for(stopped: Path, compose: Any, tmp_path: Path) -> None:
    """And not at those of its checkpoint, which holds the whole state of the optimizers."""
    folder = tmp_path / "run"
    shutil.copytree(stopped / "4", folder)
    wanted = ["model.g_optimizer.lr=7e-4", "model.d_optimizer.betas=[0.25,0.5]"]
    train(compose(*EVERYTHING, *wanted, f"run_dir={folder}", "on_change=accept"))
    (g, d), (before_g, before_d) = (
        [state["param_groups"][0] for state in load_checkpoint(RunFolder(path).newest("step"))["optimizer_states"]]  # type: ignore[arg-type]
        for path in (folder, stopped / "whole")
    )
    assert g["lr"] == pytest.approx(7e-4 / 3e-3 * before_g["lr"])  # the schedule goes on from there
    assert (d["lr"], tuple(d["betas"])) == (before_d["lr"], (0.25, 0.5))


def test_the_best_of_a_training_that_was_left_is_not_taken(stopped: Path, compose: Any, tmp_path: Path) -> None:
    """Stopped after a best checkpoint, then gone on with otherwise from the ordinary one before it."""
    folder = tmp_path / "run"
    shutil.copytree(stopped / "4", folder)
    run = RunFolder(folder)
    save_checkpoint(load_checkpoint(run.checkpoint()), run.checkpoint_path("best", 8))
    train(compose(*EVERYTHING, f"stop.samples={6 * 32}", f"run_dir={folder}", "on_change=accept"))
    best = run.manifest()["ended"]["best_step"]
    assert best in (4, 6)
    assert [path.name for path in run.checkpoints.glob("best-*.ckpt")] == [f"best-{best:09d}.ckpt"]


def test_another_model_cannot_go_on(stopped: Path, compose: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped / "4", folder)
    before = [(folder / name).read_bytes() for name in ("config.yaml", "manifest.json")]
    with pytest.raises(UserError, match="is of another model"):
        train(compose(*EVERYTHING, "model.generator.widths=[8]", f"run_dir={folder}", "on_change=accept"))
    assert before == [(folder / name).read_bytes() for name in ("config.yaml", "manifest.json")]
    train(compose(*EVERYTHING, f"run_dir={folder}"))
    assert_same_run(folder, stopped / "whole")


def test_other_data_that_were_accepted_are_those_of_the_run(stopped: Path, compose: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped / "4", folder)
    run = RunFolder(folder)
    hashes = run.manifest()["data"]
    edit_manifest(folder, data=hashes | {"x": "another"})
    config = compose(*EVERYTHING, f"run_dir={folder}", "on_change=accept")
    train(config)
    assert run.changes(config, hashes) == []


def test_a_run_that_begins_again_has_a_manifest_of_its_own(stopped: Path, compose: Any, tmp_path: Path) -> None:
    """All its checkpoints are damaged, one by bytes that are no text: what an earlier training went on with is not its own."""
    folder = tmp_path / "run"
    shutil.copytree(stopped / "4", folder)
    edit_manifest(folder, continued=[{"step": 4, "changes": ["cpu"], "promise": "none", "with": {}}])
    for digest in (folder / "checkpoints").glob("*.sha256"):
        digest.write_bytes(b"\xff\xfe\x00")
    train(compose(*EVERYTHING, f"run_dir={folder}"))
    assert "continued" not in RunFolder(folder).manifest()
    assert_same_run(folder, stopped / "whole")


def test_a_run_without_its_manifest_does_not_go_on(stopped: Path, compose: Any, tmp_path: Path) -> None:
    shutil.copytree(stopped / "4", tmp_path / "run")
    (tmp_path / "run" / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"manifest\.json is damaged: .*fresh=true"):
        train(compose(*EVERYTHING, f"run_dir={tmp_path / 'run'}"))


@pytest.mark.parametrize("part", ["lock", "cpu"])
def test_on_change_restart_keeps_the_old_and_starts_again(part: str, stopped: Path, compose: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped / "4", folder)
    edit_manifest(folder, **{part: "another"})
    train(compose(*EVERYTHING, f"run_dir={folder}", "on_change=restart"))
    assert RunFolder(tmp_path / "run.kept1").newest("step") is not None
    assert_same_run(folder, stopped / "whole")
    made_at = (folder / "manifest.json").stat().st_mtime_ns
    train(compose(*EVERYTHING, f"run_dir={folder}", "on_change=restart"))  # nothing has changed: nothing is made
    assert made_at == (folder / "manifest.json").stat().st_mtime_ns


def test_wandb_has_each_scalar_once(compose: Any, stopped: Path, tmp_path: Path) -> None:
    """Also those between the last checkpoint and a kill, which are made twice."""
    folder = tmp_path / "run"
    words = [*EVERYTHING, f"run_dir={folder}", "logger=wandb", "checkpoint.every=4"]
    process = subprocess.Popen(command(*words), cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    while not list(folder.glob("checkpoints/step-*.ckpt")):
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "samples')  # a line that was cut short
    train(compose(*words))
    assert_same_run(folder, stopped / "whole")
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    wandb = Path(sys.executable).with_name("wandb")
    answer = subprocess.run([wandb, "leet", "inspect", "--json", path], capture_output=True, text=True, timeout=60, check=True)
    records = [json.loads(line) for line in answer.stdout.splitlines() if line.startswith("{")]
    items = [record["history"]["item"] for record in records if record["type"] == "history"]
    step = "trainer/global_step"  # Lightning's name for the x-axis; ours here
    assert [item[step] for item in items if "loss/generator" in item] == list(range(1, STEPS + 1))
    assert [item[step] for item in items if "validation/fd_digits" in item] == [4, 8, STEPS]
    drawn = [int(path.stem.removeprefix("step-")) for path in sorted((folder / "samples").glob("step-*.png"))]
    assert sorted(item[step] for item in items if "samples._type" in item) == drawn


def test_a_finished_run_is_trained_longer_by_another(stopped: Path, compose: Any, tmp_path: Path, capsys: Any) -> None:
    """It becomes the run that was as long from the start, where nothing hangs on the end."""
    constant = [*EVERYTHING, "model.lr_schedule=null"]
    samples = compose(*EVERYTHING)["stop"]["samples"]
    train(compose(*constant, f"stop.samples={samples / 2}", f"run_dir={tmp_path / 'short'}"))
    words = [*constant, f"extend={tmp_path / 'short'}"]
    with pytest.raises(UserError, match=r"has made .* steps, and this run would end at .*: raise stop.samples"):
        train(compose(*words, f"stop.samples={samples / 2}", f"run_dir={tmp_path / 'no'}"))
    train(compose(*words, f"run_dir={tmp_path / 'long'}"))
    assert "with other stop.samples: " in capsys.readouterr().out
    train(compose(*constant, f"run_dir={tmp_path / 'whole'}"))
    long, whole = RunFolder(tmp_path / "long"), RunFolder(tmp_path / "whole")
    assert long.manifest()["final_weights"] == whole.manifest()["final_weights"]
    assert long.manifest()["initial_weights"] == whole.manifest()["initial_weights"]
    assert long.manifest()["extends"]["run"].endswith("/short")
    assert long.scalars()[-1] == whole.scalars()[-1]
