"""A training's folder: who holds it, what of an earlier one can be gone on with; and how trainings are ended."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from src.config.errors import UserError
from src.parallel.place import Place
from src.runs.folder import RunFolder
from src.runs.manifest import software
from src.search.jobs import Job, run_jobs
from src.system.files import write_json
from src.system.numerics import here


@pytest.fixture
def begun(compose: Any, tmp_path: Path) -> tuple[RunFolder, dict[str, Any]]:
    """A folder with the record of a training that is not over, and its config."""
    config = compose("model=mlp_gan", "data=digits")
    with RunFolder(tmp_path / "run") as run:
        run.write_config(config)
        run.update_manifest(**software(config, "image"))
    return run, config


def claimed(run: RunFolder, config: dict[str, Any]) -> Job:
    job = Job(run.path)
    assert job.claim()
    assert job.begin_anew(config)
    assert not Job(run.path).claim()  # it is held, anew or not
    return job


def test_a_training_goes_on_with_the_same_recipe_and_code(begun: tuple[RunFolder, dict[str, Any]]) -> None:
    run, config = begun
    claimed(run, config | {"evaluate": False})
    assert run.started()


@pytest.mark.parametrize("change", ["code", "machine", "recipe", "damage"])
def test_a_training_that_cannot_go_on_begins_anew(change: str, begun: tuple[RunFolder, dict[str, Any]], capsys: Any) -> None:
    run, config = begun
    if change == "code":
        run.update_manifest(sources=run.manifest()["sources"] | {"src/train.py": "0"})
    if change == "machine":
        run.update_manifest(**here(config, Place()) | {"cpu": "another"})
    if change == "recipe":
        config = config | {"seed": 7}
    if change == "damage":
        (run.path / "config.yaml").write_text("name: [")
    claimed(run, config)
    assert not run.started()
    assert RunFolder(run.path.with_name("run.kept1")).started()
    answer = {"code": "src/train.py", "machine": "cpu another -> ", "recipe": "seed: 0 -> 7", "damage": "is damaged"}[change]
    assert answer in capsys.readouterr().out


@pytest.mark.parametrize("left", ["nothing", "evaluation", "evaluation of none"])
def test_a_result_stays_one_when_the_code_changes(left: str, begun: tuple[RunFolder, dict[str, Any]]) -> None:
    """A training that still has to be evaluated is none: with other code that would be refused."""
    run, config = begun
    run.update_manifest(sources=run.manifest()["sources"] | {"src/train.py": "0"}, ended={"reason": "images"})
    if left == "nothing":
        write_json(run.path / "metrics.json", {"metrics": {}})
    claimed(run, config | {"evaluate": left != "evaluation of none"})
    assert run.started() == (left != "evaluation")


def test_a_folder_that_cannot_be_written_is_not_taken_for_one_that_is_held(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").write_text("in the way")
    with pytest.raises(UserError, match="cannot write to"):
        Job(tmp_path / "run").claim()
    with RunFolder(tmp_path / "held"):
        assert not Job(tmp_path / "held").claim()


def test_any_folder_is_named_in_hydras_grammar(compose: Any, tmp_path: Path) -> None:
    folder = tmp_path / "a=b, (ü) it's"
    assert compose("model=mlp_gan", *Job(folder).words)["run_dir"] == str(folder)


@pytest.mark.parametrize(
    ("number", "answer"),
    [(9, "killed by SIGKILL (out of memory?)"), (40, "killed by signal 40")],
)
def test_a_process_that_was_killed_says_by_what(number: int, answer: str, tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.process = subprocess.Popen([sys.executable, "-c", f"import os; os.kill(os.getpid(), {number})"])
    job.process.wait()
    assert job.failure() == answer


class Saving(Job):
    """A process that saves when it is told to stop; its command meets a full disk."""

    def start(self) -> None:
        program = (
            "import pathlib, signal, time\n"
            f"folder = pathlib.Path({str(self.run.path)!r})\n"
            "def save(*_):\n    (folder / 'saved').touch(); raise SystemExit\n"
            "signal.signal(signal.SIGTERM, save); (folder / 'ready').touch(); time.sleep(60)\n"
        )
        self.process = subprocess.Popen([sys.executable, "-c", program])

    def watch(self) -> None:
        while not (self.run.path / "ready").exists():
            time.sleep(0.01)
        raise OSError("no space left")


def test_what_runs_is_saved_when_the_command_fails(tmp_path: Path) -> None:
    jobs: list[Job] = [Saving(tmp_path)]
    assert jobs[0].claim()
    with pytest.raises(OSError, match="no space left"):
        run_jobs(lambda: jobs.pop() if jobs else None, 1, lambda: False)
    assert (tmp_path / "saved").exists()
    assert Job(tmp_path).claim()
