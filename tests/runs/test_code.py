"""What code a result depends on: no less, and no neighbour's."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from src.runs.code import HARMLESS, closure, imported, sources, syntax_digest
from src.runs.manifest import software, software_changes

ROOT = Path(__file__).parent.parent.parent


def test_a_run_depends_on_what_it_is_built_from_and_on_no_other_network(compose: Any) -> None:
    files = sources("src.train", compose("model=mlp_gan"))
    assert {
        "src/train.py",
        "src/training/fit.py",
        "src/models/gan/gan.py",
        "src/networks/mlp.py",
        "src/models/gan/losses.py",
    } <= files.keys()
    assert {
        "src/data/mnist.py",
        "src/modalities/image.py",
        "src/training/callbacks/validation.py",
        "src/training/ema.py",
    } <= files.keys()
    assert not {"src/networks/dcgan.py", "src/data/digits.py", "src/evaluate.py", "src/data/clients.py"} & files.keys()
    assert "src/networks/dcgan.py" in sources("src.train", compose("model=dcgan"))


def test_an_evaluation_does_not_depend_on_the_training_loop(compose: Any) -> None:
    files = sources("src.evaluate", compose("model=mlp_gan"))
    assert {"src/evaluate.py", "src/evaluation/protocol.py", "src/models/gan/gan.py"} <= files.keys()
    assert not {"src/training/fit.py", "src/training/callbacks/checkpoint.py"} & files.keys()


def test_nothing_that_a_run_imports_is_missed(compose: Any, command: Any, tmp_path: Path) -> None:
    """Against Python itself: every module of ours that a real run has loaded is in the list, or is known to be harmless."""
    script = tmp_path / "loaded.py"
    script.write_text(
        "import sys\nfrom src.config import command_line\nfrom src.train import train\n"
        "def task(config):\n    train(config)\n"
        "    print('LOADED', *sorted(name for name in sys.modules if name.startswith('src.')))\n"
        "command_line.run('train', task)\n"
    )
    words = ["model=mlp_gan", "data=digits", "debug=tiny", "stop.samples=64", f"run_dir={tmp_path / 'run'}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(
        [sys.executable, script, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    (loaded,) = [line.split()[1:] for line in answer.stdout.splitlines() if line.startswith("LOADED")]
    files = sources("src.train", compose(*words))
    own = {name for name in loaded if (ROOT / name.replace(".", "/")).with_suffix(".py").is_file()}
    assert own - HARMLESS <= {name.removesuffix(".py").replace("/", ".") for name in files}


def test_comments_and_docstrings_do_not_count() -> None:
    first = syntax_digest(b'"""A."""\n\nclass A:\n    """B."""\n\n    def f(self):\n        return 1\n')
    assert first == syntax_digest(b'class A:\n    def f(self):  # of course\n        """C."""\n        return (1)\n')
    assert first != syntax_digest(b"class A:\n    def f(self):\n        return 2\n")


def test_imports_anywhere_and_relative_ones() -> None:
    source = b"import x.y\ndef f():\n    from src.training import rng\n    from ..c import d\n    from . import e\n"
    assert imported(source, ("p", "q", "b")) == ["x.y", "src.training", "src.training.rng", "p.c", "p.c.d", "p.q", "p.q.e"]


def test_relative_imports_of_a_package() -> None:
    source = b"from . import e\nfrom .c import d\nfrom ..f import g\n"
    assert imported(source, ("p", "q", "__init__")) == ["p.q", "p.q.e", "p.q.c", "p.q.c.d", "p.f", "p.f.g"]


def test_other_peoples_packages_are_left_to_the_lock_file() -> None:
    assert closure(["torch.optim", "numpy"]) == {}


def test_a_users_package_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "my_lab").mkdir()
    (tmp_path / "my_lab" / "__init__.py").write_text("")
    (tmp_path / "my_lab" / "nets.py").write_text("from my_lab import blocks\n")
    (tmp_path / "my_lab" / "blocks.py").write_text("from src.training import rng\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert closure(["my_lab.nets"]).keys() == {"my_lab.nets", "my_lab.blocks", "src.training.rng"}


def test_a_users_code_counts_in_a_package_and_in_one_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compose: Any
) -> None:
    losses = tmp_path / "my_lab" / "losses"
    losses.mkdir(parents=True)
    (tmp_path / "my_lab" / "__init__.py").write_text('"""Mine."""\n')
    (losses / "__init__.py").write_text("from .margin import margin_generator\n")
    (losses / "margin.py").write_text("import one\n")
    (losses / "other.py").write_text("")
    (tmp_path / "one.py").write_text("from src.training import rng\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert closure(["one"]).keys() == {"one", "src.training.rng"}
    assert closure(["my_lab.losses"]).keys() == {"my_lab.losses", "my_lab.losses.margin", "one", "src.training.rng"}
    assert closure(["my_lab.losses.other"]).keys() == closure(["my_lab.losses"]).keys() | {"my_lab.losses.other"}
    config = compose("model=mlp_gan")
    config["loss"]["_target_"] = "my_lab.losses.margin_generator"
    files = sources("src.train", config)
    assert {"my_lab/losses/__init__.py", "my_lab/losses/margin.py", "one.py"} <= files.keys()
    assert not {"src/__init__.py", "my_lab/__init__.py"} & files.keys()


def test_changes_are_those_of_files_that_count_now(compose: Any) -> None:
    now = software(compose("model=mlp_gan"))
    older = {**now, "sources": {**now["sources"], "src/unrelated.py": "1234"}}
    assert software_changes(older, now) == []
    changed = {**now, "sources": {**now["sources"], "src/training/ema.py": "1234"}}
    (change,) = software_changes(changed, now)
    assert change.endswith(": src/training/ema.py")
