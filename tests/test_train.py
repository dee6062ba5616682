"""Whole runs, small: what they leave, how they end, that they go on as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from src.config.errors import Interrupted, UserError
from src.config.experiment import Experiment
from src.data.digits import Digits
from src.data.spec import Spec
from src.evaluation.images import ImageSuite
from src.runs.checkpoints import load_checkpoint
from src.runs.folder import RunFolder
from src.train import train

ROOT = Path(__file__).parent.parent
TINY = ["model=mlp_gan", "data=digits", "debug=tiny", "trainer.threads=1"]


def final_state(folder: Path) -> dict[str, Any]:
    path = RunFolder(folder).newest("step")
    assert path is not None
    return load_checkpoint(path)


def assert_same_state(a: Any, b: Any, where: str = "") -> None:
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same_state(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), where
        for number, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same_state(x, y, f"{where}/{number}")


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_what_a_run_leaves(tiny_run: Path) -> None:
    names = {path.name for path in tiny_run.iterdir()}
    assert {"config.yaml", "manifest.json", "checkpoints", "samples", "metrics.jsonl", "metrics.json", "wandb"} <= names
    manifest = json.loads((tiny_run / "manifest.json").read_text())
    assert manifest["ended"]["reason"] == "samples"
    assert manifest["ended"]["step"] == 20
    assert manifest["ended"]["samples_seen"] == 640
    assert len(manifest["initial_weights"]) == len(manifest["final_weights"]) == 64
    assert manifest["threads"] == 1
    assert {
        "commit",
        "sources",
        "lock",
        "packages",
        "cpu_capability",
        "data",
        "spec",
        "parameters",
        "samples",
    } <= manifest.keys()
    assert {"src/training/fit.py", "src/training/ema.py"} <= manifest["sources"].keys()


def test_scalars_are_on_our_own_step(tiny_run: Path) -> None:
    found = lines(tiny_run)
    assert [line["step"] for line in found if "loss/generator" in line] == [1, 5, 10, 15, 20]
    assert [line["step"] for line in found if "validation/fd_digits" in line] == [10, 20]
    assert all(line["samples_seen"] == 32 * line["step"] for line in found)


def test_pictures(tiny_run: Path) -> None:
    steps = sorted(int(path.stem[5:]) for path in (tiny_run / "samples").glob("step-*.png"))
    assert steps == [0, 1, 3, 10, 20]
    with Image.open(tiny_run / "samples" / "film.gif") as film:
        assert film.n_frames == len(steps)  # type: ignore[attr-defined]
    assert (tiny_run / "samples" / "neighbours.png").is_file()


def test_the_record_names_its_protocol(tiny_run: Path) -> None:
    result = json.loads((tiny_run / "metrics.json").read_text())
    assert result.keys() == {"main", "columns", "metrics", "raw", "controls", "control_names", "protocol"}
    assert result["main"] == {"name": "fd_digits", "better": "lower"}
    assert list(result["controls"]) == list(result["control_names"]) == ["real", "noise", "training_copies"]
    assert {column["key"] for column in result["columns"]} <= result["metrics"].keys()
    for part in ("metrics", "raw"):
        assert {"fd_digits", "kid_digits", "is_digits", "precision_digits", "coverage_digits"} <= result[part].keys()
        assert "fid" not in result[part]
    assert {"d_real", "d_fake", "d_gap"} <= result["metrics"].keys()
    assert result["metrics"]["fd_digits"] != result["raw"]["fd_digits"]
    protocol = result["protocol"]
    assert protocol["samples"] == 200
    assert protocol["first_seed"] == 3_000_000
    assert protocol["checkpoint"].startswith("best-")
    assert len(protocol["weights_sha256"]) == len(protocol["network_sha256"]) == 64


def test_wandb_offline_files_read_back(tiny_run: Path) -> None:
    """W&B's own reader finds our scalars on our own step, the config, and the grids."""
    (path,) = tiny_run.glob("wandb/offline-run-*/*.wandb")
    wandb = Path(sys.executable).with_name("wandb")
    answer = subprocess.run([wandb, "leet", "inspect", "--json", path], capture_output=True, text=True, timeout=60, check=True)
    records = [json.loads(line) for line in answer.stdout.splitlines() if line.startswith("{")]
    text = answer.stdout
    assert records
    assert "loss/generator" in text
    assert "samples_seen" in text
    assert "validation/fd_digits" in text
    assert list(tiny_run.glob("wandb/offline-run-*/files/media/images/samples_*.png"))


def test_a_finished_run_is_found_not_made_again(tiny_run: Path, compose: Any, capsys: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*.ckpt")}
    result = train(compose(*TINY, f"run_dir={tiny_run}"))
    assert result == json.loads((tiny_run / "metrics.json").read_text())
    assert "fresh=true makes it again" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*.ckpt")}


def test_fresh_makes_the_same_result_again(tiny_run: Path, compose: Any, tmp_path: Path) -> None:
    train(compose(*TINY, f"run_dir={tmp_path / 'run'}"))
    train(compose(*TINY, f"run_dir={tmp_path / 'run'}", "fresh=true"))
    for folder in (tmp_path / "run", tmp_path / "run.kept1"):
        assert_same_state(final_state(folder)["state_dict"], final_state(tiny_run)["state_dict"])
        assert (folder / "metrics.json").read_text() == (tiny_run / "metrics.json").read_text()


def test_another_seed_is_another_result(tiny_run: Path, compose: Any, tmp_path: Path) -> None:
    train(compose(*TINY, "seed=1", f"run_dir={tmp_path / 'run'}"))
    first, second = (json.loads((folder / "metrics.json").read_text()) for folder in (tiny_run, tmp_path / "run"))
    assert first["metrics"]["fd_digits"] != second["metrics"]["fd_digits"]


LONGER = [*TINY, "stop.samples=9600", "checkpoint.every=20", "validation.every=100", "model.discriminator.dropout=0.2"]


@pytest.fixture(scope="module")
def whole(compose: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing has stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(compose(*LONGER, f"run_dir={folder}"))
    return folder


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_stopped_by_a_signal_it_goes_on_as_if_nothing_had_happened(
    number: int, whole: Path, compose: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "stopped"
    command = [sys.executable, "-m", "src.train", *LONGER, f"run_dir={folder}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment)
    while not list(folder.glob("checkpoints/step-*.ckpt")):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(number)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    assert "ended" not in RunFolder(folder).manifest()
    if number != signal.SIGKILL:
        assert "the same command goes on from there, fresh=true starts again" in output

    train(compose(*LONGER, f"run_dir={folder}"))
    ours, theirs = final_state(folder), final_state(whole)
    for part in ("state_dict", "optimizer_states", "clock"):
        assert_same_state(ours[part], theirs[part], part)
    assert lines(folder) == lines(whole)
    assert (folder / "metrics.json").read_text() == (whole / "metrics.json").read_text()


def test_a_reader_that_has_gone_is_named(whole: Path, compose: Any, tmp_path: Path) -> None:
    """As after `| head -1`."""
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "src.train", *LONGER, f"run_dir={folder}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    _, errors = process.communicate(timeout=100)
    assert errors == "error: the output was closed by its reader: repeat the command without closing its pipe, it goes on\n"
    assert process.returncode == 2
    assert not (folder / "error.txt").exists()
    train(compose(*LONGER, f"run_dir={folder}"))
    assert (folder / "metrics.json").read_text() == (whole / "metrics.json").read_text()


def test_what_an_earlier_sitting_died_of_is_not_kept(compose: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "error.txt").touch()
    train(compose(*TINY, "stop.samples=64", "evaluate=false", f"run_dir={tmp_path / 'run'}"))
    assert not (tmp_path / "run" / "error.txt").exists()


def test_a_signal_during_the_last_validation_ends_the_run_too(
    compose: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = compose(*TINY, "stop.samples=640", "evaluate=false", "validation.every=1000", f"run_dir={tmp_path / 'run'}")
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(ImageSuite, "validate", lambda *_: os.kill(os.getpid(), signal.SIGTERM) or 1.0)
        with pytest.raises(Interrupted) as stopped:
            train(config)
    assert stopped.value.exit_code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before
    run = RunFolder(tmp_path / "run")
    assert "ended" not in run.manifest()
    assert run.newest("step") == run.checkpoint_path("step", 20)
    train(config)
    assert run.manifest()["ended"]["step"] == 20


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(compose: Any, tmp_path: Path) -> None:
    config = compose(*TINY, "model.d_optimizer.lr=1e30", f"run_dir={tmp_path / 'run'}")
    with pytest.raises(UserError, match="training has diverged"):
        train(config)
    run = RunFolder(tmp_path / "run")
    ended = run.manifest()["ended"]
    assert ended["reason"] == "diverged"
    assert "before the update" in ended["message"]
    checkpoint = run.newest("step")
    if checkpoint:
        state = load_checkpoint(checkpoint)["state_dict"]
        assert all(torch.isfinite(tensor).all() for tensor in state.values())
    with pytest.raises(UserError, match=r"has ended before: .* fresh=true makes it again"):
        train(config)


def test_what_has_ended_is_not_said_to_be_something_else(compose: Any, tmp_path: Path) -> None:
    words = [*TINY, f"run_dir={tmp_path / 'run'}"]
    train(compose(*words, "evaluate=false", "stop.samples=64"))
    for change in ("refuse", "accept"):
        with pytest.raises(UserError, match=r"loss\.discriminator.*, or add fresh=true to start again$"):
            train(compose(*words, "stop.samples=64", "loss=hinge", f"on_change={change}"))


def test_an_evaluation_that_is_left_is_made_with_the_same_code_and_numerics(compose: Any, tmp_path: Path) -> None:
    run, words = RunFolder(tmp_path / "run"), [*TINY, f"run_dir={tmp_path / 'run'}"]
    train(compose(*words, "evaluate=false"))
    manifest = run.manifest()
    run.update_manifest(lock="another")
    with pytest.raises(UserError, match=r"requirements\.lock"):
        train(compose(*words))
    run.update_manifest(lock=manifest["lock"])
    train(compose(*words, "trainer.threads=2", "trainer.matmul_precision=medium"))
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == (1, manifest["matmul_precision"])


def test_a_batch_of_one_is_too_small_for_batch_norm(compose: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="batch norm needs more than one sample"):
        train(compose(*TINY, "data.batch_size=1", f"run_dir={tmp_path / 'run'}"))


def test_a_batch_of_one_has_nothing_to_contrast(compose: Any, tmp_path: Path) -> None:
    words = ["model=contrastive", *TINY[1:], f"run_dir={tmp_path / 'run'}"]
    with pytest.raises(UserError, match=r"raise data\.batch_size to at least 2"):
        train(compose(*words, "data.batch_size=1"))
    train(compose(*words, "data.batch_size=2", "stop.samples=4", "evaluate=false", "fresh=true"))


class Short(Digits):
    """Its spec promises more than its splits hold."""

    def __init__(self) -> None:
        self.spec = Spec.of("image", (1, 16, 16), tuple("0123456789"))


def test_data_that_disagree_with_their_spec_are_not_trained_on(compose: Any, tmp_path: Path) -> None:
    config = compose(*TINY, f"run_dir={tmp_path / 'run'}")
    config["data"]["source"]["_target_"] = f"{__name__}.Short"
    with pytest.raises(UserError, match=r"Short: .* 'x' is uint8 \[1, 16, 16\] by the spec, but uint8 \[1, 8, 8\]"):
        train(config)
    assert not (tmp_path / "run").exists()


def test_a_part_of_the_discriminator_may_stay_as_it_is(compose: Any) -> None:
    experiment = Experiment(compose(*TINY))
    split = experiment.dataset.split("train")
    model = experiment.model(experiment.dataset.spec)
    frozen = model.discriminator.layers[1].requires_grad_(False).weight
    before = frozen.clone()
    block = {name: torch.from_numpy(part)[None] for name, part in split.batch(np.arange(16)).items()}
    model.train_on(block, model.configure_optimizers())
    assert torch.equal(frozen, before)


def test_what_was_measured_meanwhile_is_not_the_result(compose: Any, tmp_path: Path) -> None:
    """`python -m src.evaluate` of a run that was interrupted and then goes on."""
    config = compose(*TINY, "stop.samples=640", f"run_dir={tmp_path / 'run'}")
    result, run = train(config), RunFolder(tmp_path / "run")
    manifest = run.manifest()
    del manifest["ended"]
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    for name in ("metrics.json", "metrics-fashion.json"):
        (run.path / name).write_text('{"metrics": {}}')
    assert train(config) == result
    assert [path.name for path in run.path.glob("metrics*.json")] == ["metrics.json"]


def test_a_finished_run_has_nothing_to_profile(tiny_run: Path, compose: Any) -> None:
    with pytest.raises(UserError, match="there is nothing to profile: add fresh=true"):
        train(compose(*TINY, "logger=wandb", "trainer.profile=8", f"run_dir={tiny_run}"))


def test_publishing_costs_no_run_what_it_goes_on_from(compose: Any, tmp_path: Path) -> None:
    runs = [RunFolder(tmp_path / name) for name in "ab"]
    words = [*TINY, "stop.samples=320", "evaluate=false"]
    for run in runs:
        train(compose(*words, f"run_dir={run.path}"))
    before = [sorted(run.checkpoints.iterdir()) for run in runs]
    for target in runs:
        with pytest.raises(UserError, match="is where a run is trained: choose a folder of its own"):
            train(compose(*words, f"run_dir={runs[0].path}", f"publish={target.path}"))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another with publish="):
        train(compose(*words, f"run_dir={tmp_path / 'c'}", f"publish={tmp_path / 'file'}"))
    assert not (tmp_path / "c").exists()
    files = {"config.yaml", "manifest.json", "metrics.jsonl", "samples.png"}
    for seed, more in ((1, {"film.gif", "weights.safetensors"}), (2, set())):  # in the place of what was published before
        flagship = f"flagship={str(bool(more)).lower()}"
        train(compose(*words, f"seed={seed}", flagship, f"publish={tmp_path / 'kept'}", f"run_dir={tmp_path / str(seed)}"))
        assert RunFolder(tmp_path / "kept").config()["seed"] == seed
        assert {path.name for path in (tmp_path / "kept").iterdir()} == files | more
    assert before == [sorted(run.checkpoints.iterdir()) for run in runs]


@pytest.mark.parametrize(("precision", "weights"), [("64-true", torch.float64), ("bf16-mixed", torch.float32)])
def test_other_precisions(precision: str, weights: torch.dtype, compose: Any, tmp_path: Path) -> None:
    """From real images, a penalty and an augmentation to samples and their measure."""
    words = [*TINY, "stop.samples=64", f"trainer.precision={precision}", f"run_dir={tmp_path}"]
    words += ["~model.augment", "+model.augment={_target_: src.models.gan.ada.ADA, policy: [shift, contrast]}"]
    assert train(compose(*words))["metrics"]["fd_digits"] > 0
    assert final_state(tmp_path)["state_dict"]["generator.layers.0.weight"].dtype == weights


@pytest.mark.parametrize("network", ["d", "g"])  # a loss, or the samples, are the first to say so
def test_a_failure_can_be_a_result(network: str, compose: Any, in_process: Any, tmp_path: Path) -> None:
    words = [*TINY, f"model.{network}_optimizer.lr=1e30", f"run_dir={tmp_path / 'run'}", f"publish={tmp_path / 'published'}"]
    assert train(compose(*words, "on_divergence=record")) == {}
    published = RunFolder(tmp_path / "published")
    assert published.manifest()["ended"]["reason"] == "diverged"
    assert {"step", "samples_seen", "seconds"} <= published.manifest()["ended"].keys()
    assert {path.name for path in published.path.iterdir()} == {"config.yaml", "manifest.json", "metrics.jsonl", "samples.png"}
    assert in_process("evaluate", f"run={tmp_path / 'run'}").returncode == 0
    assert "has diverged" in (RunFolder(tmp_path / "run").result() or {})["failed"]


def test_weights_of_no_extractor_are_found_before_the_run_begins(compose: Any, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"none")
    with pytest.raises(UserError, match="holds no weights of the digits classifier"):
        train(compose(*TINY, f"run_dir={tmp_path / 'run'}", f"evaluation.weights={tmp_path / 'weights'}"))
    assert not RunFolder(tmp_path / "run").started()


@pytest.mark.parametrize(("words", "reason"), [(["stop.target=1e9"], "target"), (["stop.minutes=1e-9"], "minutes")])
def test_the_record_says_which_budget_ended_it(words: list[str], reason: str, compose: Any, tmp_path: Path) -> None:
    train(compose(*TINY, *words, f"run_dir={tmp_path / 'run'}"))
    ended = RunFolder(tmp_path / "run").manifest()["ended"]
    assert ended["reason"] == reason
    assert ended["step"] < 20


def test_golden_scalars(tiny_run: Path) -> None:
    """A refactoring reproduces these, up to what another CPU rounds differently.

    That is nothing at first (1e-7), and then grows: with betas of (0, 0.99) Adam's early steps are about lr * sign(gradient),
    and some gradients near zero change sign. Between two makes of CPU step 15 differed by 2e-3.
    """
    golden = json.loads((Path(__file__).parent / "golden.json").read_text())
    found = {str(line["step"]): line for line in lines(tiny_run) if "loss/generator" in line}
    assert list(golden) == ["1", "5", "10", "15", "20"]
    for step, values in golden.items():
        for name, value in values.items():
            assert found[step][name] == pytest.approx(value, rel=1e-5 if int(step) <= 5 else 1e-2), (step, name)
