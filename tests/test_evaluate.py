import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
from PIL import Image

from src.config.errors import UserError
from src.evaluate import record_name
from src.system.files import sha256
from src.train import train

WEIGHTS = Path(__file__).parent.parent / "src" / "evaluation" / "extractors" / "weights" / "digits.safetensors"


def test_again_gives_the_same_record_and_another_protocol_a_file_of_its_own(
    tiny_run: Path, command: Any, in_process: Any, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_run, tmp_path / "tiny" / "0")
    before = (folder / "metrics.json").read_text()
    (folder / "metrics.json").unlink()
    answer = command("evaluate", f"run={folder}", f"paths.cache={tmp_path}/cache")
    assert answer.returncode == 0, answer.stderr
    assert "fd_digits" in answer.stdout
    assert (folder / "metrics.json").read_text() == before

    answer = in_process("evaluate", f"run={folder}", "evaluation.samples=50", "evaluation.extractor=fashion")
    assert answer.returncode == 0, answer.stderr
    assert (folder / "metrics.json").read_text() == before
    other = json.loads((folder / "metrics-extractor=fashion-samples=50.json").read_text())
    assert other["protocol"]["samples"] == 50
    assert "fd_fashion" in other["metrics"]


def test_other_weights_have_a_file_of_their_own(tiny_run: Path, in_process: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_run, tmp_path / "tiny" / "0")
    for number in (1, 2):
        state = {name: tensor * (1 + number / 10) for name, tensor in safetensors.torch.load_file(WEIGHTS).items()}
        path = tmp_path / f"{number}.safetensors"
        safetensors.torch.save_file(state, path)
        answer = in_process("evaluate", f"run={folder}", "evaluation.samples=50", f"evaluation.weights={path}")
        assert answer.returncode == 0, answer.stderr
    for number in (1, 2):
        path = tmp_path / f"{number}.safetensors"
        other = json.loads((folder / f"metrics-samples=50-weights={sha256(path)[:8]}.json").read_text())
        assert other["protocol"]["weights_sha256"] == sha256(path)


def test_data_that_have_moved(compose: Any, in_process: Any, tmp_path: Path) -> None:
    """For what measures a run and for what makes it again."""
    (tmp_path / "pictures").mkdir()
    for number, pixels in enumerate(np.random.RandomState(0).randint(256, size=(260, 8, 8), dtype=np.uint8)):
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
    words = ["data=folder", f"data.path={tmp_path}/pictures", "data.size=8", "data.channels=1", "evaluation.extractor=digits"]
    words += ["model=mlp_gan", "debug=tiny", "trainer.threads=1", f"paths.data={tmp_path}/before", f"run_dir={tmp_path}/run"]
    made = train(compose(*words))
    (tmp_path / "before").rename(tmp_path / "now")
    for module in ("evaluate", "verify"):
        places = [f"paths.data={tmp_path}/now", f"paths.cache={tmp_path}/cache"]
        answer = in_process(module, f"run={tmp_path}/run", *places)
        assert answer.returncode == 0, answer.stderr
    assert "bitwise equal" in answer.stdout
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"] == made["metrics"]
    assert not (tmp_path / "before").exists()

    (tmp_path / "pictures").rename(tmp_path / "moved")
    answer = in_process("evaluate", f"run={tmp_path}/run", *places)
    assert (answer.returncode, answer.stderr.count("\n")) == (2, 1)
    assert "there is no such folder: say where the images are now" in answer.stderr
    for module in ("evaluate", "verify"):
        answer = in_process(module, f"run={tmp_path}/run", *places, f"data.path={tmp_path}/moved")
        assert answer.returncode == 0, answer.stderr
    assert "bitwise equal" in answer.stdout
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"] == made["metrics"]
    assert in_process("generate", f"run={tmp_path}/run", "n=4").returncode == 0
    again = train(compose(*words[:1], f"data.path={tmp_path}/moved", *words[2:]))
    assert again == made
    assert not (tmp_path / "run.kept1").exists()

    (tmp_path / "moved" / "7.png").unlink()
    answer = in_process("evaluate", f"run={tmp_path}/run", *places, f"data.path={tmp_path}/moved")
    assert "the data is not what the run was made with (data file images.npy has other bytes)" in answer.stderr
    with pytest.raises(UserError, match=r"was started with something else \(data file images.npy has other bytes\)"):
        train(compose(*words[:1], f"data.path={tmp_path}/moved", *words[2:]))


def test_settings_that_a_run_does_not_have(tiny_run: Path, in_process: Any) -> None:
    for word, said in [
        ("data.path=here", "has no data of yours: leave it out"),
        ("data.size=3", "no setting 'data.size'"),
        ("evaluation=likelihood", "takes the evaluation that the run was trained with: leave it out; single settings can be"),
        ("evaluation.scored=3", "evaluation: src.evaluation.images.ImageSuite has no argument 'scored'"),
    ]:
        answer = in_process("evaluate", f"run={tiny_run}", word)
        assert (answer.returncode, answer.stderr.count("\n")) == (2, 1)
        assert said in answer.stderr


def test_other_data_than_the_runs_is_refused(tiny_run: Path, in_process: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_run, tmp_path / "tiny" / "0")
    manifest = json.loads((folder / "manifest.json").read_text())
    name = next(iter(manifest["data"]))
    manifest["data"][name] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    before = (folder / "metrics.json").read_bytes()
    answer = in_process("evaluate", f"run={folder}")
    assert answer.returncode == 2
    assert f"the data is not what the run was made with (data file {name} has other bytes)" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert (folder / "metrics.json").read_bytes() == before


def test_damaged_checkpoints_are_named(tiny_run: Path, in_process: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_run, tmp_path / "tiny" / "0")
    for path in folder.glob("checkpoints/*.ckpt"):
        path.write_bytes(b"damaged")
    answer = in_process("evaluate", f"run={folder}")
    assert answer.returncode == 2
    assert "has no intact checkpoint" in answer.stderr


def test_a_folder_in_the_settings_makes_no_folder_of_the_record() -> None:
    assert record_name({"clip": "runs/clip/0"}, {"clip": None}) == "metrics-clip=runs%2Fclip%2F0"
