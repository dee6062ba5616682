import json
from pathlib import Path
from typing import Any

import torch

from src.runs.export import state_hash
from src.runs.load import load_run
from src.train import train

WORDS = ["model=mlp_gan", "data=digits", "debug=tiny", "trainer.threads=1", "evaluate=false"]


def test_a_trace_a_table_and_the_same_run(tiny_run: Path, compose: Any, tmp_path: Path, capsys: Any) -> None:
    train(compose(*WORDS, "trainer=profile", "trainer.profile=3", f"run_dir={tmp_path / 'run'}"))
    said = capsys.readouterr().out
    summary = (tmp_path / "run" / "profile" / "summary.txt").read_text()
    assert summary in said
    # Blocks end where something is due: after step 1, after 3 for a grid, after 5 for scalars.
    assert summary.startswith("steps 2 to 5\n")
    operations = {line.split()[0]: line.split()[1:] for line in summary.splitlines()[2:]}
    # Layers with a bias: one of G, three of D on real and fake together and again on fakes; and the grid of step 3.
    assert operations["aten::addmm"][0] == f"{(4 * 7 + 1) / 4:.1f}"
    shares = [float(line.rsplit(maxsplit=1)[1].rstrip("%")) for line in summary.splitlines()[2:]]
    assert abs(sum(shares) - 100) < 2
    trace = json.loads((tmp_path / "run" / "profile" / "trace.json").read_text())
    assert any(event.get("name") == "aten::addmm" for event in trace["traceEvents"])
    assert state_hash(load_run(tmp_path / "run").state_dict()) == state_hash(load_run(tiny_run).state_dict())
    assert torch.autograd.profiler._is_profiler_enabled is False
