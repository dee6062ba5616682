"""Bad input: one line with the remedy, exit code 2, before anything expensive. Real commands, as a user types them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from src.config import command_line
from src.config.command_line import quoted

ROOT = Path(__file__).parent.parent.parent

CASES = {
    "unknown model": (["train", "model=mpl_gan"], "no model=mpl_gan: did you mean mlp_gan"),
    "unknown experiment": (["train", "experiment=mlp_gan_listin"], "did you mean mlp_gan_listing"),
    "unknown loss": (["train", "loss=non_saturatin"], "did you mean non_saturating"),
    "unknown key": (
        ["train", "model.generator.z_dims=3"],
        "no setting 'model.generator.z_dims': did you mean model.generator.z_dim",
    ),
    "unknown top key": (["train", "sed=3"], "no setting 'sed': did you mean seed"),
    "a key without its sections": (
        ["train", "lr=1"],
        "no setting 'lr': did you mean model.d_optimizer.lr or model.g_optimizer.lr?",
    ),
    "a key without its sections, of another model": (
        ["train", "+lr=1", "model=vae"],
        "no setting 'lr': did you mean model.optimizer.lr?",
    ),
    "a key without its first section": (["train", "r1.weight=1"], "did you mean model.penalties.r1.weight?"),
    "a key in the wrong section": (
        ["train", "model.generator.lr=1"],
        "did you mean model.d_optimizer.lr or model.g_optimizer.lr?",
    ),
    "a section without its section": (["train", "lr_schedule=null"], "did you mean model.lr_schedule?"),
    "a loss that the model has none of": (
        ["train", "model=vae", "loss=hinge"],
        "loss: nothing reads it with this model",
    ),
    "unknown group": (["train", "modle=mlp_gan"], "no setting 'modle': did you mean model"),
    "no group": (["train", "model=null"], "model=null: model takes the name of a config: known: acgan, "),
    "no group among several": (["train", "-m", "loss=hinge,null"], "loss=hinge,null: loss takes the name of a config"),
    "a number for a group": (["generate", "hydra=3"], "hydra=3: hydra takes the name of a config: known: quiet"),
    "an empty group": (["prepare", "data=[]"], "data=[]: data takes the name of a config: known: avatars, "),
    "a section that is null": (["train", "stop=null"], "stop=null: is a section, set its entries: stop.epochs=..."),
    "a section that is a number": (["train", "samples=64"], "samples=64: is a section, set its entries: samples.n=..."),
    "a section that is gone": (["train", "~validation"], "validation is missing: leave ~validation out, null switches it off"),
    "a key that is gone": (["train", "~seed"], "seed is missing: leave ~seed out"),
    "a part that is gone": (["train", "~stop.samples"], "stop.samples is missing: leave ~stop.samples out"),
    "no data": (["train", "data.source=null"], "data.source=null: must be settings with a _target_"),
    "a key that nothing reads": (["train", "+foo=3"], "there is no setting 'foo': known: callbacks, checkpoint, data, "),
    "a data key that nothing reads": (["train", "+data.worker=3"], "no setting 'data.worker': did you mean data.workers"),
    "a stop that nothing reads": (["train", "+stop.sample=3"], "no setting 'stop.sample': did you mean stop.samples"),
    "an evaluation on no device": (
        ["train", "data=digits", "evaluation.device=gpu"],
        "evaluation.device='gpu': must be cpu, mps,",
    ),
    "a value to be quoted": (["evaluate", "run=/tmp/lr=3"], "take two pairs of quotes: key=\"'...'\""),
    "several values": (["train", "seed=0,1"], "'seed=0,1': several values, one run for each, take -m"),
    "not key=value": (["train", "mlp_gan"], "cannot read 'mlp_gan'"),
    "a list of samples": (["generate", "run=runs/none", "n=[3]"], "n=[3]: must be a whole number of at least 1 or null"),
    "no steps": (["verify", "run=runs/none", "steps=[]"], "steps=[]: must be a whole number"),
    "neither true nor false": (["train", "fresh=maybe"], "fresh='maybe': must be true or false"),
    "batch 0": (["train", "data.batch_size=0"], "data.batch_size=0: must be a whole number of at least 1"),
    "wrong type": (["train", "data.batch_size=big"], "data.batch_size='big': must be a whole number"),
    "negative lr": (["train", "model.g_optimizer.lr=-1"], "model.g_optimizer.lr=-1: must be a number above 0"),
    "z_dim 0": (["train", "model.generator.z_dim=0"], "model.generator.z_dim=0: must be"),
    "no end": (["train", "data=digits", "stop.samples=null"], "the run would never end"),
    "batch over data": (["train", "data=digits", "data.batch_size=5000"], "more than the"),
    "a batch that does not divide": (["train", "data=digits", "devices=3"], "does not divide by 3 processes"),
    "no devices": (["train", "data=digits", "trainer.devices=none"], "trainer.devices='none': must be a whole number"),
    "no loss": (["train", "data=digits", "loss=none"], "needs an adversarial loss: loss=non_saturating"),
    "unknown strategy": (
        ["train", "data=digits", "trainer.strategy=dpp"],
        "trainer.strategy=dpp is not known: did you mean ddp",
    ),
    "unknown accelerator": (["train", "data=digits", "trainer.accelerator=gpuu"], "trainer.accelerator=gpuu"),
    "unknown wandb mode": (
        ["train", "data=digits", "logger.wandb.mode=on"],
        "logger.wandb.mode=on is not known: did you mean o",
    ),
    "what Lightning would end it by": (["train", "data=digits", "+trainer.max_epochs=3"], "so say it by stop.epochs"),
    "unknown extractor": (["train", "data=digits", "evaluation.extractor=digit"], "did you mean digits"),
    "unfit extractor": (
        ["train", "data=digits", "evaluation.extractor=points"],
        "evaluation.extractor=points cannot measure samples of shape [1, 8, 8]",
    ),
    "text for images": (
        ["train", "model=mlp_gan", "data=text", "data.path=README.md"],
        "evaluation=images measures images and points, not tokens: take another evaluation=",
    ),
    "no weights": (["train", "data=digits", "evaluation.weights=nope"], "evaluation.weights=nope is no file"),
    "no epochs": (["tools.extractor", "epochs=0"], "epochs=0: must be"),
    "too small for the classifier": (["tools.extractor", "data=digits"], "the classifier takes grey images of 28 x 28"),
    "unwritable weights": (["tools.extractor", "output=/dev/null/x"], "cannot write to /dev/null"),
    "a folder for weights": (["tools.extractor", "output=src"], "output=src is a folder"),
    "no README": (["tools.readme", "pages=[nope]"], "nope is no file: run this in the repository's folder"),
    "two pages, one file": (["report", "runs=results", "out=x", "table=./x"], "must name different files"),
    "unknown run": (["evaluate", "run=runs/none"], "is not a run folder"),
    "no run": (["generate"], "say which run"),
    "unknown format": (["generate", "run=runs/none", "format=gif"], "format=gif"),
    "no target": (["train", "model._target_=GAN"], "model._target_='GAN': must be the dotted name of a class or function"),
    "no such module": (
        ["train", "data=digits", "data.source._target_=my_lab.Data"],
        "no module my_lab: correct it, or set PYTHONPATH",
    ),
    "no such class": (
        ["train", "data=digits", "data.source._target_=src.data.digits.Digit"],
        "data.source._target_=src.data.digits.Digit: src.data.digits defines no class or function of that name",
    ),
    "no such argument": (
        ["train", "data=digits", "+data.source.pth=x"],
        "data.source: src.data.digits.Digits has no argument 'pth'",
    ),
    "unwritable folder": (["train", "data=digits", "run_dir=/dev/null/run"], "cannot write to /dev/null/run"),
}


# One process for all: Python's start and the imports take longer than an answer.
ONE_BY_ONE = """
import contextlib, io, json, runpy, sys
answers = {}
for case, words in json.load(sys.stdin).items():
    sys.argv, code, errors = words, 0, io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            runpy.run_module("src." + words[0], run_name="__main__")
        except SystemExit as end:
            code = end.code
    answers[case] = code, errors.getvalue()
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(no_torch: dict[str, str]) -> dict[str, tuple[int, str]]:
    """Exit code and stderr of each of CASES."""
    done = subprocess.run(
        [sys.executable, "-c", ONE_BY_ONE],
        cwd=ROOT,
        env={**os.environ, **no_torch},
        input=json.dumps({case: words for case, (words, _) in CASES.items()}),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case: str, answers: dict[str, tuple[int, str]]) -> None:
    code, errors = answers[case]
    assert code == 2, errors
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1, errors
    assert CASES[case][1] in errors


def test_a_config_that_is_no_yaml(command: Any, no_torch: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "it's"
    (folder / "experiment").mkdir(parents=True)
    (folder / "experiment" / "mine.yaml").write_text("a: [1")
    answer = command("train", "--config-dir", str(folder), "experiment=mine", env=no_torch)
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: a config is no YAML: while parsing a flow sequence in ")
    assert f'"{folder}/experiment/mine.yaml", line 1' in answer.stderr


USERS = {
    "no header": ("stop: {samples: 64}", "its first line must be '# @package _global_'"),
    "a header on the third line": ("# mine\n\n# @package _global_\nstop: {samples: 64}", "its first line must be"),
    "a byte-order mark": ("\ufeff# @package _global_\nstop: {samples: 64}", "without a byte-order mark"),
    "a typo in a section": ("# @package _global_\nstop: {sample: 64}", "experiment/mine.yaml): did you mean stop.samples"),
    "a typo at the top": ("# @package _global_\nsede: 3", "no setting 'sede' (in "),
    "a typo in data": ("# @package _global_\ndata: {batchsize: 64}", "mine.yaml): did you mean data.batch_size"),
    "a typo in a model": ("# @package _global_\nmodel: {d_step: 2}", "GAN has no argument 'd_step': did you mean d_steps"),
}


@pytest.mark.parametrize("case", USERS)
def test_a_config_file_of_the_user_is_checked_like_the_command_line(case: str, in_process: Any, tmp_path: Path) -> None:
    text, message = USERS[case]
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(text, encoding="utf-8")
    words = ("--config-dir", str(tmp_path), "data=digits", "debug=tiny", f"run_dir={tmp_path / 'run'}", "experiment=mine")
    answer = in_process("train", *words)
    assert answer.returncode == 2, answer.stderr
    assert answer.stderr.count("\n") == 1, answer.stderr
    assert message in answer.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "data=mnist,digits", "--config-dir", "DIR", "seed=3"],
        ["data=mnist,digits", "--config-dir", "DIR", "seed=3", "-m"],
        ["--config-dir", "DIR", "data=mnist,digits", "-m", "seed=3"],
    ],
)
def test_options_may_stand_anywhere(words: list[str]) -> None:
    found = command_line.options_first(words)
    assert found[-2:] == ["data=mnist,digits", "seed=3"]
    assert sorted(found) == sorted(words)
    assert found[found.index("--config-dir") + 1] == "DIR"


def test_several_runs_with_a_folder_of_configs_in_the_middle(in_process: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text((ROOT / "conf" / "data" / "digits.yaml").read_text())
    answer = in_process("prepare", "-m", "data=mine,digits", "--config-dir", str(tmp_path), f"hydra.sweep.dir={tmp_path}")
    assert (answer.returncode, answer.stdout.count("digits: complete")) == (0, 2), answer.stderr


def test_torchrun_is_for_trainings(command: Any, no_torch: dict[str, str]) -> None:
    answer = command("evaluate", "run=runs/none", env={**no_torch, "TORCHELASTIC_RUN_ID": "x", "RANK": "1"})
    assert (answer.returncode, answer.stderr) == (
        2,
        "error: torchrun and srun are for python -m src.train: leave them out here\n",
    )


def test_help_needs_no_torch(command: Any, no_torch: dict[str, str]) -> None:
    answer = command("train", "--help", env={**no_torch, "COLUMNS": "160"})
    assert answer.returncode == 0
    assert "  model=mlp_gan: acgan, " in answer.stdout
    lines = answer.stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("  stop.minutes=null ")]
    assert line.endswith(" of training, over all its resumptions [a number above 0 or null]")
    assert "Groups" not in command("generate", "--help", env=no_torch).stdout


def test_the_trap_works(command: Any, no_torch: dict[str, str], tmp_path: Path) -> None:
    answer = command("train", "data=digits", "debug=tiny", f"run_dir={tmp_path}/run", env=no_torch)
    assert answer.returncode == 1
    assert "torch was imported" in answer.stderr


def test_a_failed_job_of_several_does_not_stop_the_rest(command: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = command("prepare", "-m", "data=mnist,digits", f"paths.data={tmp_path}/file")
    assert answer.returncode == 2
    assert "digits: complete and checked" in answer.stdout


def test_nothing_is_left_behind(in_process: Any, tmp_path: Path) -> None:
    in_process("train", "data=digits", "data.batch_size=0", f"run_dir={tmp_path}/run")
    in_process("train", "data=digits", "stop.samples=null", f"run_dir={tmp_path}/run")
    assert list(tmp_path.iterdir()) == []


LEAVING = """
import sys
from src.config import command_line
def task(config):
    print("seed", config["seed"])
    if config["seed"] == 0:
        sys.exit(0)
sys.argv = ["train", "-m", "seed=0,1", "hydra.sweep.dir=SWEEP"]
command_line.run("train", task)
"""


def test_one_that_leaves_does_not_stop_the_rest(tmp_path: Path) -> None:
    program = LEAVING.replace("SWEEP", str(tmp_path))
    answer = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert answer.stdout == "seed 0\nseed 1\n"
    assert answer.stderr == "error: this job called sys.exit(0)\n"
    assert answer.returncode == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_streams_may_be_closed(closed: str, tmp_path: Path) -> None:
    """As for cron jobs and daemons: a file that is opened later must not become the standard output."""
    code = f"""
import sys
from pathlib import Path
from src.config import command_line
def task(config):
    with open({str(tmp_path / "file")!r}, "w") as file:
        print("printed", sys.stdout.isatty(), flush=True)
        file.write("written")
command_line.run("prepare", task)
"""
    shell = f"exec {sys.executable} -c '$CODE' {closed}".replace("'$CODE'", '"$CODE"')
    done = subprocess.run(["sh", "-c", shell], cwd=ROOT, env={**os.environ, "CODE": code}, capture_output=True, timeout=60)
    assert done.returncode == 0
    assert (tmp_path / "file").read_text() == "written"


@pytest.mark.parametrize(
    "text",
    ["春風", "a,b", "it's", "back\\", "\\' x", "a=b", "{x}", "[x]", "a\nb", "007", "' x", "5,5,5,5", '"a," she said, "b"'],
)
def test_text_reaches_the_command_as_it_is(text: str) -> None:
    parsed = OverridesParser.create().parse_override(quoted(f"prompt={text}", "generate"))
    assert parsed.value() == text


@pytest.mark.parametrize("word", ["prompt=null", "prompt='a b'", 'prompt="a b"', "n=3", "run=a,b"])
def test_other_words_are_for_hydra(word: str) -> None:
    assert quoted(word, "generate") == word
    assert quoted("prompt=a,b", "train") == "prompt=a,b"
