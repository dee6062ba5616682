"""Which runs the page offers."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from src.config.errors import UserError
from src.page.review import kept_items
from src.page.runs import Catalog, NoSuchRun
from src.runs import review

ROOT = Path(__file__).parents[2]


# Name of a run -> what is wrong in its manifest.
DAMAGES: dict[str, dict[str, Any]] = {
    "parameters": {"parameters": ["many"]},
    "cost": {"evaluation_cost": {"sampling_cpu_seconds_per_1000": "little"}},
}


def names(catalog: Catalog) -> list[str]:
    return [Path(entry.name).name for entry in catalog.find()]


def test_shipped_runs_with_weights_the_fastest_first() -> None:
    found = Catalog([ROOT / "runs_that_are_not_there", ROOT / "results"]).find()
    names = [entry.record()["title"] for entry in found]
    assert {"mlp_gan", "vae", "flow", "diffusion", "autoregressive", "gpt"} <= set(names)
    assert names[0] == "mlp_gan"  # runs whose speed is not known come last
    assert [entry.seconds for entry in found] == sorted(entry.seconds for entry in found)
    assert all(entry.film for entry in found if entry.record()["modality"] == "Image")


def test_unfinished_damaged_and_linked_runs_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    good = shutil.copytree(ROOT / "results/mlp_gan", tmp_path / "runs/a/good")
    unfinished = shutil.copytree(good, tmp_path / "runs/unfinished")
    (unfinished / "manifest.json").write_text("{}")
    damaged = shutil.copytree(good, tmp_path / "runs/damaged")
    (damaged / "config.yaml").write_text("seed: 0")
    foreign = shutil.copytree(good, tmp_path / "runs/foreign")
    (foreign / "config.yaml").write_text((good / "config.yaml").read_text().replace("src.models.gan.gan.GAN", "os.system"))
    for name, change in DAMAGES.items():
        run = shutil.copytree(good, tmp_path / "runs" / name)
        (run / "manifest.json").write_text(json.dumps(json.loads((run / "manifest.json").read_text()) | change))
    (tmp_path / "runs/linked").symlink_to(shutil.copytree(good, tmp_path / "outside"))
    catalog = Catalog([tmp_path / "runs"])
    assert names(catalog) == ["good"]
    problems = capsys.readouterr().err
    assert "damaged is left out: " in problems
    for name in ("foreign", *DAMAGES):
        assert f"{name} is left out: " in problems
    catalog.find()
    assert capsys.readouterr().err == ""  # each is named once


def test_kept_samples_with_settings_that_the_page_does_not_offer_are_passed_over(tmp_path: Path) -> None:
    run = shutil.copytree(ROOT / "results/mlp_gan", tmp_path / "runs/a")
    asked = [{"seed": 3, "truncation": 0.5}, {"seed": 1, "weights": "raw"}, {"seed": -1}, {"seed": True}, {"seed": 2.0, "n": 1}]
    lines = [json.dumps({"kind": "mark", "settings": settings, "mark": "keep"}) for settings in asked]
    (run / review.FILE).write_text("\n".join(lines) + "\n")
    catalog = Catalog([tmp_path / "runs"])
    (entry,) = catalog.find()
    found = kept_items(entry, catalog.load(entry.id), 16)
    assert [item.settings for item in found.items] == [{"seed": 3, "truncation": 0.5}, {"seed": 2}]


def test_a_run_and_its_published_copy_count_once(tmp_path: Path) -> None:
    for place in ("runs/mlp_gan", "results/mlp_gan"):
        shutil.copytree(ROOT / "results/mlp_gan", tmp_path / place)
    found = Catalog([tmp_path / "runs", tmp_path / "results"]).find()
    assert [Path(entry.name).parent.name for entry in found] == ["results"]


def test_weights_that_became_a_link_out_are_not_loaded(tmp_path: Path) -> None:
    run = shutil.copytree(ROOT / "results/mlp_gan", tmp_path / "runs/a")
    catalog = Catalog([tmp_path / "runs"])
    id = catalog.find()[0].id
    (tmp_path / "outside").write_bytes((run / "weights.safetensors").read_bytes())
    (run / "weights.safetensors").unlink()
    (run / "weights.safetensors").symlink_to(tmp_path / "outside")
    with pytest.raises(UserError, match="is a link out of the folders"):
        catalog.load(id)
    with pytest.raises(NoSuchRun):
        catalog.load("../outside")
