"""The figures and tables of docs/families.md hold what the results say."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from src.config.errors import UserError
from src.tools.families import families

ROOT = Path(__file__).parent.parent.parent
PAGE = "".join(f"<!-- {name} -->\n<!-- /{name} -->\n" for name in ("COMPUTE", "STEPS"))


def add_run(folder: Path, name: str, seconds: float, distance: float, bits: float | None) -> None:
    """A run of a family: a published one with other numbers."""
    shutil.copytree(ROOT / "results" / "mlp_gan", folder, ignore=shutil.ignore_patterns("*.gif", "*.safetensors"))
    config = yaml.safe_load((folder / "config.yaml").read_text()) | {"name": name, "seed": 0}
    config["stop"]["samples"] = int(1000 * seconds)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["ended"] |= {"cpu_seconds": 3 * seconds, "samples_seen": int(1000 * seconds)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    result = json.loads((folder / "metrics.json").read_text())
    result["metrics"] |= {"fd_digits": distance} | ({} if bits is None else {"bits_per_dim": bits})
    (folder / "metrics.json").write_text(json.dumps(result))


def test_figures_and_tables(tmp_path: Path) -> None:
    results = tmp_path / "results"
    add_run(results / "families/flow-mnist/0", "flow", 210.0, 3.0, 3.0)
    add_run(results / "families/cdcgan-mnist/0", "cdcgan", 210.0, 0.7, None)
    add_run(results / "compute/flow-60/0", "flow", 60.0, 20.5, 3.25)
    add_run(results / "compute/flow-840/0", "flow", 840.0, 2.5, 2.75)
    add_run(results / "compute/cdcgan-60/0", "cdcgan", 60.0, 4.5, None)
    rows = [
        {"run": "cdcgan", "nfe": None, "recipe": True, "value": 0.75, "floor": 0.5, "sampling_cpu_seconds_per_1000": 0.2},
        {"run": "flow", "nfe": 1, "recipe": False, "value": 90.0, "floor": 0.5, "sampling_cpu_seconds_per_1000": 0.5},
        {"run": "flow", "nfe": 10, "recipe": True, "value": 3.5, "floor": 0.5, "sampling_cpu_seconds_per_1000": 5.0},
    ]
    (results / "steps.json").write_text(json.dumps({"rows": rows}))
    (page := tmp_path / "page.md").write_text(PAGE)
    families({"page": str(page), "results": str(results)})
    text = page.read_text()
    assert "| 60 s | 210 s | 840 s |" in text
    assert "| cdcgan | 4.500 | 0.7500 |  |\n| flow | 20.50, 3.250 | 3.500, 3.000 | 2.500, 2.750 |" in text
    assert "| flow |  | 90.00 in 0.5 s | 3.500 in 5 s |" in text
    drawn = {name: (results / name).read_bytes() for name in ("compute.svg", "steps.svg")}
    assert all(b"flow" in picture for picture in drawn.values())
    families({"page": str(page), "results": str(results)})
    assert page.read_text() == text
    assert all((results / name).read_bytes() == picture for name, picture in drawn.items())


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file"):
        families({"page": str(tmp_path / "page.md"), "results": "results"})


def test_what_has_not_been_measured_stays_as_it_is(tmp_path: Path) -> None:
    (page := tmp_path / "page.md").write_text(PAGE)
    families({"page": str(page), "results": str(tmp_path)})
    assert page.read_text() == PAGE
