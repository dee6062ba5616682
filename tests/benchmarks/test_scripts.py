"""Each benchmark at its smallest: it runs and writes figures. What they say on a busy machine is of no interest."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import (
    budget,
    by_hand,
    evaluation,
    gpu,
    ours,
    peers,
    products,
    sampling,
    startup,
    train_step,
    trainers,
)
from benchmarks.__main__ import SCRIPTS, markdown
from benchmarks.__main__ import main as benchmarks
from src.config.experiment import Experiment


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def figures(path: Path) -> list[dict]:
    record = json.loads(path.read_text())
    assert record["date"]
    assert record["machine"]["cpu"]
    assert len(markdown({record["benchmark"]: record}).splitlines()) == 8 + len(record["rows"])
    assert all(row["ours"] > 0 for row in record["rows"])
    return record["rows"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--thraeds", "1"], "unrecognized arguments: --thraeds 1"),
        (["--threads", "0"], "--threads 0: must be at least 1"),
        (["--out", "/dev/null/x"], "cannot write to /dev/null"),
    ],
)
def test_words_that_make_no_sense(words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks", "--only", "startup", *words])
    monkeypatch.setattr("benchmarks.__main__.run", lambda *_: pytest.fail("it was measured"))
    with pytest.raises(SystemExit):
        benchmarks()
    assert message in capsys.readouterr().err


def test_train_step(tmp_path: Path) -> None:
    recipes = ["model=mlp_gan data=digits", "model=flow data=digits"]
    recipes += ["model=cgan_pd data=digits model.d_steps=2 trainer.precision=bf16-mixed"]
    train_step.main(["--recipes", *recipes, "--seconds=0.02", "--rounds=1", f"--json={tmp_path / 'it.json'}"])
    rows = figures(tmp_path / "it.json")
    assert [row["against"] for row in rows] == [*["by hand", "products"] * 3, "by hand in bf16"]


def test_products_of_fully_connected_networks() -> None:
    config = ours.compose("model=mlp_gan", "data=digits")
    model = ours.build(config)
    x, z = torch.rand(4, *model.spec.shape), torch.randn(4, model.z_dim)
    with products.Recorder() as recorder:
        fake = model.generator(z)  # 3
        torch.cat([model.discriminator(x), model.discriminator(fake.detach())]).sum().backward()  # 6, 6 weights, 4 inputs
    assert len(recorder.calls) == 19
    first = next(layer for layer in model.generator.modules() if isinstance(layer, torch.nn.Linear))
    assert torch.equal(recorder.calls[0](), z @ first.weight.T)


@pytest.mark.parametrize(
    "words",
    [
        "model=vae data=digits",
        "model=autoregressive data=digits",
        "model=autoregressive data.path=README.md data.length=16",
        "model=flow data=digits",
        "model=diffusion data=digits",
    ],
)
def test_losses_by_hand_are_those_of_the_models(words: str) -> None:
    config = ours.compose(*words.split(), "data.batch_size=100")
    torch.manual_seed(0)
    model = ours.build(config)
    x, y = (part if part is None else torch.cat([part] * 30) for part in next(by_hand.batches(config)))
    batch = {"x": x} if y is None else {"x": x, "y": y}
    with torch.no_grad():
        expected = model.loss(batch).mean()
        torch.testing.assert_close(by_hand.LOSSES[type(model)](model, x, y), expected, rtol=0.03, atol=0)


def test_evaluation(tmp_path: Path) -> None:
    evaluation.main(["--data=digits", "--samples=60", "--rounds=1", f"--json={tmp_path / 'it.json'}"])
    assert [row["against"] for row in figures(tmp_path / "it.json")] == ["torch-fidelity", "features", "torch-fidelity"]


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_sampling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_process(module: str, *words: str) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("sys.argv", [module, *words])
            try:
                runpy.run_module(module, run_name="__main__")
            except SystemExit as end:
                if end.code:
                    raise

    monkeypatch.setattr(sampling, "command", in_process)
    sampling.main(["--data=digits", "--updates=2", "--n=10", "--rounds=1", f"--json={tmp_path / 'it.json'}"])
    assert len(figures(tmp_path / "it.json")) == 6


def test_budget(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    words = ["--recipes", "model=mlp_gan data=digits", "--rounds=1", "--measure=0.2", "--seconds=60"]
    monkeypatch.setattr("sys.argv", ["budget", *words])
    budget.main()
    assert re.fullmatch(
        r"model=mlp_gan data=digits: [\d,]+ images per CPU second \(.*\), [\d,]+ images\n", capsys.readouterr().out
    )


def test_startup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = startup.command
    monkeypatch.setattr(startup, "command", lambda *words: 1.0 if words[0] == "-c" else command(*words))  # the floors
    startup.main(["--data=digits", "--rounds=1", f"--json={tmp_path / 'it.json'}"])
    assert sum(row["reach"] is not None for row in figures(tmp_path / "it.json")) == 4


def test_gpu_without_one(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    gpu.main([f"--json={tmp_path / 'it.json'}"])
    assert capsys.readouterr().out == "no CUDA device here: nothing was measured\n"
    assert not (tmp_path / "it.json").exists()


def test_gpu_recipes_fit_their_sides() -> None:
    config = gpu.compose("experiment=r3gan_cifar10", 64, 2)
    spec = Experiment(config).dataset.spec
    with torch.device("meta"):
        assert spec.shape == (3, 64, 64)
        assert Experiment(config).model(spec).discriminator is not None


def test_peers_need_a_checkout() -> None:
    with pytest.raises(SystemExit) as stopped:
        peers.main([])
    assert stopped.value.code == 2


@pytest.mark.parametrize("name", sorted(peers.CASES.keys() - {"dcgan"}))  # that one borrows its networks from a checkout
def test_ours_beside_each_peer(name: str) -> None:
    config = ours.compose(*peers.CASES[name].ours(Path("nowhere")))
    model = Experiment(config).model(Experiment(config).dataset.spec)
    digits = name.startswith(("gan", "tensorflow", "denoising", "pythae"))
    colours = (3, 64, 64) if name in ("pix2pix", "cyclegan", "open-clip") else (3, 32, 32)
    shape = {"nanogpt": (64,), "textgan": (25,)}.get(name, (1, 28, 28) if digits else colours)
    assert (model.spec.shape, model.ema is None) == (shape, not name.startswith(("r3gan", "denoising")))


def test_the_listing_in_gan_py_is_ours() -> None:
    config = ours.compose(*peers.CASES["gan-listing"].ours(Path("nowhere")))
    model = Experiment(config).model(Experiment(config).dataset.spec)
    for theirs, network in zip(trainers.listing(), (model.generator, model.discriminator), strict=True):
        assert [weight.shape for weight in theirs.parameters()] == [weight.shape for weight in network.parameters()]


def test_all_scripts_are_known() -> None:
    names = {path.stem for path in Path(peers.__file__).parent.glob("*.py") if "timing.parser(" in path.read_text()}
    assert names == set(SCRIPTS)
