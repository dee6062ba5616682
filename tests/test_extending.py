"""docs/extending.md, followed to the letter in a folder of its own, as a user without a fork would."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text()
FILES = re.findall(
    r"`((?:my_lab|conf)/[\w/]+\.(?:py|yaml))`[^`]*?(?:`[^`\n]+`[^`]*?)*```(?:python|yaml)\n(.*?)```", PAGE, re.DOTALL
)
LINES = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
# The page trains a little longer than two steps.
SHORT = {"src.train": ["stop.samples=64", "data.batch_size=32"], "src.sweep": ["stop.samples=640"]}
# Its commands in one process: the imports of each take longer than its work.
ONE_BY_ONE = """
import json, os, runpy, sys
for module, words, exports in json.load(sys.stdin):
    os.environ.update(exports)
    sys.argv = [module, *words]
    try:
        runpy.run_module(module, run_name="__main__")
    except SystemExit as end:
        if end.code:
            sys.exit(f"{sys.argv}: {end.code}")
"""


def run(lines: list[str], project: Path) -> subprocess.CompletedProcess:
    """Commands of the page, with the variables that are exported before each."""
    exports: dict[str, str] = {}
    commands = []
    for kind, *words in map(shlex.split, lines):
        if kind == "export":
            exports = exports | dict(word.split("=", 1) for word in words)
        else:
            assert (kind, words[0]) == ("python", "-m")
            commands.append((words[1], [*words[2:], *SHORT.get(words[1], [])], exports))
    first = commands[0][2]
    return subprocess.run(
        [sys.executable, "-c", ONE_BY_ONE],
        cwd=project,
        env={**os.environ, "OMP_NUM_THREADS": "1", **first},
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder when every file of the page has been written and every command has been run."""
    folder = tmp_path_factory.mktemp("user") / "my-project"
    for name, code in FILES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    (folder / "my_lab" / "__init__.py").touch()
    (folder.parent / "aigc-lab").symlink_to(ROOT)
    answer = run(LINES, folder)
    assert answer.returncode == 0, f"{answer.stdout}{answer.stderr}"
    return folder


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_the_page_names_every_file_of_its_listing(project: Path) -> None:
    listing = re.search(r"```\n(my-project/.*?)```", PAGE, re.DOTALL)
    assert listing
    names = {Path(word).name for word in listing.group(1).split() if word.endswith((".py", ".yaml"))}
    assert names == {Path(name).name for name, _ in FILES} | {"__init__.py"}
    assert [line.split()[2] for line in LINES if line.startswith("python")] == [
        *(f"src.{name}" for name in ("train", "train", "evaluate", "verify", "report")),
        "my_lab.draw_pictures",
        *(f"src.{name}" for name in ("train", "generate", "evaluate", "report", "sweep")),
    ]


def test_a_gan_of_own_parts_with_a_callback_and_a_logger(project: Path) -> None:
    (folder,) = project.glob("runs/tiny/tiny_gan-shapes-*/0")
    manifest = read(folder / "manifest.json")
    assert manifest["ended"]["step"] == 2
    files = {name for name in manifest["sources"] if name.startswith("my_lab")}
    assert files == {f"my_lab/{name}.py" for name in ("callbacks", "loggers", "losses", "networks", "shapes")}
    title, *numbers = (folder / "lines" / "numbers.txt").read_text().splitlines()
    assert title == "tiny_gan, seed 0"
    assert any(line.startswith("2: ") and "weight_norm" in line for line in numbers)


def test_a_conditional_pair_on_a_folder_of_pictures(project: Path) -> None:
    assert len(list((project / "pictures").glob("*/*.png"))) == 400
    assert len(list((project / "squares").glob("0*.png"))) == 16
    assert read(project / "squares" / "samples.json")["provenance"]["class"] == "square"
    assert "fd_digits" in read(project / "runs/my_shapes/0/metrics-samples=20.json")["metrics"]
    assert "tiny_cgan-my_shapes" in (project / "my_shapes.html").read_text()


def test_a_rule_without_samples(project: Path) -> None:
    folder = project / "runs" / "next_token" / "0"
    assert not any((folder / "samples").iterdir())
    result = read(folder / "metrics.json")
    assert result["metrics"]["nats"] < 3
    assert list(result["controls"]) == ["source", "counts", "uniform"]
    assert read(folder / "metrics-split=validation.json")["protocol"]["split"] == "validation"
    assert "nats" in (project / "report.html").read_text()


def test_the_search(project: Path) -> None:
    assert len(list(project.glob("runs/sweeps/rates/*/manifest.json"))) == 2
    assert (project / "runs" / "sweeps" / "rates" / "report.html").is_file()


def test_a_run_folder_needs_the_variable(project: Path) -> None:
    export = next(line for line in LINES if line.startswith("export PYTHONPATH"))
    answer = run([export, "python -m src.evaluate run=runs/next_token/0"], project)
    said, end = answer.stderr.strip().splitlines()
    assert "AIGC_PACKAGES" in said
    assert end == "['src.evaluate', 'run=runs/next_token/0']: 2"


def test_the_same_command_again_needs_no_variable(project: Path) -> None:
    export, training = LINES[0], next(line for line in LINES if "run_dir=runs/next_token/0" in line)
    answer = run([export, training], project)
    assert answer.returncode == 0, answer.stderr
    assert "this result was there already" in answer.stdout
