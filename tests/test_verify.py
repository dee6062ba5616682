"""A result that holds is verified, one that does not is found out, and what another machine may change is told apart."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from src.config.errors import UserError
from src.runs.export import save_safetensors
from src.runs.folder import RunFolder
from src.runs.load import load_run
from src.runs.publish import publish
from src.train import train
from src.verify import verify

WORDS = ["model=mlp_gan", "data=digits", "debug=tiny", "trainer.threads=1", "checkpoint={every: 5, keep: 3}"]


@pytest.fixture(scope="module")
def finished(compose: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 20 steps with checkpoints at 10, 15 and 20. Read only."""
    folder = tmp_path_factory.mktemp("verify") / "run"
    train(compose(*WORDS, f"run_dir={folder}"))
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def check(compose: Callable[..., dict[str, Any]], tmp_path: Path) -> Callable[..., None]:
    def verified(run: Path, *words: str) -> None:
        words = (f"run={run}", f"published={tmp_path / 'published'}", *words)
        config = compose(*words, name="verify", nullable=("steps", "paths.data", "data.path"))
        verify(config | {"paths": config["paths"] | {"cache": str(tmp_path / "cache")}})

    return verified


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_made_again_whole(run: Path, check: Any, capsys: Any, tmp_path: Path) -> None:
    check(run)
    said = capsys.readouterr().out
    assert "bitwise equal over steps 1 to 20" in said
    assert "final weights, metrics" in said
    assert f"verified: {run}" in said
    assert list((tmp_path / "cache" / "verify").iterdir()) == []


def test_with_the_precision_and_layout_of_the_run(compose: Any, check: Any, capsys: Any, tmp_path: Path) -> None:
    words = [
        *WORDS,
        "model=dcgan",
        "trainer.matmul_precision=medium",
        "trainer.channels_last=true",
        "stop.samples=160",
        "checkpoint.every=3",
    ]
    manifest = RunFolder(tmp_path / "run").manifest
    train(compose(*words, f"run_dir={tmp_path / 'run'}"))
    assert (manifest()["matmul_precision"], manifest()["channels_last"]) == ("medium", True)
    check(tmp_path / "run")
    assert "bitwise equal over steps 1 to 5" in capsys.readouterr().out
    torch.set_num_threads(2)
    torch.set_float32_matmul_precision("highest")
    check(tmp_path / "run", "start=3")
    assert "bitwise equal over steps 4 to 5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "steps"), [(["start=10"], "11 to 20"), (["start=10", "steps=5"], "11 to 15"), (["steps=5"], "1 to 5")]
)
def test_made_again_in_part(words: list[str], steps: str, run: Path, check: Any, capsys: Any) -> None:
    check(run, *words)
    assert f"bitwise equal over steps {steps}: " in capsys.readouterr().out


def test_a_published_folder_is_enough(run: Path, check: Any, capsys: Any, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    publish(RunFolder(run), kept, flagship=True)
    check(kept)
    assert "final weights, metrics" in capsys.readouterr().out
    check(kept, "quick=true")
    assert "0 checkpoints, 1 networks, 1 samples" in capsys.readouterr().out
    with pytest.raises(UserError, match="there is no intact checkpoint of that step"):
        check(kept, f"start={RunFolder(run).manifest()['ended']['best_step']}")
    (kept / "weights.safetensors").rename(tmp_path / "elsewhere")
    with pytest.raises(SystemExit) as stop:
        check(kept, "quick=true")
    assert stop.value.code == 3
    said = capsys.readouterr().out
    assert "compared by hash: data, 0 checkpoints, 0 networks, 1 samples" in said
    assert "the weights could not be compared" in said
    assert "has no checkpoints and no weights.safetensors" in said
    assert "verified" not in said.replace(str(kept), "")
    save_safetensors(load_run(run, "last").network("raw"), kept / "weights.safetensors", {})
    with pytest.raises(SystemExit):
        check(kept, "quick=true")
    assert "weights.safetensors is not the network that metrics.json was measured on" in capsys.readouterr().out


SPOILT = {
    "a scalar": ("metrics.jsonl", lambda text: text.replace('"D/real": 0.', '"D/real": 1.', 1), "scalars from step 1 on"),
    "a metric": (
        "metrics.json",
        lambda text: text.replace('"fd_digits": ', '"fd_digits": 1', 1),
        "metrics.json has other numbers",
    ),
    "the recipe": ("config.yaml", lambda text: re.sub(r"\blr: .*", "lr: 0.0031", text, count=1), "final weights"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_does_not_hold_is_found_out(what: str, run: Path, check: Any, capsys: Any) -> None:
    name, spoil, message = SPOILT[what]
    text = (run / name).read_text()
    assert spoil(text) != text
    (run / name).write_text(spoil(text))
    with pytest.raises(SystemExit) as stop:
        check(run)
    assert stop.value.code == 1
    said = capsys.readouterr().out
    assert message in said
    assert "bits should be equal" in said


def test_checkpoints_and_pictures_by_hash(run: Path, check: Any, capsys: Any) -> None:
    check(run, "quick=true")
    assert "compared by hash: data, 4 checkpoints, 0 networks, 5 samples" in capsys.readouterr().out
    with RunFolder(run).checkpoint_path("step", 15).open("r+b") as file:
        file.write(b"x")
    (run / "samples" / "step-000000003.png").write_bytes((run / "samples" / "step-000000001.png").read_bytes())
    with pytest.raises(SystemExit):
        check(run, "quick=true")
    said = capsys.readouterr().out
    assert "step-000000015.ckpt is damaged" in said
    assert "step-000000003.png is not what the run drew" in said


def test_other_final_weights(run: Path, check: Any, capsys: Any) -> None:
    edit(run / "manifest.json", lambda manifest: manifest.update(final_weights="another"))
    with pytest.raises(SystemExit):
        check(run, "quick=true")
    assert "does not hold the final weights" in capsys.readouterr().out


def test_another_generator_under_the_same_numbers(run: Path, check: Any, capsys: Any) -> None:
    edit(run / "metrics.json", lambda result: result["protocol"].update(network_sha256="another"))
    with pytest.raises(SystemExit):
        check(run, "quick=true")
    assert "measured on another network" in capsys.readouterr().out


def elsewhere(run: Path, published: Path, distances: list[float]) -> None:
    """As if the run came from another make of CPU, with other last bits; and published seeds of its recipe."""
    edit(run / "manifest.json", lambda manifest: manifest.update(cpu="another", final_weights="another"))
    for seed, distance in enumerate(distances, start=1):
        folder = published / str(seed)
        publish(RunFolder(run), folder)
        (folder / "config.yaml").write_text((run / "config.yaml").read_text().replace("seed: 0", f"seed: {seed}", 1))
        edit(folder / "metrics.json", lambda result, d=distance: result["metrics"].update(fd_digits=d))


def test_on_another_machine_the_metric_decides(run: Path, check: Any, capsys: Any, tmp_path: Path) -> None:
    value = json.loads((run / "metrics.json").read_text())["metrics"]["fd_digits"]
    elsewhere(run, tmp_path / "published", [value - 1, value + 1, value + 2])
    check(run)
    said = capsys.readouterr().out
    assert "not bitwise equal (final weights), and not promised here: other cpu another -> " in said
    assert "it falls in the 95 % interval for one further seed" in said
    assert "(3 published seeds)" in said


def test_a_metric_outside_the_published_interval(run: Path, check: Any, capsys: Any, tmp_path: Path) -> None:
    value = json.loads((run / "metrics.json").read_text())["metrics"]["fd_digits"]
    elsewhere(run, tmp_path / "published", [value + 10, value + 10.1, value + 10.2])
    with pytest.raises(SystemExit):
        check(run)
    assert "is outside the 95 % interval" in capsys.readouterr().out


def test_a_run_that_went_on_otherwise_is_not_promised_bitwise(run: Path, check: Any, capsys: Any) -> None:
    went_on = [{"step": 5, "changes": ["threads 2 -> 1"], "promise": "its metric falls in the interval of one further seed"}]
    edit(run / "manifest.json", lambda manifest: manifest.update(final_weights="another", continued=went_on))
    with pytest.raises(UserError, match="fewer than two seeds of this recipe"):
        check(run)
    assert "not bitwise equal (final weights), and not promised here: other threads 2 -> 1" in capsys.readouterr().out


def test_where_nothing_decides_it_says_so(run: Path, check: Any, tmp_path: Path) -> None:
    elsewhere(run, tmp_path / "published", [1.0])
    with pytest.raises(UserError, match="fewer than two seeds of this recipe"):
        check(run)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["start=3"], "start=3: there is no intact checkpoint of that step; known: 0, 10, 15"),
        (["start=20"], "start=20 is the last step"),
        (["start=15", "steps=1"], "nothing of steps 16 to 16 was kept"),
    ],
)
def test_what_cannot_be_made_again(words: list[str], message: str, run: Path, check: Any) -> None:
    with pytest.raises(UserError, match=message):
        check(run, *words)


def test_batch_norm_of_each_process_by_itself(compose: Any, check: Any, capsys: Any, tmp_path: Path) -> None:
    """Two processes make it again."""
    folder = tmp_path / "run"
    train(compose(*WORDS, f"run_dir={folder}", "trainer=ddp", "devices=2", "trainer.sync_batchnorm=false", "stop.samples=160"))
    check(folder, "start=0", "steps=5")
    assert "bitwise equal over steps 1 to 5" in capsys.readouterr().out


def test_an_unfinished_run(run: Path, check: Any) -> None:
    edit(run / "manifest.json", lambda manifest: manifest.pop("ended"))
    with pytest.raises(UserError, match="finish its training first"):
        check(run)


def test_the_command(run: Path, in_process: Any) -> None:
    answer = in_process("verify", f"run={run}", "--quick")
    assert answer.returncode == 0, answer.stderr
    assert "verified: " in answer.stdout
    answer = in_process("verify", "run=nowhere")
    assert answer.returncode == 2
    assert "is not a run folder" in answer.stderr
