"""What comes from elsewhere (run folder, checkpoint, cached file, weights) runs no code, and secrets stay out of files."""

import ast
import io
import json
import os
import pickle
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from src.config.build import instantiate, locate
from src.config.checks import validate
from src.config.errors import UserError
from src.evaluate import evaluate
from src.evaluation.cache import cached
from src.evaluation.extractors.extractor import load_extractor
from src.generate import generate
from src.runs.checkpoints import digest_path
from src.runs.folder import RunFolder
from src.runs.load import load_run
from src.system.files import sha256
from src.train import train
from src.training.callbacks.checkpoint import AtomicCheckpointIO

ROOT = Path(__file__).parent.parent
TINY = ["model=mlp_gan", "data=digits", "debug=tiny", "trainer.threads=1"]


class Evil:
    """Unpickling it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """What an attack would make, and has not made when the test is over."""
    path = tmp_path / "code ran"
    pickle.loads(pickle.dumps(Evil(path)))
    assert path.is_dir(), "the attack works where nobody resists"
    path.rmdir()
    yield path
    assert not path.exists(), "code from elsewhere ran"


# Sources: the ways to run what is in a file are few, and none is used.

FORBIDDEN_MODULES = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
FORBIDDEN_CALLS |= {f"yaml.{name}" for name in ("load", "load_all", "full_load", "unsafe_load")}
FORBIDDEN_CALLS |= {"hydra.utils.instantiate", "hydra.utils.call", "torch.hub.load", "torch.jit.load", "load_from_checkpoint"}


def dangers(source: str) -> list[str]:
    """What in a Python source could run code that a file or a config brings."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            found += [name for name in names if name in FORBIDDEN_MODULES | FORBIDDEN_CALLS | {"torch.load", "numpy.load"}]
        elif isinstance(node, ast.Call):
            name, settings = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
            safe_load = name != "torch.load" or settings.get("weights_only") == "True"
            safe_array = not name.endswith(("np.load", "numpy.load")) or settings.get("allow_pickle", "False") == "False"
            forbidden = name in FORBIDDEN_CALLS or name.endswith(".load_from_checkpoint")
            if forbidden or not safe_load or not safe_array or settings.get("shell", "False") != "False":
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "src").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_no_source_runs_what_a_file_brings(path: Path) -> None:
    assert dangers(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=safe)",
        "from torch import load",
        "np.load(path, allow_pickle=True)",
        "import pickle",
        "from joblib import load",
        "yaml.load(text, yaml.Loader)",
        "eval(text)",
        "subprocess.run(text, shell=True)",
        "from hydra.utils import instantiate",
        "GAN.load_from_checkpoint(path)",
    ],
)
def test_the_search_finds(source: str) -> None:
    assert dangers(source)


# Checkpoints. A digest says that the bytes are those that were written, not that they mean well.


def zipped(evil: object) -> bytes:
    buffer = io.BytesIO()
    torch.save({"state_dict": {"weight": evil}, "clock": {"step": 20, "samples_seen": 640}}, buffer)
    return buffer.getvalue()


def before_zip(evil: object) -> bytes:
    buffer = io.BytesIO()
    torch.save({"state_dict": evil}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


@pytest.fixture(params=[zipped, before_zip, pickle.dumps])
def evil_run(request: pytest.FixtureRequest, tiny_run: Path, tmp_path: Path, marker: Path) -> Path:
    """A run, all of whose checkpoints are malicious, with the digests that belong to them."""
    folder = shutil.copytree(tiny_run, tmp_path / "tiny" / "0")
    for path in (folder / "checkpoints").glob("*.ckpt"):
        path.write_bytes(request.param(Evil(marker)))
        digest_path(path).write_text(f"{sha256(path)}  {path.name}\n")
    return folder


def test_a_malicious_checkpoint(evil_run: Path, compose: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    manifest = json.loads((evil_run / "manifest.json").read_text())
    del manifest["ended"]  # so that training would go on from it
    (evil_run / "manifest.json").write_text(json.dumps(manifest))
    checkpoint = RunFolder(evil_run).checkpoint()
    words = ["evaluation.samples=10", "evaluation.seed=0", f"paths.cache={tmp_path}/cache"]
    for attempt in (
        lambda: load_run(evil_run),
        lambda: AtomicCheckpointIO().load_checkpoint(checkpoint, weights_only=False),
        lambda: generate(compose(f"run={evil_run}", "n=4", name="generate", nullable=("paths.data", "data.path"))),
        lambda: evaluate(
            compose(f"run={evil_run}", *words, name="evaluate", nullable=("evaluation.", "paths.data", "data.path"))
        ),
        lambda: train(compose(*TINY, f"run_dir={evil_run}", f"paths.cache={tmp_path}/cache", "on_change=accept")),
    ):
        with pytest.raises(UserError, match=r"\.ckpt holds more than tensors and plain values"):
            attempt()


# Caches and weights.


def test_a_malicious_cache_is_made_again(tmp_path: Path, marker: Path) -> None:
    good = {"real": np.arange(3.0)}
    cached(tmp_path, {}, lambda: good)
    (path,) = tmp_path.glob("reference-*.npz")
    buffer = io.BytesIO()
    np.savez(buffer, real=np.array([Evil(marker)], dtype=object), allow_pickle=True)
    for evil in (buffer.getvalue(), pickle.dumps(Evil(marker))):
        path.write_bytes(evil)
        assert cached(tmp_path, {}, lambda: good)["real"].tolist() == [0, 1, 2]
        with np.load(path, allow_pickle=False) as stored:
            assert stored["real"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("extractor", ["digits", "inception-v3-compat"])
@pytest.mark.parametrize("form", [zipped, before_zip, pickle.dumps])
def test_malicious_weights_of_an_extractor(extractor: str, form: Callable[..., bytes], tmp_path: Path, marker: Path) -> None:
    (tmp_path / "evil.pt").write_bytes(form(Evil(marker)))
    with pytest.raises(UserError, match=r"evil.pt holds no .*weights"):
        load_extractor(extractor, tmp_path / "evil.pt")


# Targets. A prefix alone would let attributes of attributes through to any module, and our own tools to run programs.

REFUSED_TARGETS = [
    "os.system",
    "src.data.clients._client",
    "src.data.clients.subprocess.run",
    "src.data.clients.DebianPackage",
    "src.data.sources.Mirror",
    "src.system.files.write_atomic",
    "src.runs.folder.io.open",
    "src.runs.folder.subprocess.run",
    "src.config.command_line.hydra.utils.instantiate",
    "src.config.command_line.sys.modules.get",
    "src.runs.manifest.importlib.import_module",
    "src.networks.__loader__.get_data",
    "src.data.mnist.MNIST.__init__.__globals__.get",
    "torch.load",
    "torch.hub.load",
    "torch.optim",
    "torch.optim.",
    "torch.optim..Adam",
    "torch.optimizer.Adam",
    "pytorch_lightning.LightningModule.load_from_checkpoint",
    "SRC.data.clients._client",
    " src.data.digits.Digits",
    "src.data.digits.Digits\n",
    "src/data/digits.Digits",
    "src.${x}",
    "src.data.${oc.env:HOME}",
    ["src.data.digits.Digits"],
    {"_target_": "src.data.digits.Digits"},
    None,
    3,
]
PLACES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "top": lambda evil: evil,
    "argument": lambda evil: {"_target_": "src.data.digits.Digits", "folder": evil},
    "list": lambda evil: {"model": {"widths": [1, [evil]]}},
    "_args_": lambda evil: {"model": {"_target_": "src.models.gan.gan.GAN", "_args_": [evil]}},
    "_partial_": lambda evil: {"model": {"_target_": "src.models.gan.gan.GAN", "_partial_": evil}},
    "partial": lambda evil: {"model": {**evil, "_partial_": True}},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("target", REFUSED_TARGETS, ids=str)
def test_a_target_is_refused_by_its_name(target: Any, place: str) -> None:
    with pytest.raises(UserError, match="is not allowed"):
        validate(PLACES[place]({"_target_": target}), trusted=False)


@pytest.mark.parametrize(
    "target",
    [
        "src.data.mnist.subprocess.run",
        "src.data.mnist.get",  # of src.data.sources
        "src.data.mnist.DvcRemote",
        "src.data.mnist.np.load",
        "src.data.mnist.MNIST.prepare",
        "src.data.mnist.ROWS",
        "src.data.nothing.Nothing",
        "src.data.digits.hashlib",
        "src.models.gan.gan.GAN.load_from_checkpoint",
        "src.models.gan.gan.partial",
        "torch.optim.adam.torch.load",
        "torch.optim.adam.cast",
        "torch.optim.lr_scheduler.partial",
        "torch.optim.lr_scheduler",
    ],
)
def test_a_target_is_refused_by_what_it_is(target: str) -> None:
    validate({"model": {"_target_": target}}, trusted=False)  # the name alone does not tell
    with pytest.raises(UserError, match=r"^model._target_=.* is not allowed"):
        instantiate({"_target_": target, "_partial_": True}, "model", trusted=False)


def test_every_target_of_our_configs_is_found() -> None:
    text = "".join(path.read_text() for path in (ROOT / "conf").rglob("*.yaml"))
    targets = {line.split("_target_:")[1].split()[0].rstrip("},") for line in text.splitlines() if "_target_:" in line}
    assert len(targets) > 8
    for target in targets:
        assert callable(locate(target, "key")), target


def test_instantiate_resolves_no_interpolation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE", "secret")
    assert instantiate({"a": ["${oc.env:FAKE}", {"b": "${.a}"}]}, "x") == {"a": ["${oc.env:FAKE}", {"b": "${.a}"}]}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"_target_": "torch.optim.Adam", "_partial_": True, "speed": 3}, "model: torch.optim.Adam has no argument 'speed': "),
        ({"_target_": "src.data.digits.Digits", "_recursive_": False}, "Digits has no argument '_recursive_'"),
        ([{"_target_": "src.data.digits.Digits", "_args_": [1]}], "model.0: src.data.digits.Digits has no argument '_args_'"),
    ],
)
def test_arguments_that_do_not_fit_are_named(value: Any, words: str) -> None:
    with pytest.raises(UserError) as error:
        instantiate(value, "model")
    assert words in str(error.value)


# A run folder from elsewhere, and the command line, as a user meets them.


@pytest.fixture
def lab(command: Any, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """A command in an environment in which importing torch is a fault."""
    (tmp_path / "trap").mkdir()
    (tmp_path / "trap" / "torch.py").write_text('raise RuntimeError("torch was imported")\n')
    return lambda *words, **env: command(*words, env={"PYTHONPATH": str(tmp_path / "trap"), **env})


@pytest.fixture
def foreign(compose: Callable[..., dict[str, Any]], tmp_path: Path) -> Callable[..., Path]:
    """foreign(change): a run folder with a whole checkpoint, whose config was changed by `change` before it came here."""

    def make(change: Callable[[dict[str, Any]], object]) -> Path:
        config = compose(*TINY)
        change(config)
        with RunFolder(tmp_path / "run") as run:
            (run.path / "config.yaml").write_text(yaml.safe_dump(config))
            path = run.checkpoint_path("step", 20)
            path.write_bytes(zipped(0))
            digest_path(path).write_text(sha256(path))
        return run.path

    return make


@pytest.mark.parametrize("module", ["evaluate", "generate"])
def test_a_run_folder_with_a_malicious_target(module: str, lab: Any, foreign: Callable[..., Path], marker: Path) -> None:
    evil = {"_target_": "src.data.clients._client", "command": ["mkdir", str(marker)], "here": "/", "seconds": 5.0}
    answer = lab(module, f"run={foreign(lambda config: config['model']['generator'].update(widths=[evil]))}")
    assert answer.returncode == 2, answer.stderr
    assert "error: model.generator.widths.0._target_='src.data.clients._client' is not allowed: " in answer.stderr


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.mkdir", "!!python/object/new:os.mkdir"])
def test_a_config_with_a_yaml_tag(tag: str, foreign: Callable[..., Path], marker: Path) -> None:
    folder = foreign(lambda config: None)
    with (folder / "config.yaml").open("a") as config:
        config.write(f"zz: {tag} ['{marker}']\n")
    with pytest.raises(UserError, match=r"config.yaml is damaged"):
        RunFolder(folder).config()


@pytest.mark.parametrize("text", ["a/${oc.env:FAKE_KEY}/b", "${hydra:runtime.cwd}"])
@pytest.mark.parametrize("module", ["evaluate", "train"])
def test_a_run_folder_is_told_nothing_of_this_machine(text: str, module: str, lab: Any, foreign: Any) -> None:
    folder = foreign(lambda config: config["data"]["source"].update(folder=text))
    words = [*TINY, f"run_dir={folder}"] if module == "train" else [f"run={folder}"]
    answer = lab(module, *words, FAKE_KEY="fake-key-of-this-machine")
    assert answer.returncode == 2, answer.stderr
    assert "error: data.source.folder is not resolved" in answer.stderr
    assert "fake-key-of-this-machine" not in answer.stdout + answer.stderr


# Secrets.


@pytest.mark.parametrize(
    "words",
    [
        ["+logger.api_key=fakefakefake"],
        ["-m", "seed=0,1", "+logger.api_key=fakefakefake"],
        ["+logger={api_key: fakefakefake}"],
        ["+data.AWS_SECRET_ACCESS_KEY=fakefakefake"],
        ["+model.hf_token=fakefakefake"],
        ["logger.project=https://me:fakefakefake@host/x"],
    ],
)
def test_a_secret_on_the_command_line(words: list[str], lab: Any) -> None:
    sweeps = ROOT / ".cache" / "sweep"
    answer = lab("train", *TINY, *words)
    assert answer.returncode == 2, answer.stderr
    assert "use `wandb login` or the environment" in answer.stderr
    assert "fakefakefake" not in answer.stdout + answer.stderr
    assert not any(b"fakefakefake" in path.read_bytes() for path in sweeps.rglob("*") if path.is_file())


@pytest.mark.parametrize("value", [{"api_key": "x"}, {"a": [{"password": "x"}]}, {"url": "s3://me:word@host"}])
def test_a_secret_in_a_config(value: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="holds a secret"):
        validate({"logger": value})


def test_what_only_looks_like_a_secret_passes() -> None:
    validate({"tokens": 5, "key": "C major", "monkey": 1, "url": "https://host:80/a@b", "api_key": None})


def test_a_failing_client_does_not_print_a_password() -> None:
    from src.data.clients import _reason

    assert _reason("x\nERROR: cannot get https://me:fake@host/x", 1) == "ERROR: cannot get https://***@host/x"


SECRETS = {
    "WANDB_API_KEY": "fa4e" * 10,
    "AWS_SECRET_ACCESS_KEY": "fakeAwsSecret" * 3,
    "HF_TOKEN": "hf_fakeToken",
    "HTTPS_PROXY": "http://user:fakeProxyPassword@127.0.0.1:9",
    "SOME_PASSWORD": "fakePasswordOfSomething",
}


def test_no_file_of_a_run_holds_a_secret_of_the_environment(command: Any, tmp_path: Path) -> None:
    """W&B included: its binary file, its logs and what it keeps at home."""
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    words = ["logger=wandb", "evaluate=false", f"run_dir={tmp_path}/run", f"paths.cache={tmp_path}/cache"]
    environment = SECRETS | {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp")}
    answer = command("train", *TINY, *words, env=environment)
    assert answer.returncode == 0, answer.stderr
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    (binary,) = (content for path, content in written.items() if path.suffix == ".wandb")
    assert b"aigc-lab" in binary, "what W&B notes down can be found in its file"
    assert any("debug" in path.name for path in written)
    for path, content in written.items():
        for secret in (*SECRETS.values(), "fakeProxyPassword"):
            assert secret.encode() not in content, path
    assert not any(secret in answer.stdout + answer.stderr for secret in SECRETS.values())
