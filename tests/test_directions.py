"""python -m src.directions on tiny runs: files, record, provenance, and who is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from src.modalities.pictures import read_provenance

SMALL = ["n=2", "latents=200", "pairs=4", "rows=2"]


@pytest.fixture(scope="module")
def found(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory, in_process: Any) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("directions") / "out"
    answer = in_process("directions", f"run={tiny_run}", *SMALL, f"out={out}")
    assert answer.returncode == 0, answer.stderr
    return out, answer.stdout


def test_a_strip_for_each_direction_and_one_record(found: tuple[Path, str]) -> None:
    out, shown = found
    record = json.loads((out / "directions.json").read_text())
    assert {"sefa-1", "sefa-2"} <= record["directions"].keys()
    assert {path.stem for path in out.glob("*.png")} == record["directions"].keys()
    assert record["attributes"] == list("0123456789")
    assert len(record["directions"]) == 12 - len(record["left_out"])
    assert (record["space"], record["generated"]) == ("z", "true")
    for name, row in record["directions"].items():
        assert name in shown
        assert row["distance"] > 0
        assert row["random"]["distance"] > 0
        assert -1 <= row["change"] <= 1
        assert 0 <= row["others"] <= 1
        assert ("accuracy" in row) == name.startswith("attribute-")
    gains = [record["directions"][f"sefa-{k}"]["gain"] for k in (1, 2)]
    assert gains[0] >= gains[1] > 0
    with Image.open(out / "sefa-1.png") as picture:
        assert picture.width > 3 * picture.height  # 7 columns, 2 rows
    assert read_provenance(out / "sefa-1.png")["model"] == record["model"]
    assert json.loads((out / "sefa-1.json").read_text())["provenance"]["direction"] == record["directions"]["sefa-1"]


def test_the_same_again_and_fewer_leave_nothing_old(found: tuple[Path, str], tiny_run: Path, in_process: Any) -> None:
    out, _ = found
    record, picture = json.loads((out / "directions.json").read_text()), (out / "sefa-1.png").read_bytes()
    answer = in_process("directions", f"run={tiny_run}", *SMALL, f"out={out}", "n=1")
    assert answer.returncode == 0, answer.stderr
    again = json.loads((out / "directions.json").read_text())
    assert (out / "sefa-1.png").read_bytes() == picture
    assert again["directions"]["sefa-1"]["change"] == record["directions"]["sefa-1"]["change"]
    assert not (out / "sefa-2.png").exists()


def test_a_model_without_latents_is_refused_in_one_line(compose: Any, tmp_path: Path, in_process: Any) -> None:
    from src.train import train

    run = tmp_path / "flow" / "0"
    words = ["model=flow", "data=digits", "debug=tiny", "stop.samples=32", "evaluate=false", "model.network.width=8"]
    train(compose(*words, "model.network.blocks=1", f"run_dir={run}", "trainer.threads=1"))
    answer = in_process("directions", f"run={run}")
    assert (answer.returncode, answer.stderr.count("\n")) == (2, 1)
    assert "has no latent space: ask a run of a GAN or a VAE" in answer.stderr
    assert not (run / "directions").exists()


def test_files_of_others_are_not_overwritten(tiny_run: Path, tmp_path: Path, in_process: Any) -> None:
    (tmp_path / "directions.json").write_text("{}")
    answer = in_process("directions", f"run={tiny_run}", f"out={tmp_path}")
    assert answer.returncode == 2
    assert "was not written by AIGC Lab" in answer.stderr


def test_generate_moves_samples_along_them(found: tuple[Path, str], tiny_run: Path, tmp_path: Path, in_process: Any) -> None:
    record = json.loads((found[0] / "directions.json").read_text())
    (run := tmp_path / "run").symlink_to(tiny_run)
    words = [f"run={run}", "n=2", f"out={tmp_path / 'out'}"]
    plain = in_process("generate", *words)
    assert plain.returncode == 0, plain.stderr
    name = next(iter(record["steps"]))
    asked = f"directions={{sefa-1: 1, {name}: -2.5}}"
    refused = in_process("generate", *words, asked)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert f"there is no {name}: known: sefa-1 to sefa-" in refused.stderr
    run.unlink()
    shutil.copytree(tiny_run, run)
    shutil.copytree(found[0], run / "directions")
    before = (tmp_path / "out" / "000001.png").read_bytes()
    moved = in_process("generate", *words, asked)
    assert moved.returncode == 0, moved.stderr
    made = json.loads((tmp_path / "out" / "samples.json").read_text())["provenance"]
    assert made["directions"] == {"sefa-1": 1, name: -2.5}
    assert (tmp_path / "out" / "000001.png").read_bytes() != before
    for other, message in (("truncation=1", "leave truncation= out"), ("film=true", "leave film= out")):
        answer = in_process("generate", *words, asked, other)
        assert (answer.returncode, answer.stderr.count("\n")) == (2, 1)
        assert message in answer.stderr
